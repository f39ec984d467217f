"""The errors a user can meet. Each message says what is missing, what was found and what to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._logging import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

__all__ = [
    "BioverseError",
    "InputError",
    "MismatchError",
    "MissingKeyError",
    "OfflineError",
    "OptionalDependencyError",
    "WeightsError",
]


class BioverseError(Exception):
    """Base of every error that scbioverse raises on purpose."""

    def __str__(self) -> str:
        # Names out of files stand in messages: nothing in them may act on a terminal.
        return printable(super().__str__())


class InputError(BioverseError, ValueError):
    """The data handed in cannot be used as it is (shape, sign, names, scale)."""


class MissingKeyError(BioverseError, KeyError):
    """A slot of the AnnData that a verb needs is not there."""

    def __str__(self) -> str:
        # KeyError prints its argument's repr, which would escape a multi-line message.
        return printable(str(self.args[0])) if self.args else ""


class WeightsError(BioverseError, OSError):
    """Model weights are absent, truncated or not what their checksum says."""


class MismatchError(BioverseError, ValueError):
    """Two parts that must belong together do not; the message shows both values."""


class OptionalDependencyError(BioverseError, ImportError):
    """An extra is not installed; the message names the extra."""


class OfflineError(BioverseError, OSError):
    """A download would be needed, and `settings.offline` forbids it or the server cannot be reached."""


def check_choice(option: str, found: object, *choices: object) -> None:
    """Raise an :class:`InputError` where a value is none of those that an option takes."""
    if found not in choices:
        *first, last = map(repr, choices)
        raise InputError(f"{option}={found!r}; choose {', '.join(first)} or {last}.")


def check_columns(obs: pd.DataFrame, names: Iterable[str], advice: str, *, table: str = "adata") -> None:
    """Raise a :class:`MissingKeyError`, with advice, where the `obs` of a table lacks a column."""
    if absent := " nor ".join(repr(name) for name in names if name not in obs):
        found = list(map(str, obs.columns)) or "none"
        raise MissingKeyError(f"{table}.obs has no column {absent} (found: {found}). {advice}")

"""A case, how it is run, and what must be as it was afterwards."""

from __future__ import annotations

import hashlib
import importlib
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

import scbioverse as sb

Outcome = Literal["refused", "said"]


@dataclass(frozen=True)
class Given:
    """What a case hands over.

    Attributes
    ----------
    run
        Makes the call.
    stays
        AnnData, MuData, arrays, tables, files or folders that the call must leave as they are, by the name that the
        page calls them. Of a case that is `"said"`, name only what its call may not change.
    check
        For a case that goes on: what must hold of the result beside the message; it asserts.
    """

    run: Callable[[], object]
    stays: dict[str, Any]
    check: Callable[[], None] | None = None


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes
    ----------
    area
        Heading under which the page lists it.
    given
        What is wrong with the input, as a user would say it.
    call
        What is run, as a user would write it.
    says
        Words that the message must hold: what was found, and what to do.
    outcome
        `"refused"`: an error of :mod:`scbioverse.errors`, or exit code 1 of the command line. `"said"`: the call goes
        on, and a warning or a line of the log says what it made of the input.
    make
        Builds the input in an empty folder.
    """

    area: str
    given: str
    call: str
    says: tuple[str, ...]
    outcome: Outcome
    make: Callable[[Path], Given]

    @property
    def name(self) -> str:
        """Its name in the test run."""
        return self.make.__name__

    def run(self, folder: Path) -> tuple[str, list[str]]:
        """Run it, check what must stay; return what was said, without the folder's own path, and the names of that."""
        given = self.make(folder)
        before = {name: digest(thing) for name, thing in given.stays.items()}
        said = self._refusal(given) if self.outcome == "refused" else self._remark(given)
        after = {name: digest(thing) for name, thing in given.stays.items()}
        changed = [name for name in before if before[name] != after[name]]
        assert not changed, f"{changed} changed"
        if given.check is not None:
            given.check()
        return " ".join(said.replace(f"{folder}/", "").replace(str(folder), ".").split()), list(before)

    def _refusal(self, given: Given) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                given.run()
            except (sb.errors.BioverseError, CommandError) as error:
                return str(error)
        raise AssertionError(f"{self.call} went through without a word")

    @staticmethod
    def _remark(given: Given) -> str:
        heard = _Heard()
        logger = logging.getLogger("scbioverse")
        level = logger.level
        logger.addHandler(heard)
        logger.setLevel(logging.INFO)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                given.run()
        finally:
            logger.removeHandler(heard)
            logger.setLevel(level)
        return "\n".join([*(str(one.message) for one in caught if one.category is UserWarning), *heard.lines])


class CommandError(Exception):
    """The command line ended with exit code 1; the text is what it wrote to stderr."""


CASES: list[Case] = []


def case(
    area: str, given: str, call: str, *, says: tuple[str, ...] | list[str], outcome: Outcome = "refused"
) -> Callable[[Callable[[Path], Given]], Callable[[Path], Given]]:
    """Put a case into the table."""

    def add(make: Callable[[Path], Given]) -> Callable[[Path], Given]:
        assert is_new(make.__name__), f"two cases are called {make.__name__}"
        CASES.append(Case(area, given, call, tuple(says), outcome, make))
        return make

    return add


def is_new(name: str) -> bool:
    """Whether no case has this name yet."""
    return all(one.name != name for one in CASES)


def command(*arguments: str | Path) -> str:
    """Run `scbioverse` with these arguments in this process; return stdout, or raise :class:`CommandError`."""
    from typer.testing import CliRunner

    from scbioverse.cli import app

    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        raise CommandError(result.stderr)
    return result.stdout


def load_cases() -> list[Case]:
    """Import every file of cases beside this one and return the table, in order of files and lines."""
    for file in sorted(Path(__file__).parent.glob("cases_*.py")):
        importlib.import_module(f"{__package__}.{file.stem}")
    return CASES


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def digest(thing: Any) -> str:
    """Return a digest of everything in an AnnData, MuData, table, array, file or folder."""
    found = hashlib.sha256()
    _feed(found.update, thing)
    return found.hexdigest()


def _feed(update: Callable[[bytes], None], thing: Any) -> None:
    if isinstance(thing, Path):
        _feed_path(update, thing)
    elif hasattr(thing, "mod") and hasattr(thing, "obsmap"):
        for name, part in thing.mod.items():
            update(str(name).encode())
            _feed(update, part)
        _feed(update, thing.obs)
    elif hasattr(thing, "obs_names") and hasattr(thing, "layers"):
        for part in (thing.X, thing.obs, thing.var):
            _feed(update, part)
        for held in (thing.obsm, thing.varm, thing.layers, thing.uns, thing.obsp):
            _feed(update, dict(held))
        if thing.raw is not None:
            _feed(update, thing.raw.X)
            _feed(update, thing.raw.var)
    elif isinstance(thing, dict):
        for key in sorted(thing, key=str):
            update(repr(key).encode())
            _feed(update, thing[key])
    elif hasattr(thing, "to_csv"):
        update(thing.to_csv().encode())
        update(repr(list(getattr(thing, "dtypes", [thing.dtype] if hasattr(thing, "dtype") else []))).encode())
    elif sp.issparse(thing):
        update(f"{thing.format} {thing.shape} {thing.dtype}".encode())
        for part in ("data", "indices", "indptr"):
            if hasattr(thing, part):
                update(np.asarray(getattr(thing, part)).tobytes())
    elif isinstance(thing, np.ndarray) and thing.dtype != object:
        update(f"{thing.shape} {thing.dtype}".encode())
        update(np.ascontiguousarray(thing).tobytes())
    elif hasattr(thing, "compute"):
        _feed(update, thing.compute())
    elif hasattr(thing, "to_memory"):
        _feed(update, thing.to_memory())
    else:
        update(repr(thing).encode())


def _feed_path(update: Callable[[bytes], None], path: Path) -> None:
    if path.is_symlink():
        update(f"-> {path.readlink()}".encode())
    elif path.is_dir():
        for one in sorted(path.rglob("*")):
            update(str(one.relative_to(path)).encode())
            if one.is_file() and not one.is_symlink():
                update(one.read_bytes())
    elif path.is_file():
        update(path.read_bytes())
    else:
        update(b"absent")

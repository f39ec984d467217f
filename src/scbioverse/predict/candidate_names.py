"""Names of candidates as users hand them in, checked one by one."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

from .._shown import shown_name
from ..errors import InputError
from ..pp._text_column import is_missing

# What people write for a cell they have no name for.
NO_NAME = frozenset(
    {"", "unassigned", "unknown", "not assigned", "unlabelled", "unlabeled", "nan", "none", "na", "n/a"}
)
_SHOWN = 8
_HOW = "pass a list of names, a mapping from names to Cell Ontology ids or descriptions, None or 'cl'"


def read_names(labels: Any) -> list[str]:
    """Names of an iterable, each once and in order; those that stand for no label are left out.

    Raises
    ------
    InputError
        It is no iterable of names, or one of them is missing, empty, no text, or cannot be written to a file.

    Warns
    -----
    UserWarning
        A name repeats, but for case and white space, stands for no label, or looks like several.
    """
    if isinstance(labels, bytes) or hasattr(labels, "columns") or not isinstance(labels, Iterable):
        raise InputError(f"labels is of type {type(labels).__name__}; {_HOW}.")
    # The order of a set changes from one run to the next.
    ordered = sorted(labels, key=str) if isinstance(labels, set | frozenset) else list(labels)
    names = [_name(one) for one in ordered]
    counts = Counter(map(_key, names))
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(_key(name), name)
    repeats = [shown_name(name) for key, name in first.items() if counts[key] > 1]
    if repeats:
        warnings.warn(f"labels repeat and are used once each: {sorted(repeats)[:_SHOWN]}.", UserWarning, stacklevel=4)
    several = [shown_name(name) for name in first.values() if any(sign in name for sign in ";|")]
    if several:
        warnings.warn(
            f"labels hold {several[:_SHOWN]}, which look like several names in one. Each entry is one candidate: pass "
            "the names by themselves, labels=['B', 'NK'].",
            UserWarning,
            stacklevel=4,
        )
    return _labels_alone(list(first.values()))


def read_mapping(labels: Mapping[Any, Any]) -> dict[str, str]:
    """Name → id or description, `""` where none is given.

    Raises
    ------
    InputError
        A name is missing, empty, no text, cannot be written to a file, or stands twice with different meanings; or a
        meaning is no text.

    Warns
    -----
    UserWarning
        A name stands for no label.
    """
    given: dict[str, str] = {}
    first: dict[str, str] = {}
    for key, value in labels.items():
        name = _name(key)
        if not (isinstance(value, str) or is_missing(value)):
            raise InputError(
                f"labels[{shown_name(name)!r}] is of type {type(value).__name__}; give a Cell Ontology id such as "
                "'CL:0000236', a description, or ''."
            )
        meaning = "" if is_missing(value) else str(value).strip()
        held = first.setdefault(_key(name), name)
        if given.setdefault(held, meaning) != meaning:
            raise InputError(f"labels names {shown_name(name)!r} twice, with different meanings: keep one.")
    kept = set(_labels_alone(list(given)))
    return {name: meaning for name, meaning in given.items() if name in kept}


def _key(name: str) -> str:
    """Return what two names share that a reader cannot tell apart."""
    return shown_name(name, len(name) + 1).casefold()


def _name(value: object) -> str:
    if is_missing(value):
        raise InputError("labels hold a missing value (None or NaN); drop it first.")
    if not isinstance(value, str | Number):
        raise InputError(
            f"labels hold a value of type {type(value).__name__}: {str(value)[:60]!r}. {_HOW[0].upper()}{_HOW[1:]}."
        )
    name = " ".join(str(value).split())
    if not name:
        raise InputError("labels hold an empty name; drop it first.")
    odd = next((one for one in name if unicodedata.category(one) in ("Cc", "Cs")), None)
    if odd is not None:
        raise InputError(
            f"labels hold the control character {odd!r} in {shown_name(name)!r}, which no file of results takes: "
            "remove it."
        )
    return name


def _labels_alone(names: list[str]) -> list[str]:
    """Leave out what stands for no label."""
    none = [name for name in names if name.casefold() in NO_NAME]
    if not none:
        return names
    if len(none) == len(names):
        raise InputError(f"labels name no cell type: {none[:_SHOWN]}. {_HOW[0].upper()}{_HOW[1:]}.")
    said = f"{none[0]!r} names no cell type and is" if len(none) == 1 else f"{none[:_SHOWN]} name no cell type and are"
    warnings.warn(
        f"{said} left out of labels: cells without an answer are called 'unknown', see unknown_threshold=.",
        UserWarning,
        stacklevel=5,
    )
    return [name for name in names if name not in none]

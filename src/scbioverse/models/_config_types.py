"""Values of a configuration file are what their fields say: a number is no text, a truth value no number."""

from __future__ import annotations

import math
import types
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
# No model has a layer, a vocabulary or a number of tokens beyond this.
LARGEST = 2**24


def check_types(config: T, *, where: str = "") -> T:
    """Return a dataclass of plain values if each is of its field's type, and every number finite and in reach.

    Raises
    ------
    ValueError
        One is not.
    """
    kind: Any = type(config)
    hints = _hints(kind)
    for field in fields(config):  # type: ignore[arg-type]
        _check(getattr(config, field.name), hints[field.name], f"{where}{field.name}")
    return config


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _check(value: Any, kind: Any, name: str) -> None:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return
        (kind,) = (one for one in inner if one is not type(None))
        _check(value, kind, name)
    elif isinstance(kind, type) and is_dataclass(kind):
        _need(isinstance(value, kind), value, name, kind.__name__)
        check_types(value, where=f"{name}.")
    elif origin in (list, tuple):
        _need(isinstance(value, origin), value, name, "a list")
        for one in value:
            _check(one, inner[0], f"a value in {name}")
    elif origin is dict:
        _need(isinstance(value, dict), value, name, "an object")
        for key, one in value.items():
            _check(key, inner[0], f"a key of {name}")
            _check(one, inner[1], f"{name}[{key!r:.40}]")
    elif kind is int:
        _need(type(value) is int and 0 <= value <= LARGEST, value, name, f"a whole number from 0 to {LARGEST:,}")
    elif kind is float:
        _need(type(value) in (int, float) and math.isfinite(value), value, name, "a finite number")
    elif kind in (str, bool):
        _need(type(value) is kind, value, name, "text" if kind is str else "true or false")


def _need(held: bool, value: Any, name: str, kind: str) -> None:
    if not held:
        raise ValueError(f"{name} must be {kind}, found {value!r:.60}")

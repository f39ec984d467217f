"""Columns of a user's table, made such as h5ad and zarr take."""

from __future__ import annotations

from typing import Any

import pandas as pd

from .._logging import logger
from .._shown import shown_name

_NUMBERS = frozenset({"integer", "floating", "mixed-integer-float", "decimal", "empty"})
_SHOWN = 5


def storable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with columns of one kind each.

    A file takes columns of numbers, of truth values or of text. Where a column of Python objects mixes them, numbers
    alone become numbers and anything else text; lists are joined by "|". Missing values stay missing.
    """
    out, mixed = table.copy(), []
    out.columns = out.columns.map(str)
    for place, name in enumerate(out.columns):
        column = out.iloc[:, place]
        if column.dtype != object:
            continue
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind == "string":
            continue
        if kind in _NUMBERS:
            new = pd.to_numeric(column, errors="coerce")
        elif kind == "boolean" and column.notna().all():
            new = column.astype(bool)
        else:
            new = column.map(_text, na_action="ignore").astype(object)
            mixed.append(name)
        out.isetitem(place, new.array)
    if mixed:
        shown = ", ".join(repr(shown_name(name)) for name in mixed[:_SHOWN])
        logger.info("values of several kinds in columns %s%s: kept as text", shown, ", ..." * (len(mixed) > _SHOWN))
    return out


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        parts = sorted(map(str, value)) if isinstance(value, set | frozenset) else [str(one) for one in value]
        return "|".join(parts)
    return str(value)

"""What a query gives, and what the kinds of queries share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .query import Query, Where
    from .rows import Rows

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Result:
    """What a query gives.

    Attributes
    ----------
    text
        Sentences.
    table
        The numbers they rest on.
    value
        What is asked for by itself, see :class:`scbioverse.ask.answer.Answer`.
    computed
        Whether all of it was computed from the data.
    """

    text: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    value: Any = None
    computed: bool = True


def table_of(columns: Sequence[str], found: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Make a table of evidence."""
    return pd.DataFrame([tuple(one) for one in found], columns=list(columns))


def rank_rows(query: Query, rows: Rows, where: Where | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows in the order of a field, and its values; rows without a value are left out."""
    values = rows.numbers(query.of[0])
    held = np.flatnonzero(rows.mask(where) & np.isfinite(values))
    order = held[np.argsort(-values[held] if query.order == "most" else values[held], kind="stable")]
    return order, values[order]

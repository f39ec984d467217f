"""A column of `obs` as groups, also where a row has several values: `a|b`, `a; b`, or a list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..pp._text_column import cell_text, is_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SEPARATORS = ("|", ";")
# Of values with a semicolon, so many must share a piece with another value: "T cell; naive" and "T cell; memory" do,
# names that merely hold one do not. A bar stands in no name: one shared piece is enough.
_SHARED = {"|": 0.0, ";": 0.5}


@dataclass(frozen=True, eq=False)
class ColumnValues:
    """What the rows of a column hold.

    Attributes
    ----------
    column
        Its name.
    several
        Whether a row may hold several values.
    names
        Single values, in the order of the categories, or sorted where rows hold several.
    wholes
        Texts of several values as they stand, `"a|b"`.
    codes
        int64 (n_obs,): which of the distinct contents a row holds, -1 for none.
    """

    column: str
    several: bool
    names: list[str]
    wholes: list[str]
    codes: NDArray[np.int64]
    _held: dict[str, list[int]] = field(repr=False)
    _n: int = field(repr=False)

    def mask(self, *names: str) -> NDArray[np.bool_]:
        """Rows that hold one of some values, bool (n_obs,)."""
        meant = np.zeros(self._n + 1, dtype=bool)  # the last place is that of rows without a value
        for name in names:
            meant[self._held.get(name, [])] = True
        meant[self._n] = False
        return meant[self.codes]

    @property
    def remark(self) -> str:
        """What an answer that counts rows says of the column, `""` where a row holds one value."""
        return f"A row of obs[{self.column!r}] may hold several values and counts for each." if self.several else ""


def read_values(column: pd.Series, name: str) -> ColumnValues:
    """Read a column.

    Several values a row are seen where the column holds lists, tuples, sets or arrays; or where its texts hold a bar or
    a semicolon, and the pieces between these recur in other texts. A name that merely holds one stays whole.

    Parameters
    ----------
    column
        Of `obs`; not changed.
    name
        Its name.
    """
    if column.dtype == object and any(map(is_list, column)):
        rows = [_pieces_of(one) or None for one in column]
        column = pd.Series(np.fromiter(rows, dtype=object, count=len(rows)))
        found, distinct = pd.factorize(column, use_na_sentinel=True)
        codes, contents = np.asarray(found, dtype=np.int64), list(distinct)
    else:
        categories = _as_categories(column).cat
        codes, contents = np.asarray(categories.codes, dtype=np.int64), list(categories.categories)
    pieces = _pieces(contents)
    several = pieces is not None
    held: dict[str, list[int]] = {}
    texts = [", ".join(one) if isinstance(one, tuple) else str(one) for one in contents]
    for code, text in enumerate(texts):
        for one in dict.fromkeys([text, *(pieces[code] if pieces is not None else ())]):
            held.setdefault(one, []).append(code)
    if pieces is None:
        return ColumnValues(name, several, list(dict.fromkeys(texts)), [], codes, held, len(texts))
    names = sorted({one for some in pieces for one in some})
    wholes = [text for text, some in zip(texts, pieces, strict=True) if len(some) > 1]
    return ColumnValues(name, several, names, wholes, codes, held, len(texts))


def _as_categories(column: pd.Series) -> pd.Series:
    try:
        return column.astype("category")
    except TypeError:  # mappings, and what else has no hash
        return column.map(lambda one: cell_text(one) or None).astype("category")


def is_list(value: object) -> bool:
    """Whether a cell of a table holds several values as a list, tuple, set or array."""
    return isinstance(value, list | tuple | set | frozenset | np.ndarray) and not isinstance(value, str | bytes)


def value_text(value: Any) -> str:
    """Text of a cell of a table, `""` where it is empty."""
    return ", ".join(_pieces_of(value)) if is_list(value) else cell_text(value)


def _pieces_of(value: Any) -> tuple[str, ...]:
    """Values of a cell of a table without those that are missing."""
    if not is_list(value):
        return () if pd.isna(value) else (str(value).strip(),)
    said = [str(one).strip() for one in np.ravel(np.array(list(value), dtype=object)) if not is_missing(one)]
    # The order of a set changes from one run to the next.
    return tuple(filter(None, sorted(said) if isinstance(value, set | frozenset) else said))


def _pieces(contents: Sequence[object]) -> list[tuple[str, ...]] | None:
    """Return the values of each distinct content, None where each is one value."""
    if any(isinstance(one, tuple) for one in contents):
        return [one if isinstance(one, tuple) else (str(one),) for one in contents]
    if not all(isinstance(one, str) for one in contents):
        return None
    texts = [str(one) for one in contents]
    used = [sep for sep in SEPARATORS if _recur(texts, sep)]
    return [_split(text, used) for text in texts] if used else None


def _recur(texts: Sequence[str], separator: str) -> bool:
    """Whether what stands between separators stands in other texts, too."""
    cut = {text: _split(text, [separator]) for text in texts if separator in text}
    cut = {text: some for text, some in cut.items() if len(some) > 1}
    if not cut:
        return False
    seen = Counter(one for text in texts for one in set(cut.get(text, (text.strip(),))))
    shared = sum(any(seen[one] > 1 for one in some) for some in cut.values())
    return shared > 0 and shared >= _SHARED[separator] * len(cut)


def _split(text: str, separators: Sequence[str]) -> tuple[str, ...]:
    parts = [text]
    for separator in separators:
        parts = [piece for part in parts for piece in part.split(separator)]
    return tuple(dict.fromkeys(filter(None, (part.strip() for part in parts))))

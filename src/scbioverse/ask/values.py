"""A column of `obs` as groups, also where a row has several values: `a|b`, `a; b`, or a list."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..pp._text_column import cell_text, is_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SEPARATORS = ("|", ";")
# Of values with a semicolon, so many must share a piece with another value: "T cell; naive" and "T cell; memory" do,
# names that merely hold one do not. A bar stands in no name: one shared piece is enough.
_SHARED = {"|": 0.0, ";": 0.5}
# Signs that may separate values or belong to a name ("1,2-diol", "CD4+"): values are not cut there, it is said.
_MAYBE_SEVERAL = re.compile(r"\s*[,/&+]\s*|\s+and\s+")
# Names this short are told apart by their case.
SHORT = 3


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

    def spellings(self, name: str) -> list[str]:
        """Values that differ from a name in case, spaces, hyphens or underscores only, it among them."""
        return self._by_letters.get(_letters(name), [name]) if len(name) >= SHORT else [name]

    def remark(self, name: str = "") -> str:
        """Say what counting the rows of a value, or of all, passes over or takes together; `""` where that is plain."""
        said = [f"A row of obs[{self.column!r}] may hold several values and counts for each."] if self.several else []
        if name:
            spelt = self.spellings(name)
            if len(spelt) > 1:
                said.append(f"obs[{self.column!r}] writes it {', '.join(map(repr, spelt))}: all are counted.")
            if beside := self._beside.get(_letters(name)):
                more = f" and {len(beside) - 1} more" if len(beside) > 1 else ""
                said.append(
                    f"{beside[0]!r}{more} in obs[{self.column!r}] {'is' if len(beside) == 1 else 'are'} not counted: "
                    "write several values a row as 'a|b'."
                )
        return " ".join(said)

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        """Values by what is left without case and signs between words."""
        found: dict[str, list[str]] = {}
        for one in dict.fromkeys([*self.names, *self.wholes]):
            found.setdefault(_letters(one), []).append(one)
        return found

    @cached_property
    def _beside(self) -> dict[str, list[str]]:
        """Values that may be several, as `"a, b"`, by what each of these would be."""
        found: dict[str, list[str]] = {}
        for one in self.names:
            pieces = _MAYBE_SEVERAL.split(one)
            for piece in dict.fromkeys(map(_letters, pieces)) if len(pieces) > 1 else ():
                if len(piece) >= SHORT and piece != _letters(one):
                    found.setdefault(piece, []).append(one)
        return found


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


def listed(parts: Iterable[str], word: str = "and") -> str:
    """Join parts by commas, the last by a word."""
    some = list(parts)
    return "".join(some) if len(some) < 2 else f"{', '.join(some[:-1])} {word} {some[-1]}"


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip()).casefold()


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

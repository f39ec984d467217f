"""A column of `obs` as groups, also where a row has several values: `a|b`, `a; b`, or a list."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..pp._text_column import cell_text, is_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

# Signs between several values, and what share of the values that hold one must share a piece with another value:
# "T cell; naive" and "T cell; memory" do, names that merely hold a semicolon do not. A bar stands in no name.
_SEPARATORS = {"|": 0.0, ";": 0.5}
# Signs that may separate values or belong to a name ("1,2-diol", "CD4+"): values are not cut there, it is said.
_MAYBE_SEVERAL = re.compile(r"\s*[,/&+]\s*|\s+and\s+")
# Names this short are told apart by their case.
SHORT = 3


class ColumnValues:
    """What the rows of a column hold.

    Several values a row are seen where the column holds lists, tuples, sets or arrays; or where its texts hold a bar or
    a semicolon, and the pieces between these recur in other texts. A name that merely holds one stays whole.

    Attributes
    ----------
    several
        Whether a row may hold several values.
    names
        Single values, in the order of the categories, or sorted where rows hold several.
    wholes
        Texts of several values as they stand, `"a|b"`.
    codes
        int64 (n_obs,): which of the distinct contents a row holds, -1 for none.
    """

    def __init__(self, column: pd.Series, name: str) -> None:
        self.column = name
        self.codes, contents = _distinct(column)
        texts = [value_text(one) for one in contents]
        pieces = _pieces(contents)
        self.several = pieces is not None
        pieces = pieces or [(text,) for text in texts]
        contained = enumerate(zip(texts, pieces, strict=True))
        self._held = _grouped((one, code) for code, (text, some) in contained for one in {text, *some})
        self.wholes = [text for text, some in zip(texts, pieces, strict=True) if len(some) > 1]
        self.names = sorted(set().union(*pieces)) if self.several else list(dict.fromkeys(texts))

    def mask(self, *names: str) -> NDArray[np.bool_]:
        """Rows that hold one of some values, bool (n_obs,)."""
        return np.isin(self.codes, [code for one in names for code in self._held.get(one, ())])

    def spellings(self, name: str) -> list[str]:
        """Values that differ from a name in case, spaces, hyphens or underscores only, it among them."""
        return self._by_letters.get(_letters(name), [name]) if len(name) >= SHORT else [name]

    def remark(self, name: str = "") -> str:
        """Say what counting the rows of a value, or of all, passes over or takes together; `""` where that is plain."""
        here = f"obs[{self.column!r}]"
        said = [f"A row of {here} may hold several values and counts for each."] if self.several else []
        spelt, beside = self.spellings(name), self._beside.get(_letters(name), [])
        if len(spelt) > 1:
            said.append(f"{here} writes it {', '.join(map(repr, spelt))}: all are counted.")
        if beside:
            more = f" and {len(beside) - 1} more in {here} are" if len(beside) > 1 else f" in {here} is"
            said.append(f"{beside[0]!r}{more} not counted: write several values a row as 'a|b'.")
        return " ".join(said)

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        """Values by what is left without case and signs between words."""
        return _grouped((_letters(one), one) for one in dict.fromkeys([*self.names, *self.wholes]))

    @cached_property
    def _beside(self) -> dict[str, list[str]]:
        """Values that may be several, as `"a, b"`, by what each of these would be."""
        cut = ((one, {*map(_letters, _MAYBE_SEVERAL.split(one))} - {_letters(one)}) for one in self.names)
        return _grouped((piece, one) for one, pieces in cut for piece in pieces if len(piece) >= SHORT)


def _grouped(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for key, one in pairs:
        found[key].append(one)
    return dict(found)


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.strip()).casefold()


def _distinct(column: pd.Series) -> tuple[NDArray[np.int64], list[Any]]:
    """Return which of its distinct contents each row of a column holds, and these."""
    if column.dtype == object and any(map(is_list, column)):
        found, contents = pd.factorize(pd.Series([_pieces_of(one) or None for one in column], dtype=object))
        return np.asarray(found, dtype=np.int64), list(contents)
    try:
        held = column.astype("category").cat
    except TypeError:  # mappings, and what else has no hash
        held = column.map(lambda one: cell_text(one) or None).astype("category").cat
    return np.asarray(held.codes, dtype=np.int64), list(held.categories)


def is_list(value: object) -> bool:
    """Whether a cell of a table holds several values as a list, tuple, set or array."""
    return isinstance(value, list | tuple | set | frozenset | np.ndarray)


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


def _pieces(contents: Sequence[Any]) -> list[tuple[str, ...]] | None:
    """Return the values of each distinct content, None where each is one value."""
    if any(map(is_list, contents)):
        return [_pieces_of(one) for one in contents]
    if not all(isinstance(one, str) for one in contents):
        return None
    used = [sep for sep in _SEPARATORS if _recur(contents, sep)]
    return [_split(text, used) for text in contents] if used else None


def _recur(texts: Sequence[str], separator: str) -> bool:
    """Whether what stands between separators stands in other texts, too."""
    pieces = pd.Series([_split(text, [separator]) for text in texts], dtype=object)
    seen = pieces.explode().value_counts()
    several = pieces[pieces.map(len) > 1].explode()
    recurs = several.map(seen).groupby(level=0).max() > 1
    return bool(recurs.any() and recurs.mean() >= _SEPARATORS[separator])


def _split(text: str, separators: Sequence[str]) -> tuple[str, ...]:
    parts = re.split("|".join(map(re.escape, separators)), text)
    return tuple(dict.fromkeys(filter(None, (part.strip() for part in parts))))

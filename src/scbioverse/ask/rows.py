"""The rows a question is about and what each holds; a column is read on first use, kept while the data stay as read."""

from __future__ import annotations

import re
import warnings
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._slots import Slots
from ..errors import InputError
from ..io.columns import obs_column
from ..predict.groups import read_groups
from .values import is_list, read_values, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from numpy.typing import NDArray

    from .query import Where
    from .values import ColumnValues

Float = "NDArray[np.float64]"
# A column with more values names rows, not groups.
MOST_GROUPS = 500
# Columns of whole numbers that name clusters all the same.
CLUSTERS = re.compile(r"leiden|louvain|cluster|seurat", re.IGNORECASE)
_PEEK = 1000  # rows looked at for lists
_SIGNS = {"<": "lt", "<=": "le", "=": "eq", "!=": "ne", ">=": "ge", ">": "gt"}


class Rows:
    """Rows of an AnnData of which some are asked about.

    Parameters
    ----------
    adata
        The data; not changed.
    groupby
        Column of `obs` whose groups are meant, or None.
    cells
        Rows asked about: a mask, positions or names; all if None.
    key_added
        Stem of the slots that :func:`scbioverse.tl.annotate` wrote.

    Raises
    ------
    InputError
        The selection is empty or unknown, or there are no rows.
    MissingKeyError
        `groupby` is not a column of `obs`.
    """

    noun = "cell"
    # Columns of obs that never name groups.
    hidden: frozenset[str] = frozenset()

    def __init__(
        self, adata: AnnData, *, groupby: str | None = None, cells: Any = None, key_added: str = "bioverse"
    ) -> None:
        check_rows(adata, groupby)
        self.adata, self.groupby, self.slots = adata, groupby, Slots(key_added)
        self.asked = read_cells(adata, cells)
        self.whole = bool(self.asked.all())
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._columns: dict[str, ColumnValues] = {}

    @cached_property
    def columns(self) -> list[str]:
        """Columns of `obs` whose groups a question may name: `groupby`, the model's labels, others with few values."""
        obs = self.adata.obs
        first = [one for one in (self.groupby, self.slots.label) if one is not None and one in obs]
        rest = [str(one) for one in obs.columns if one not in first and one not in self.hidden and self._names(one)]
        return list(dict.fromkeys([*first, *rest]))

    def _names(self, name: str) -> bool:
        column = self.adata.obs[name]
        if column.ndim == 1 and pd.api.types.is_integer_dtype(column) and CLUSTERS.search(name):
            return True
        if column.ndim != 1 or (pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)):
            return False
        if isinstance(column.dtype, pd.CategoricalDtype):
            return len(column.cat.categories) <= MOST_GROUPS
        if column.dtype == object and any(map(is_list, column.head(_PEEK))):
            return True
        distinct = column.head(50 * MOST_GROUPS).map(value_text).nunique()
        # Names of single rows are no groups.
        return distinct <= MOST_GROUPS and (distinct < len(column) or len(column) == 1 or self.groups(name).several)

    @cached_property
    def measures(self) -> list[str]:
        """Columns of `obs` that hold numbers."""
        obs = self.adata.obs
        numeric = [one for one in obs.columns if obs[one].ndim == 1 and pd.api.types.is_numeric_dtype(obs[one])]
        numeric = [one for one in numeric if one not in self.columns]
        return [str(one) for one in numeric if not pd.api.types.is_bool_dtype(obs[one]) and one not in self.hidden]

    def groups(self, column: str) -> ColumnValues:
        """Read the groups of a column of `obs`, once; a row may be in several."""
        if column not in self._columns:
            self._columns[column] = read_values(_without_blanks(self.adata.obs[column]), column)
        return self._columns[column]

    def sizes(self, column: str, mask: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
        """Names and rows of a column's groups among some rows; groups without rows are left out."""
        values = self.groups(column)
        found = [(name, values.mask(name) & mask) for name in values.names if name.strip()]
        return [(name, rows) for name, rows in found if rows.any()]

    def numbers(self, field: str) -> NDArray[np.float64]:
        """Values of a field, float64 (n_obs,); NaN where a row has none. Not to be written into."""
        if field not in self._numbers:
            kind, _, name = field.partition(":")
            if kind == "obs" and name in self.adata.obs:
                self._numbers[field] = pd.to_numeric(self.adata.obs[name], errors="coerce").to_numpy(np.float64)
            else:
                self._numbers[field] = self.measured(kind, name)
        return self._numbers[field]

    def measured(self, kind: str, name: str) -> NDArray[np.float64]:
        """Work out what `obs` does not hold."""
        raise InputError(f"{kind}:{name} is nothing that these {self.noun}s have.")

    def texts(self, field: str, rows: list[int]) -> list[str | None]:
        """Texts of a column of some rows, None where there is none."""
        return [
            value_text(one).strip() or None
            for one in self.adata.obs[field.removeprefix("obs:")].astype(object).iloc[rows]
        ]

    def cut(self, fields: Iterable[str], rows: NDArray[np.bool_]) -> list[str]:
        """Say of which rows a part was not read."""
        said = []
        for field in dict.fromkeys(fields):
            kind, _, name = field.partition(":")
            if kind == "obs" and name in self.measures:
                n = int((np.isinf(self.numbers(field)) & rows).sum())
                if n:
                    said.append(
                        f"obs[{name!r}] is infinite in {n:,} {self.noun}{'s' if n > 1 else ''}: no mean, median, sum, "
                        "extreme or rank counts these."
                    )
        return said

    def known(self, where: Where) -> pd.arrays.BooleanArray:
        """Tell for which rows a condition holds, `NA` where it cannot be known because a value is missing."""
        if where.op in ("and", "or"):
            parts: list[Any] = [self.known(one) for one in where.parts]
            # Kleene's logic: "unknown or true" is true.
            return reduce(lambda a, b: a & b if where.op == "and" else a | b, parts)
        if where.op == "not":
            return ~self.known(where.parts[0])
        if where.op == "missing":
            name = where.field.removeprefix("obs:")
            lost = self.groups(name).codes < 0 if name in self.columns else np.isnan(self.numbers(where.field))
            return pd.arrays.BooleanArray(lost, np.zeros(len(lost), dtype=bool))
        if where.op == "is":
            if where.field == "row":
                return pd.array(self.adata.obs_names.isin([str(one) for one in where.values]), dtype="boolean")
            values = self.groups(where.field.removeprefix("obs:"))
            inside = values.mask(*(spelt for one in where.values for spelt in values.spellings(str(one))))
            return pd.arrays.BooleanArray(inside, values.codes < 0)
        held = self.numbers(where.field)
        found: Any
        if where.op == "between":
            low, high = sorted(float(one) for one in where.values)
            found = (held >= low) & (held <= high)
        else:
            found = getattr(pd.Series(held), _SIGNS[where.op])(float(where.values[0])).to_numpy()
        return pd.arrays.BooleanArray(np.asarray(found, dtype=bool), np.isnan(held))

    def mask(self, where: Where | None) -> NDArray[np.bool_]:
        """Rows asked about for which a condition is known to hold, bool (n_obs,)."""
        if where is None:
            return self.asked
        return self.known(where).to_numpy(dtype=bool, na_value=False) & self.asked

    def others(self, where: Where | None) -> NDArray[np.bool_]:
        """Rows that those asked about are compared with, bool (n_obs,).

        Those for which the condition is known not to hold, selected or not; without a condition, those not selected.
        """
        if where is None:
            return ~self.asked
        return (~self.known(where)).to_numpy(dtype=bool, na_value=False)

    def unknown(self, *conditions: Where | None) -> int:
        """Count rows asked about for which one of some conditions cannot be known."""
        missing = [pd.isna(self.known(one)) for one in conditions if one is not None]
        return int((np.any(missing, axis=0) & self.asked).sum()) if missing else 0

    @cached_property
    def labels(self) -> list[str]:
        """What an answer calls each row."""
        return [str(one) for one in self.adata.obs_names]


def check_rows(adata: AnnData, groupby: str | None) -> None:
    """Refuse what no question can be asked about.

    Raises
    ------
    InputError
        It is no AnnData, or has no rows; `groupby` is no name of a column.
    MissingKeyError
        `groupby` is not there.
    """
    if not hasattr(adata, "obsm"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}.")
    if adata.n_obs == 0:
        raise InputError("adata has no rows: there is nothing to ask about.")
    if groupby is not None:
        _check_groups(adata, groupby)


def _check_groups(adata: AnnData, groupby: str) -> None:
    column = obs_column(adata, groupby, "groupby")
    if _without_blanks(column).isna().all():
        raise InputError(f"adata.obs[{groupby!r}] has no value in any row: there are no groups to ask about.")
    if pd.api.types.is_numeric_dtype(column):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # rows without a value: answers say so
            read_groups(adata, groupby)


def _without_blanks(column: pd.Series) -> pd.Series:
    """Return a column with missing values where a text is empty or of spaces only."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        blank = [one for one in column.cat.categories if isinstance(one, str) and not one.strip()]
        return column.cat.remove_categories(blank) if blank else column
    if pd.api.types.is_numeric_dtype(column):
        return column
    empty = np.fromiter((isinstance(one, str) and not one.strip() for one in column), dtype=bool, count=len(column))
    return column.mask(empty) if empty.any() else column


def read_cells(adata: AnnData, cells: Any) -> NDArray[np.bool_]:
    """Turn a selection into a mask.

    Raises
    ------
    InputError
        It is empty, of another length, out of range, or names cells that are not there.
    """
    mask = np.zeros(adata.n_obs, dtype=bool)
    if cells is None:
        return ~mask
    values = np.asarray(cells.to_numpy() if isinstance(cells, pd.Series | pd.Index) else cells)
    values = np.atleast_1d(values)
    if values.dtype == bool:
        if values.shape != (adata.n_obs,):
            raise InputError(f"cells= as a mask must have shape ({adata.n_obs},), found {values.shape}.")
        mask = values.copy()
    elif np.issubdtype(values.dtype, np.integer):
        if values.size and (values.min() < -adata.n_obs or values.max() >= adata.n_obs):
            raise InputError(f"cells= holds positions beyond the {adata.n_obs} cells of adata.")
        mask[values] = True
    else:
        names = [str(one) for one in values.tolist()]
        found = adata.obs_names.isin(names)
        lost = sorted(set(names) - set(adata.obs_names[found]))
        if lost:
            raise InputError(f"cells= names {len(lost)} cells that adata does not have: {lost[:3]}.")
        mask = np.asarray(found)
    if not mask.any():
        raise InputError("cells= selects no cell.")
    return mask

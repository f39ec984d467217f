"""The rows a question is about and what each holds; a column is read on first use, kept while the data stay as read."""

from __future__ import annotations

import re
import warnings
from functools import cached_property, reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._logging import listed
from .._slots import Slots
from ..errors import InputError
from ..io.columns import obs_column
from ..predict.groups import read_groups
from .query import COMPARE
from .values import ColumnValues, is_list, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from numpy.typing import NDArray

    from .query import Where

# A column with more values names rows, not groups.
MOST_GROUPS = 500
# Columns of whole numbers that name clusters all the same.
CLUSTERS = re.compile(r"leiden|louvain|cluster|seurat", re.IGNORECASE)
# The columns of counts, genes and mitochondrial shares, as different tools call them.
_SHARE = "(pct|percent|perc|fraction|frac|share|reads)"
_USUAL = {
    "n_genes_by_counts": r"n_?(genes|features?)(_?by_?counts|_?rna)?",
    "total_counts": r"(total|n)_?(counts?|umis?)(_?(rna|total))?|umis?|umi_?counts?|library_?size",
    "pct_counts_mt": _SHARE + "?_?(counts?_?)?(mt|mito|mitochondrial|mitochondria)_?" + _SHARE + "?",
}
_PEEK = 1000  # rows looked at for lists


class Rows:
    """Rows of an AnnData, which is not changed, of which some are asked about; options as in :func:`scbioverse.tl.ask`.

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
        rest = map(str, filter(self._names, obs.columns.difference([*self.hidden], sort=False)))
        return list(dict.fromkeys([*first, *rest]))

    def _names(self, name: str) -> bool:
        """Whether a column names groups."""
        column = self.adata.obs[name]
        if column.ndim != 1:
            return False
        if _holds_numbers(column):
            return pd.api.types.is_integer_dtype(column) and bool(CLUSTERS.search(name))
        if isinstance(column.dtype, pd.CategoricalDtype):
            return len(column.cat.categories) <= MOST_GROUPS
        if column.dtype == object and any(map(is_list, column.head(_PEEK))):
            return True
        distinct = column.head(50 * MOST_GROUPS).map(value_text).nunique()
        # Names of single rows are no groups.
        return distinct <= MOST_GROUPS and (distinct < len(column) or len(column) == 1 or self.groups(name).several)

    @cached_property
    def group_fields(self) -> frozenset[str]:
        """Fields of the columns whose groups a question may name."""
        return frozenset(f"obs:{one}" for one in self.columns)

    @cached_property
    def changed(self) -> str:
        """What to say where labels no longer belong to the data."""
        return ""

    @cached_property
    def unmeasured(self) -> str:
        """What to say of genes where these were not measured."""
        return ""

    @cached_property
    def scale(self) -> str:
        """What to say of values of genes: on which scale they are."""
        return ""

    @cached_property
    def types(self) -> dict[str, dict[str, str]]:
        """Cell Ontology id of each value, of the columns whose values are names of cell types."""
        return {}

    def of_types(self, where: Where) -> bool:
        """Whether a condition is about names of cell types alone."""
        return where.fields() <= {f"obs:{one}" for one in self.types}

    @cached_property
    def genes(self) -> dict[str, int]:
        """Column of the matrix of each gene, where genes were measured."""
        return {}

    @cached_property
    def row_names(self) -> dict[str, list[int]]:
        """Rows of each name, lower case, where single rows have names."""
        return {}

    @cached_property
    def measures(self) -> list[str]:
        """Columns of `obs` that hold numbers."""
        obs = self.adata.obs
        rest = obs.columns.difference([*self.columns, *self.hidden], sort=False)
        return [str(one) for one in rest if obs[one].ndim == 1 and _holds_numbers(obs[one])]

    def own(self, standard: str) -> list[str]:
        """Columns of `obs` that hold one of the usual numbers of quality, by whatever name."""
        return [one for one in self.measures if re.fullmatch(_USUAL[standard], one, re.IGNORECASE)]

    def usual(self, standard: str) -> str:
        """Field of one of the usual numbers of quality, worked out where no column holds it."""
        own = self.own(standard)
        return f"obs:{own[0]}" if own else f"qc:{standard}"

    def groups(self, column: str) -> ColumnValues:
        """Read the groups of a column of `obs`, once; a row may be in several."""
        if column not in self._columns:
            self._columns[column] = ColumnValues(_without_blanks(self.adata.obs[column]), column)
        return self._columns[column]

    def sizes(self, column: str, mask: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
        """Names and rows of a column's groups among some rows; groups without rows are left out."""
        found = [(name, held & mask) for name, held in self.group_masks(column)]
        return [(name, rows) for name, rows in found if rows.any()]

    def group_masks(self, column: str) -> list[tuple[str, NDArray[np.bool_]]]:
        """Names and rows of a column's groups."""
        values = self.groups(column)
        return [(name, values.mask(name)) for name in values.names if name.strip()]

    def numbers(self, field: str) -> NDArray[np.float64]:
        """Values of a field, float64 (n_obs,); NaN where a row has none. Not to be written into."""
        if field not in self._numbers:
            kind, _, name = field.partition(":")
            self._numbers[field] = self.measured(kind, name)
        return self._numbers[field]

    def measured(self, kind: str, name: str) -> NDArray[np.float64]:
        """Read a column of `obs`; what else there is, is worked out."""
        if kind == "obs" and name in self.adata.obs:
            return pd.to_numeric(self.adata.obs[name], errors="coerce").to_numpy(np.float64)
        raise InputError(f"{kind}:{name} is nothing that these {self.noun}s have.")

    def texts(self, field: str, rows: list[int]) -> list[str | None]:
        """Texts of a column of some rows, None where there is none."""
        held = self.adata.obs[field.removeprefix("obs:")].astype(object).iloc[rows]
        return [value_text(one).strip() or None for one in held]

    def cut(self, fields: Iterable[str], rows: NDArray[np.bool_]) -> list[str]:
        """Say of which rows a part was not read."""
        own = {f"obs:{name}": name for name in self.measures}
        said = []
        for field in filter(own.get, dict.fromkeys(fields)):
            n = int((np.isinf(self.numbers(field)) & rows).sum())
            if n:
                what = f"obs[{own[field]!r}] is infinite in {self.counted(n)}"
                said.append(f"{what}: no mean, median, sum, extreme or rank counts these.")
        return said

    def counted(self, n: int) -> str:
        """Say a number of rows: "1 cell", "2,638 cells"."""
        return f"{n:,} {self.noun}{'s' * (n != 1)}"

    def known(self, where: Where) -> pd.arrays.BooleanArray:
        """Tell for which rows a condition holds, `NA` where it cannot be known because a value is missing."""
        if where.parts:
            parts: list[Any] = [self.known(one) for one in where.parts]
            # Kleene's logic: "unknown or true" is true.
            return ~parts[0] if where.op == "not" else reduce({"and": and_, "or": or_}[where.op], parts)
        if where.field == "row":
            return pd.array(self.adata.obs_names.isin(list(map(str, where.values))), dtype="boolean")
        if where.op == "is" or (where.op == "missing" and where.column in self.columns):
            values = self.groups(where.column)
            lost = values.codes < 0
            inside = values.mask(*(spelt for one in where.values for spelt in values.spellings(str(one))))
        else:
            held = self.numbers(where.field)
            lost = np.isnan(held)
            low, *high = sorted(map(float, where.values)) or [0.0]
            inside = (held >= low) & (held <= high[0]) if high else COMPARE.get(where.op, np.equal)(held, low)
        if where.op == "missing":
            return pd.arrays.BooleanArray(lost, np.zeros(len(lost), dtype=bool))
        return pd.arrays.BooleanArray(inside, lost)

    def mask(self, where: Where | None) -> NDArray[np.bool_]:
        """Rows asked about for which a condition is known to hold, bool (n_obs,)."""
        return self.asked if where is None else _certain(self.known(where)) & self.asked

    def at(self, conditions: Iterable[Where | None]) -> list[int]:
        """Positions of the rows that fulfil each of some conditions, one condition after the other."""
        return [int(row) for one in conditions for row in np.flatnonzero(self.mask(one))]

    def others(self, where: Where | None) -> NDArray[np.bool_]:
        """Rows that those asked about are compared with, bool (n_obs,).

        Those for which the condition is known not to hold, selected or not; without a condition, those not selected.
        """
        return ~self.asked if where is None else _certain(~self.known(where))

    def unknown(self, *conditions: Where) -> int:
        """Count rows asked about for which one of some conditions cannot be known."""
        missing = np.array([pd.isna(self.known(one)) for one in conditions] or [~self.asked])
        return int((missing.any(axis=0) & self.asked).sum())

    @cached_property
    def labels(self) -> list[str]:
        """What an answer calls each row."""
        return list(map(str, self.adata.obs_names))

    def called(self, rows: Iterable[int]) -> str:
        """List what an answer calls some rows."""
        return listed(self.labels[row] for row in rows)


def _certain(known: pd.arrays.BooleanArray) -> NDArray[np.bool_]:
    return known.to_numpy(dtype=bool, na_value=False)


def _holds_numbers(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def check_rows(adata: AnnData, groupby: str | None) -> None:
    """Raise an error for what no question can be asked about."""
    if not hasattr(adata, "obsm"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}.")
    if adata.n_obs == 0:
        raise InputError("adata has no rows: there is nothing to ask about.")
    if groupby is None:
        return
    column = obs_column(adata, groupby, "groupby")
    if _without_blanks(column).isna().all():
        raise InputError(f"adata.obs[{groupby!r}] has no value in any row: there are no groups to ask about.")
    if pd.api.types.is_numeric_dtype(column):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # rows without a value: answers say so
            read_groups(adata, groupby)


def _without_blanks(column: pd.Series) -> pd.Series:
    """Return a column with missing values where a text is empty or of spaces only."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.remove_categories(list(filter(_blank, column.cat.categories)))
    empty = column.map(_blank).to_numpy(dtype=bool)
    return column.mask(empty) if empty.any() else column


def _blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def read_cells(adata: AnnData, cells: Any) -> NDArray[np.bool_]:
    """Turn a selection into a mask; raise an InputError where it is empty, too long, or of cells that are not there."""
    mask = np.zeros(adata.n_obs, dtype=bool)
    if cells is None:
        return ~mask
    values = np.atleast_1d(np.asarray(cells))
    if values.dtype == bool:
        if values.shape != mask.shape:
            raise InputError(f"cells= as a mask must have shape ({adata.n_obs},), found {values.shape}.")
        mask = values.copy()
    elif np.issubdtype(values.dtype, np.integer):
        if np.any((values < -adata.n_obs) | (values >= adata.n_obs)):
            raise InputError(f"cells= holds positions beyond the {adata.n_obs} cells of adata.")
        mask[values] = True
    else:
        names = pd.Index(values.astype(str))
        lost = sorted(set(names.difference(adata.obs_names)))
        if lost:
            raise InputError(f"cells= names {len(lost)} cells that adata does not have: {lost[:3]}.")
        mask = adata.obs_names.isin(names)
    if not mask.any():
        raise InputError("cells= selects no cell.")
    return mask

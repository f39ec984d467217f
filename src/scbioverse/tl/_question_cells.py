"""The cells a question is about, and what was measured in them; read once and kept for a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._keys import Slots
from .._settings import settings
from ..errors import InputError
from ..explain.reading import MeasuredCells
from ..io.columns import obs_column
from ..models import load
from ..predict.embedding import represent_rows
from ..predict.groups import read_groups
from ._column_values import is_list
from ._questions import column_values, group_columns

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse
    from ._column_values import ColumnValues

Float = NDArray[np.float32]
MOST_EMBEDDED = 1000


class AskedCells:
    """Data, selection and model of a question; everything slow is done on first use.

    Parameters
    ----------
    adata
        The data; not changed.
    groupby
        Column of `obs` whose groups are meant, or None.
    cells
        Cells asked about: a mask, positions or names; all if None.
    model
        Name, path, or a model.
    modality, key, layer
        Where the model finds its input.
    key_added
        Stem of the slots that :func:`scbioverse.tl.annotate` wrote.

    Raises
    ------
    InputError
        The selection is empty or unknown, or there are no cells.
    MissingKeyError
        `groupby` is not a column of `obs`.
    """

    def __init__(
        self,
        adata: AnnData,
        *,
        groupby: str | None,
        cells: Any,
        model: str | Path | BioVerse,
        modality: str,
        key: str | None,
        layer: str | None,
        key_added: str,
        device: str = "auto",
    ) -> None:
        check_rows(adata, groupby)
        self.adata, self.groupby, self.modality, self.key, self.layer = adata, groupby, modality, key, layer
        self.slots = Slots(key_added)
        self.asked = read_cells(adata, cells)
        self.whole = bool(self.asked.all())
        self._model_name, self._device = model, device
        self._model: BioVerse | None = None
        self._measured: MeasuredCells | None = None
        self._no_genes: str | None = None
        self._means: dict[bytes, Float] = {}

    @property
    def model(self) -> BioVerse:
        """The model; the first access loads it."""
        if self._model is None:
            self._model = load(self._model_name, device=self._device)
        return self._model

    @property
    def columns(self) -> list[str]:
        """Columns of `obs` whose groups a question may name, the most likely first."""
        return group_columns(self.adata, self.groupby, self.slots.label)

    @property
    def measured(self) -> MeasuredCells | None:
        """Expression; None where the data hold no genes that can be read, with the reason in `no_genes`."""
        if self._measured is None and self._no_genes is None:
            if self.modality != "cell":
                self._no_genes = f"a {self.modality} has no genes."
                return None
            try:
                self._measured = MeasuredCells(self.adata, layer=self.layer, key=self.key)
            except InputError as error:
                self._no_genes = str(error)
        return self._measured

    @property
    def no_genes(self) -> str:
        """Why no gene can be looked at; empty if they can."""
        return "" if self.measured is not None else (self._no_genes or "")

    @property
    def genes(self) -> frozenset[str]:
        """Approved symbols of the genes measured."""
        return frozenset() if self.measured is None else frozenset(self.measured.expression.positions)

    def remark(self, column: str | None) -> str:
        """Say what an answer that counts the groups of a column must."""
        return "" if column is None else column_values(self.adata, column).remark()

    def groups_of(self, column: str) -> list[tuple[str, NDArray[np.bool_]]]:
        """Names and masks of a column's groups among the cells asked about; groups without cells are left out."""
        return groups_in(column_values(self.adata, column), self.asked)

    def expressing(self, gene: str, mask: NDArray[np.bool_]) -> tuple[int, int]:
        """Count exactly how many cells of a mask express a gene (value above 0), and how many there are."""
        if self.measured is None:
            raise InputError(self.no_genes)
        column = self.measured.columns[gene]
        rows = np.flatnonzero(mask)
        block = self.measured.cells.read(rows, [column])
        return int((block > 0).sum()), int(rows.size)

    def embed(self, masks: list[NDArray[np.bool_]]) -> Float:
        """Mean embedding of each mask's cells, float32 (len(masks), n_tokens, dim); of large ones every k-th cell."""
        new = {mask.tobytes(): mask for mask in masks if mask.tobytes() not in self._means}
        if new:
            shown, settings.progress = settings.progress, False
            try:
                self._means |= dict(zip(new, self._embed(list(new.values())), strict=True))
            finally:
                settings.progress = shown
        return np.stack([self._means[mask.tobytes()] for mask in masks])

    def _embed(self, masks: list[NDArray[np.bool_]]) -> Float:
        chosen = [_every_kth(np.flatnonzero(mask)) for mask in masks]
        rows = np.unique(np.concatenate(chosen))
        values = represent_rows(
            self.adata, self.model, modality=self.modality, key=self.key, layer=self.layer, slots=self.slots, rows=rows
        ).values
        place = pd.Index(rows)
        means = [values[place.get_indexer(one)].mean(axis=0, dtype=np.float64) for one in chosen]
        return np.stack(means).astype(np.float32)


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
    # A column of lists is no groups, but its values can be asked about.
    if groupby is not None and not any(map(is_list, obs_column(adata, groupby, "groupby"))):
        read_groups(adata, groupby)


def groups_in(values: ColumnValues, asked: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Names and masks of a column's groups among the rows asked about; groups without rows are left out."""
    named = [(one, values.mask(one) & asked) for one in values.names]
    return [(name, mask) for name, mask in named if mask.any()]


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


def _every_kth(rows: NDArray[np.integer]) -> NDArray[np.integer]:
    if rows.size <= MOST_EMBEDDED:
        return rows
    return rows[np.linspace(0, rows.size - 1, MOST_EMBEDDED).astype(np.int64)]

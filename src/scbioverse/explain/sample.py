"""The cells that claims are tested on: read once, a sample of large data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io import Cells
from .expression import Expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from .claims import Measured


class MeasuredCells:
    """Expression of some cells, for any number of texts and groups; see :meth:`scbioverse.io.Cells.sample`.

    `codes`, int (n_obs,), are groups, for fair shares; -1 for cells to leave out. `rows` are the positions of the cells
    that were read, `columns` the data's column of each approved symbol.
    """

    def __init__(
        self,
        data: AnnData | Cells,
        *,
        layer: str | None = None,
        key: str | None = None,
        codes: NDArray[np.integer] | None = None,
    ) -> None:
        # Where the cells were embedded, their blocks are in memory already: nothing is read twice.
        self.cells = Cells.of(data, layer, key)
        self.n_obs = self.cells.n_obs
        found = self.cells.sample(codes)
        self.rows, self.columns = found.rows, found.columns
        self.expression = Expression(found.values, found.symbols)

    def measure(self, rows: Any, genes: Sequence[str], against: Any | None = None) -> dict[str, Measured]:
        """Compare some cells (positions or mask) with others, all if None, gene by gene, as far as measured."""
        inside = self._mask(rows)
        # A cell on both sides would be compared with itself.
        outside = ~inside if against is None else self._mask(against) & ~inside
        return self.expression.measure(inside[self.rows], outside[self.rows], genes)

    def _mask(self, rows: Any) -> NDArray[np.bool_]:
        at = np.asarray(rows)
        if at.dtype == bool:
            if at.shape != (self.n_obs,):
                raise InputError(f"a mask of rows must have shape ({self.n_obs},), found {at.shape}.")
            return at
        mask = np.zeros(self.n_obs, dtype=bool)
        mask[at.astype(np.int64)] = True
        return mask

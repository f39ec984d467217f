"""Marker evidence of cells: their z-scores against a reference pool, summed over each candidate's markers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..io import Cells
from ._panel_share import panel_offsets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
    from anndata import AnnData
    from numpy.typing import NDArray

    from ._panel_share import GeneStats, Panel


def marker_evidence(
    data: AnnData | Cells,
    stats: GeneStats,
    cl_ids: Sequence[str | None],
    *,
    key: str | None = None,
    layer: str | None = None,
    min_genes: int = 100,
) -> NDArray[np.float32]:
    """Weighted sum of the z-scores of each candidate's markers, every cell by itself.

    Values are scaled as the compact encoder scales them (log of counts per panel share, standardised with mean and
    standard deviation over the encoder's training pool, clipped), so that no statistic of the data set at hand enters
    and a cell's evidence does not depend on the other cells. The weights are
    :func:`scbioverse.knowledge.marker_weights.marker_weights`.

    Parameters
    ----------
    data
        Raw counts or log-normalised values, not changed; or cells, of which what was summed before is given again.
    stats
        Reference means and standard deviations of genes.
    cl_ids
        m candidates; None for one that is no ontology term.
    key
        Column of `adata.var` with gene names; the index of `var` if not given.
    layer
        Layer to read; `X` if not given, `adata.raw` if `"raw"`.
    min_genes
        Fewest genes that must be known.

    Returns
    -------
    float32 (n_obs, m), in standard deviations of such a sum over the reference pool, were its genes independent. 0
    for a candidate without measured markers and for a cell without counts.

    Raises
    ------
    InputError
        The matrix cannot be used or too few genes match.
    MissingKeyError
        `layer` or `key` is not there.
    """
    cells = Cells.of(data, layer, key)
    cells.match(stats.genes, min_genes=min_genes, judge=False)
    return cells.once(stats.read).evidence(cells, cl_ids)


def panel_evidence(
    counts: sp.csr_matrix | sp.csr_array, stats: GeneStats, panel: Panel, weights: sp.csr_array
) -> NDArray[np.float32]:
    """Marker evidence from linear counts whose columns are already those of a panel.

    Parameters
    ----------
    counts
        (n, p), CSR, non-negative, columns in the order of `panel.vocab`.
    stats, panel
        Reference statistics and the measured part of their vocabulary, p genes.
    weights
        (m, p), see :func:`scbioverse.knowledge.marker_weights.marker_weights`.

    Returns
    -------
    float32 (n, m); 0 for a cell without counts.
    """
    values = (panel_offsets(counts, stats, panel) @ weights.T).toarray() + weights @ panel.zero
    values[np.asarray(counts.sum(axis=1)).ravel() == 0] = 0
    return values.astype(np.float32, copy=False)

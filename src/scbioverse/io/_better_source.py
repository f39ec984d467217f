"""Whether `raw` or a layer would serve better than `X`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .._logging import logger
from ..errors import InputError, MissingKeyError
from ._genes import match_genes
from ._rows import gene_names, layer_names, read_rows
from ._scale import ASSUMED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from ._matrix import MatrixInfo

# A few genes more are not worth a line.
_CLEARLY_MORE = 1.2
_ROWS = 50


def say_better_source(
    adata: AnnData, vocabulary: Sequence[str], *, key: str | None, n_found: int, info: MatrixInfo
) -> None:
    """Log one line where another matrix holds clearly more of the genes, or counts where the scale of `X` was assumed.

    Parameters
    ----------
    adata
        The data; not changed.
    vocabulary
        Genes that are looked for.
    key
        Column of `var` with gene names.
    n_found
        How many of them `X` has.
    info
        What was found about `X`.
    """
    if adata.raw is not None:
        n_raw = _n_matched(adata, vocabulary, key)
        if n_raw > _CLEARLY_MORE * n_found and _holds(adata, "raw", counts=False):
            logger.info(
                "adata.raw has %d of the genes, adata.X only %d: layer='raw' would serve better", n_raw, n_found
            )
            return
        if info.evidence.startswith(ASSUMED) and n_raw >= n_found and _holds(adata, "raw", counts=True):
            logger.info("the scale of adata.X was assumed, and adata.raw has counts: layer='raw' would serve better")
            return
    if info.evidence.startswith(ASSUMED):
        layer = next((name for name in layer_names(adata) if _holds(adata, name, counts=True)), None)
        if layer is not None:
            logger.info(
                "the scale of adata.X was assumed, and layer %r has counts: layer=%r would serve better", layer, layer
            )


def _n_matched(adata: AnnData, vocabulary: Sequence[str], key: str | None) -> int:
    try:
        return int(match_genes(gene_names(adata, key=key, layer="raw"), vocabulary, min_genes=0).vocab.size)
    except (InputError, MissingKeyError):
        return 0


def _holds(adata: AnnData, layer: str, *, counts: bool) -> bool:
    """Whether some cells of a matrix hold values that can be read, or only whole numbers if it has to be counts."""
    try:
        if layer not in adata.layers and (layer != "raw" or adata.raw is None):
            return False
        rows = np.unique(np.linspace(0, adata.n_obs - 1, min(_ROWS, adata.n_obs)).astype(np.int64))
        block = read_rows(adata, rows, layer)  # of a view these rows alone
    except (InputError, MissingKeyError):
        return False
    values: NDArray[Any] = np.asarray(block.data if sp.issparse(block) else block)
    if not values.size or not np.isfinite(values).all() or values.min() < 0 or values.max() <= 0:
        return False
    return not counts or bool((values == np.rint(values)).all())

"""The compact encoder's input computed the plain way, as a dense matrix: the reference in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scbioverse.encoders.compact import GeneStats


def panel_zscores(counts: Any, stats: GeneStats, vocab: Any) -> NDArray[np.float32]:
    """Clipped z-scores float32 (n, G) of linear counts (n, m), columns in the order of `vocab`; 0 elsewhere."""
    panel = stats.panel(vocab)
    dense = counts.toarray() if sp.issparse(counts) else np.asarray(counts)
    total = dense.sum(axis=1, dtype=np.float64)[:, None]
    scaled = dense * (stats.target_sum * panel.share / np.where(total > 0, total, 1)).astype(np.float32)
    x = np.clip((np.log1p(scaled, dtype=np.float32) - panel.mean) * panel.scale, *stats.clip)
    out = np.zeros((len(dense), stats.n_genes), dtype=np.float32)
    out[:, panel.vocab] = np.where(total > 0, x, 0)
    return out

"""Training batches for the cell encoder: sampling, augmentation, normalisation.

Augmentation happens on the linear scale, before normalisation, where each disturbance has a physical meaning:
sequencing depth (binomial thinning), platform (a factor per gene, shared by the batch), dropout of genes, and panels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class AugmentConfig:
    """How hard the training cells are disturbed."""

    thin_probability: float = 0.5
    min_keep: float = 0.25
    batch_factor_sd: float = 0.35
    gene_dropout: float = 0.10
    panel_probability: float = 0.4
    min_panel: int = 150
    max_panel: int = 8000


@dataclass
class Pool:
    """All training cells, real and simulated, on one vocabulary.

    Attributes
    ----------
    counts
        (n, G) CSR float32, linear scale.
    panel
        (s, G) bool, one row per source.
    source
        (n,) int, row of `panel`.
    term
        (n,) int, index of the cell's Cell Ontology term.
    probability
        (n,) float64, sampling probability, sums to 1.
    """

    counts: sparse.csr_matrix
    panel: np.ndarray
    source: np.ndarray
    term: np.ndarray
    probability: np.ndarray


def draw(
    pool: Pool, size: int, config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one augmented batch.

    Returns
    -------
    counts
        (size, G) float32 on the linear scale, zero outside the panel.
    panel
        (size, G) bool.
    term
        (size,) int.
    """
    rows = rng.choice(len(pool.term), size, p=pool.probability)
    block = pool.counts[rows]
    keep = np.where(rng.random(size) < config.thin_probability, rng.uniform(config.min_keep, 1, size), 1.0)
    per_value = np.repeat(keep, np.diff(block.indptr))
    thinned = per_value < 1
    block.data[thinned] = rng.binomial(np.round(block.data[thinned]).astype(np.int64), per_value[thinned])
    counts = block.toarray()
    n_genes = counts.shape[1]
    counts *= np.exp(rng.normal(0, config.batch_factor_sd, n_genes)).astype(np.float32)
    panel = pool.panel[pool.source[rows]]
    # One random panel for a slice of the batch: cells of one study share a panel.
    narrow = np.flatnonzero(rng.random(size) < config.panel_probability)
    for group in np.array_split(narrow, 4):
        n_panel = min(n_genes, int(np.exp(rng.uniform(np.log(config.min_panel), np.log(config.max_panel)))))
        if not group.size:
            continue
        # Panels hold variable, well expressed genes, not random ones: draw by expression in the batch.
        weight = (counts > 0).mean(0) ** 0.5 + 0.02
        chosen = rng.choice(n_genes, n_panel, replace=False, p=weight / weight.sum())
        mask = np.zeros(n_genes, bool)
        mask[chosen] = True
        panel[group] &= mask
    panel &= rng.random(n_genes) > config.gene_dropout * rng.random()
    counts *= panel
    return counts, panel, pool.term[rows]

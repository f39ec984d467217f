"""Cells simulated from published profiles. They are simulated: no figure may call them cells of a study.

A profile is the mean of a pure population. A simulated cell draws, in this order: a biological deviation per gene
(lognormal times gamma), a share of ambient RNA (the mean over all profiles), a depth (lognormal), and Poisson counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from recipes.bioverse_small.data import Profiles

FEWEST = 4


@dataclass(frozen=True)
class SimulationConfig:
    """Strength of each source of variation; defaults resemble droplet data without MT and ribosomal genes."""

    cells_per_profile: int = 32
    """Of a profile that counts 1; of one that counts less, fewer, at least four."""
    lognormal_sd: float = 0.45
    gamma_shape: float = 4.0
    max_ambient: float = 0.10
    median_depth: float = 1800.0
    depth_sd: float = 0.6
    local_ambient: float = 0.0
    """Share of profiles whose cells lie in the RNA of their own set instead of that of the whole body."""


def simulate(
    profiles: Profiles, config: SimulationConfig, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Draw cells from profiles.

    Returns
    -------
    counts
        (n, G) CSR float32 of integers, `cells_per_profile` of a profile of weight 1.
    profile
        (n,) int, the profile that each cell came from.
    """
    matrix, everywhere = profiles.matrix, profiles.mean()
    local = {one: matrix[profiles.sources == one].mean(0) for one in set(profiles.sources)}
    blocks, sizes = [], cells_of_each(profiles, config)
    for row, source, n in zip(matrix, profiles.sources, sizes, strict=True):
        here = config.local_ambient > 0 and rng.random() < config.local_ambient
        ambient = local[source] if here else everywhere
        support = np.flatnonzero((row > 0) | (ambient > 1e-5))
        shape = (int(n), len(support))
        noise = np.exp(rng.normal(0, config.lognormal_sd, shape).astype(np.float32))
        noise *= rng.gamma(config.gamma_shape, 1 / config.gamma_shape, shape).astype(np.float32)
        share = row[support] * noise
        share /= share.sum(1, keepdims=True) + 1e-12
        soup = rng.uniform(0, config.max_ambient, (shape[0], 1)).astype(np.float32)
        share = (1 - soup) * share + soup * (ambient[support] / ambient[support].sum())
        depth = config.median_depth * np.exp(rng.normal(0, config.depth_sd, (shape[0], 1)))
        counts = sparse.csr_matrix(rng.poisson(share * np.clip(depth, 200, 20000)).astype(np.float32))
        counts.indices = support[counts.indices].astype(np.int32)
        blocks.append(
            sparse.csr_matrix((counts.data, counts.indices, counts.indptr), shape=(shape[0], matrix.shape[1]))
        )
    return sparse.vstack(blocks).tocsr(), np.repeat(np.arange(len(matrix)), sizes)


def cells_of_each(profiles: Profiles, config: SimulationConfig) -> np.ndarray:
    """How many cells are drawn of each profile, (p,) int."""
    wanted = np.round(config.cells_per_profile * np.minimum(profiles.weights, 1)).astype(int)
    return np.maximum(wanted, min(FEWEST, config.cells_per_profile))

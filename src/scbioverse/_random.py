"""Seeds and generators, resolved in one place."""

from __future__ import annotations

import numpy as np

Rng = int | np.random.Generator | None


def as_generator(rng: Rng) -> np.random.Generator:
    """Turn a seed, a generator or None (seed 0, so that results repeat) into a generator."""
    if isinstance(rng, np.random.Generator):
        return rng
    return np.random.default_rng(0 if rng is None else rng)


def as_seed(rng: Rng) -> int:
    """Draw one 31-bit seed, for libraries that take an integer. An integer stands for itself."""
    if isinstance(rng, int | np.integer):
        return int(rng)
    return 0 if rng is None else int(rng.integers(2**31 - 1))

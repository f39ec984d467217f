"""Two kinds of vectors with no common space, next to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unit_rows(x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Divide each row by its length; a row of zeros stays."""
    x = np.asarray(x, np.float32)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def side_by_side(*parts: NDArray[np.floating]) -> list[NDArray[np.float32]]:
    """Bring vectors (n_i, d_i) to one width without fitting anything: float32 (n_i, max d), rows of length 1.

    Every row is divided by its length and the narrower kinds are filled up with zeros. Angles within a kind are exactly
    those of the raw vectors. Angles between kinds mean nothing, which is what a picture of the state before alignment
    has to show; a rotation fitted to the data (PCA of each, say) would hide how far apart they lie.
    """
    width = max(part.shape[1] for part in parts)
    return [np.pad(unit_rows(part), ((0, 0), (0, width - part.shape[1]))) for part in parts]


def centroid_gap(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Distance, 0 to 2, between the centroids of two sets of unit vectors (Liang et al. 2022, "modality gap")."""
    return float(np.linalg.norm(unit_rows(a).mean(axis=0) - unit_rows(b).mean(axis=0)))

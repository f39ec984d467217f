"""Cells joined into groups, and one answer for each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from ..errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Groups:
    """Groups with at least one cell.

    Attributes
    ----------
    names
        As strings, in the order of the categories.
    codes
        int64 (n_obs,): group of each cell, -1 for none.
    """

    names: list[str]
    codes: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Cells in each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))


def read_groups(adata: AnnData, groupby: str) -> Groups:
    """Read a column of `obs` as groups; categories without cells are left out.

    Raises
    ------
    MissingKeyError
        There is no such column.
    InputError
        No cell is in a group.

    Warns
    -----
    UserWarning
        Some cells are in none.
    """
    if groupby not in adata.obs:
        raise MissingKeyError(
            f"groupby={groupby!r} is not a column of adata.obs (found: {list(map(str, adata.obs.columns)) or 'none'}). "
            "To make clusters: scanpy.pp.neighbors(adata, use_rep='X_bioverse'); scanpy.tl.leiden(adata)."
        )
    column = adata.obs[groupby].astype("category").cat.remove_unused_categories()
    codes = column.cat.codes.to_numpy(dtype=np.int64)
    if (codes < 0).all():
        raise InputError(f"adata.obs[{groupby!r}] is missing (NaN) for every cell: there is no group to annotate.")
    if (codes < 0).any():
        warnings.warn(
            f"{int((codes < 0).sum())} cells have no value in adata.obs[{groupby!r}]; they get no label.",
            UserWarning,
            stacklevel=3,
        )
    return Groups([str(name) for name in column.cat.categories], codes)


def group_scores(log_probs: Float, groups: Groups) -> Float:
    """Mean log-probability over the cells of each group, normalised again: (n_groups, n_labels).

    The geometric mean of the cells' probabilities: a label must be possible for most cells of a group.
    """
    inside = groups.codes >= 0
    frame = pd.DataFrame(log_probs[inside].astype(np.float64)).groupby(groups.codes[inside]).mean()
    mean = frame.reindex(range(len(groups.names))).to_numpy()
    return (mean - logsumexp(mean, axis=1, keepdims=True)).astype(np.float32)


def agreement(log_probs: Float, groups: Groups, best: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of each group's cells whose own best label is the group's."""
    inside = groups.codes >= 0
    own = log_probs.argmax(axis=1)[inside] == best[groups.codes[inside]]
    return np.bincount(groups.codes[inside], weights=own, minlength=len(groups.names)) / groups.sizes

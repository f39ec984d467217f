"""`sb.pl.confidence_calibration`: whether a confidence of 0.8 is right in 8 of 10 cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from .._docs import documented
from ..errors import InputError, check_choice
from ..get._labelled import Labelled
from ._agreement import AGREEING, SAME, UNKNOWN, UNREAD, compared
from ._style import DOCS, FAINT, INK, PALETTE, drawn_in, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Bins with fewer cells say little: their dot is left white.
_FEW = 20


@documented(**DOCS)
def confidence_calibration(
    adata: AnnData,
    *,
    label_key: str = "cell_type",
    key: str | None = None,
    right: Literal["same", "kin"] = "same",
    n_bins: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | Axes | None:
    """Show how often labels of each confidence are right, by published labels.

    A reliability diagram (Guo et al. 2017, arXiv:1706.04599): cells in bins of equal width by confidence, the share
    that is right over their mean confidence. On the diagonal the confidence can be taken at its word; below, it
    promises too much. Bars show how the cells are spread; a white dot has fewer than 20 cells. The expected calibration
    error is the mean distance from the diagonal, weighted by cells.

    Parameters
    ----------
    adata
        Annotated cells with published labels.
    label_key
        Column of `obs` with published labels; cells without one, or called unassigned or unknown, are left out, and
        those with a label that cannot be compared or that are called unknown.
    {key}
    right
        `"same"`: right is the same term. `"kin"`: also a more or a less specific one.
    n_bins
        Number of bins.
    {drawn}

    Raises
    ------
    MissingKeyError
        A column is not there.
    InputError
        No cell has both labels, or an option cannot be used.

    {example}
    >>> sb.pl.confidence_calibration(adata, label_key="cell_type", right="kin")
    """
    check_choice("right", right, "same", "kin")
    if n_bins < 1:
        raise InputError(f"n_bins must be at least 1, found {n_bins}.")
    found, published, labels = compared(adata, label_key, key)
    adata, slots = Labelled.of(adata, key, "confidence")
    relation = found.relation_of_cells(published, labels)
    confidence = adata.obs[slots.confidence].to_numpy(np.float64)[found.rows]
    judged = ~np.isin(relation, (UNREAD, UNKNOWN)) & np.isfinite(confidence)
    if not judged.any():
        raise InputError(f"no label of {label_key!r} can be compared with those found: none has a Cell Ontology term.")
    confidence = confidence[judged]
    is_right = np.isin(relation[judged], (SAME,) if right == "same" else AGREEING)
    mean, share, n = reliability(confidence, is_right, n_bins)
    error = float((n * np.abs(share - mean)).sum() / n.sum())

    figure, ax = drawn_in(ax)
    spread = np.bincount(_bins(confidence, n_bins), minlength=n_bins) / len(confidence)
    ax.bar(np.arange(n_bins) / n_bins, spread, 1 / n_bins, align="edge", color="#e4e4ea", lw=0, zorder=0)
    ax.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls="--", zorder=1)
    ax.plot(mean, share, color=PALETTE[0], lw=1.2, zorder=2)
    fill = [PALETTE[0] if one >= _FEW else "white" for one in n]
    ax.scatter(mean, share, s=22, c=fill, edgecolors=PALETTE[0], linewidths=1.0, zorder=3)
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.set_xlabel("Confidence", fontsize=7.5, color=INK)
    ax.set_ylabel("Share that is right" + (" or kin" if right == "kin" else ""), fontsize=7.5, color=INK)
    ax.tick_params(labelsize=6.5, length=2)
    ax.spines[["top", "right"]].set_visible(False)
    title = f"{int(n.sum()):,} cells, right {is_right.mean():.2f}, mean confidence {confidence.mean():.2f}"
    ax.set_title(f"{title}\nexpected calibration error {error:.3f}", fontsize=7, loc="left", color=INK)
    return finish(figure, ax, show=show, return_fig=return_fig)


def reliability(confidence: np.ndarray, is_right: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean confidence, share that is right and number of cells of each bin that holds any."""
    bins = _bins(confidence, n_bins)
    n = np.bincount(bins, minlength=n_bins)
    held = n > 0
    sums = [np.bincount(bins, weights=one, minlength=n_bins)[held] / n[held] for one in (confidence, is_right)]
    return sums[0], sums[1], n[held]


def _bins(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    return np.minimum((np.clip(confidence, 0, 1) * n_bins).astype(int), n_bins - 1)

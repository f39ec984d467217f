"""What can be read from the figures: axes, texts, legends, and how many points and lines they hold; not pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import scbioverse as sb

from . import _data as data
from ._golden import Found

VERBS: dict[str, Callable[[], Found]] = {}


def figure(make: Callable[[], Figure]) -> Callable[[], Figure]:
    """Put a figure into the table of scenarios."""

    def run() -> Found:
        import matplotlib.pyplot as plt

        plt.switch_backend("Agg")
        drawn = make()
        try:
            return Found({f"axes {i}": described(one) for i, one in enumerate(drawn.axes)})
        finally:
            plt.close(drawn)

    VERBS[make.__name__] = run
    return make


def described(ax: Axes) -> dict[str, Any]:
    """Return what is read on one pair of axes; ticks only where they are words."""
    legend = ax.get_legend()
    ticks = [text.get_text() for axis in (ax.xaxis, ax.yaxis) for text in axis.get_ticklabels()]
    return {
        "title": ax.get_title(),
        "labels": [ax.get_xlabel(), ax.get_ylabel()],
        "texts": [text.get_text() for text in ax.texts if text.get_text()],
        "ticks": [text for text in ticks if any(sign.isalpha() for sign in text)],
        "legend": [] if legend is None else [text.get_text() for text in legend.get_texts()],
        "points": [len(one.get_offsets()) for one in ax.collections],
        "lines": len(ax.lines),
    }


@cache
def _annotated() -> ad.AnnData:
    adata = data.blood(45)
    sb.tl.annotate(adata, model=data.model(), labels=data.NAMES)
    return adata


def annotated() -> ad.AnnData:
    return _annotated().copy()


@figure
def alignment_umap() -> Figure:
    return sb.pl.alignment_umap(annotated(), model=data.model(), n_general=20, rng=0, return_fig=True)


@figure
def annotation_umap() -> Figure:
    adata = annotated()
    adata.obsm["X_map"] = adata.obsm["X_bioverse"][:, :2]
    return sb.pl.annotation_umap(adata, basis="X_map", return_fig=True)


@figure
def evidence_dotplot() -> Figure:
    return sb.pl.evidence_dotplot(annotated(), return_fig=True)


@figure
def training_history() -> Figure:
    steps = np.arange(12)
    history = pd.DataFrame({"step": steps, "loss": 3 / (1 + steps), "loss_markers": np.where(steps % 2, 1.0, np.nan)})
    return sb.pl.training_history(history, return_fig=True)

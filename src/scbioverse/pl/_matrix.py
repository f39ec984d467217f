"""A matrix of shares with names on both sides, legible at the width of a journal's column (89 mm)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._shown import plotted_name
from ._style import COLUMN, INK, figure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Numbers are written into cells of a matrix of at most so many columns, and only those that are not close to none.
_WRITTEN, _LEAST = 12, 0.05


def draw_matrix(
    values: NDArray, rows: Sequence[str], columns: Sequence[str], *, bar: str, cmap: Any, ax: Axes | None
) -> tuple[Figure, Axes]:
    """Draw shares from 0 to 1 as colours, with a colour bar; return the figure and the axes."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    if ax is None:
        height = 0.19 * len(rows) + 1.7
        figure, ax = plt.subplots(figsize=(max(COLUMN, 0.2 * len(columns) + 1.6), height), layout="constrained")
    figure = figure_of(ax)
    image = ax.imshow(values, cmap=mpl.colormaps[cmap], vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(rows)), [plotted_name(one, 32) for one in rows], fontsize=6.5, color=INK)
    ax.set_xticks(range(len(columns)), [plotted_name(one, 32) for one in columns], fontsize=6.5, color=INK, rotation=90)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    if len(columns) <= _WRITTEN:
        for i, j in zip(*(values >= _LEAST).nonzero(), strict=True):
            red, green, blue, _ = image.cmap(image.norm(values[i, j]))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            ax.text(j, i, f"{100 * values[i, j]:.0f}", ha="center", va="center", fontsize=6, color="w" if dark else INK)
    strip = figure.colorbar(image, ax=ax, shrink=0.6, aspect=20, pad=0.02)
    strip.outline.set_visible(False)
    strip.ax.tick_params(labelsize=6, length=2)
    strip.set_label(bar, fontsize=6.5, color=INK)
    return figure, ax

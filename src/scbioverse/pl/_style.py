"""How every picture of scbioverse looks: colours, axes, legends, matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._logging import plotted_name
from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

INK = "#262626"
FAINT = "#8c8c8c"
ABSENT = "#d0d0d0"
COLUMN = 3.5  # inches: 89 mm, one column of a journal
NOT_TYPES = ("unassigned", "unknown", "nan", "")
# Nine hues told apart with every common colour vision deficiency, after Paul Tol's "muted" scheme
# (Technical note SRON/EPS/TN/09-002, 2021), ordered so that the first ones differ most.
PALETTE = ("#332288", "#cc6677", "#117733", "#ddaa33", "#66b2dd", "#882255", "#44aa99", "#8c8c22", "#aa4499")

# What pictures say alike in their documentation; see :func:`scbioverse._docs.documented`.
DOCS = {
    "key": """\
key
    Stem of the slot names that `annotate` wrote, `"bioverse"` if not given.""",
    "published": """\
adata
    Annotated cells with published labels.
label_key
    Column of `obs` with published labels; cells without one, or called unassigned or unknown, are left out.
key
    Stem of the slot names that `annotate` wrote, `"bioverse"` if not given.""",
    "drawn": """\
ax, show, return_fig
    Where to draw; show the figure (the default), or return it and do not show it: `figure.savefig(...)` saves it.

Returns
-------
None, the axes if `show=False`, or the figure if `return_fig=True`.""",
    "example": """\
Examples
--------
>>> import scbioverse as sb
>>> adata = sb.datasets.pbmc3k()
>>> sb.tl.annotate(adata)""",
}


def is_no_type(name: str) -> bool:
    """Whether a label says that there is none, such as "unknown"."""
    return name.strip().lower() in NOT_TYPES


def palette(adata: AnnData, key: str, categories: Sequence[str]) -> dict[str, str]:
    """Colour of each category: the caller's own `uns["<key>_colors"]` if it fits, else :data:`PALETTE`.

    More categories than hues repeat them, lighter each time. Names that say "no type" are grey.
    """
    from matplotlib.colors import to_hex, to_rgb

    stored = adata.uns.get(f"{key}_colors")
    dtype = adata.obs[key].dtype if key in adata.obs else None
    named = list(getattr(dtype, "categories", ()))
    if stored is not None and len(stored) == len(named):
        known = dict(zip(map(str, named), map(to_hex, stored), strict=True))
        if set(categories) <= set(known):
            return {category: known[category] for category in categories}
    colours = dict.fromkeys(categories, ABSENT)
    for i, category in enumerate(name for name in categories if not is_no_type(name)):
        turn, hue = divmod(i, len(PALETTE))
        strength = 0.62**turn
        red, green, blue = (1 - strength * (1 - part) for part in to_rgb(PALETTE[hue]))
        colours[category] = to_hex((red, green, blue))
    return colours


def drawn_in(ax: Axes | None, width: float = COLUMN, height: float = 3.2) -> tuple[Figure, Axes]:
    """Return the axes to draw in, with their figure: those given, or new ones of a size in inches."""
    if ax is not None:
        return figure_of(ax), ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")


def figure_of(ax: Axes) -> Figure:
    """Return the figure that `ax` is in."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise InputError("ax belongs to no figure.")
    return figure


def name_axes(ax: Axes, x: str, y: str, *, size: float = 7) -> None:
    """Say what the axes are."""
    ax.set_xlabel(x, fontsize=size, color=INK)
    ax.set_ylabel(y, fontsize=size, color=INK)


def bare(ax: Axes) -> None:
    """Take ticks and frame away: the axes of a UMAP have no unit."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def map_corner(ax: Axes, name: str = "UMAP") -> None:
    """Draw two short arrows in the lower left corner instead of a frame."""
    box = ax.get_window_extent()
    length = 0.11 * min(box.width, box.height)
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": FAINT, "lw": 1.0, "shrinkA": 0, "shrinkB": 0}
    text: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "color": FAINT, "fontsize": 8}
    for end in ((length / box.width, 0.0), (0.0, length / box.height)):
        ax.annotate("", xy=end, xytext=(0, 0), xycoords="axes fraction", arrowprops=arrow)
    ax.annotate(f"{name} 1", (0, 0), xytext=(0, -4), ha="left", va="top", **text)
    ax.annotate(f"{name} 2", (0, 0), xytext=(-4, 0), ha="right", va="bottom", rotation=90, **text)


def mark(name: str, **style: Any) -> Line2D:
    """Return an entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", label=name, **style)


def draw_names(colours: Mapping[str, str], ax: Axes) -> None:
    """Explain colours to the right of `ax`."""
    ax.legend(
        handles=[mark(plotted_name(name), marker="o", markersize=7, color=hue) for name, hue in colours.items()],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize=9.5,
        ncols=-(-len(colours) // 16),
        labelcolor=INK,
        handletextpad=0.3,
    )


def finish(figure: Figure, axes: Any, *, show: bool | None, return_fig: bool | None) -> Any:
    """Return the figure, show it, or return its axes, as scanpy's plots do."""
    if return_fig:
        return figure
    if show is None or show:
        import matplotlib.pyplot as plt

        plt.show()
        return None
    return axes


# Numbers are written into cells of a matrix of at most so many columns, and only those that are not close to none.
_WRITTEN, _LEAST = 12, 0.05
_LONGEST = 32  # letters of a name
_LEAST_HEIGHT = 1.2  # inches


def counted_names(rows: pd.Series) -> list[str]:
    """Name rows with their numbers of cells; a name may be cut, its number is not."""
    return [f"{plotted_name(str(name), 26)} ({n:,})" for name, n in rows.items()]


def draw_matrix(table: pd.DataFrame, n: pd.Series, *, bar: str, cmap: Any, ax: Axes | None) -> tuple[Figure, Axes]:
    """Draw shares from 0 to 1 as colours, with a colour bar; return the figure and the axes.

    `n` are numbers of cells by the names of the rows.
    """
    import matplotlib as mpl

    values, names = table.to_numpy(), [plotted_name(str(one), _LONGEST) for one in table.columns]
    # Names below the columns may be longer than a matrix of few rows is high, and the names of the axes are as well.
    height = max(0.19 * len(n), _LEAST_HEIGHT) + 0.05 * max(map(len, names)) + 0.6
    figure, ax = drawn_in(ax, max(COLUMN, 0.2 * len(names) + 1.6), height)
    image = ax.imshow(values, cmap=mpl.colormaps[cmap], vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(n)), counted_names(n), fontsize=6.5, color=INK)
    ax.set_xticks(range(len(names)), names, fontsize=6.5, color=INK, rotation=90)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if len(names) <= _WRITTEN:
        for i, j in zip(*(values >= _LEAST).nonzero(), strict=True):
            red, green, blue, _ = image.cmap(image.norm(values[i, j]))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            ax.text(j, i, f"{100 * values[i, j]:.0f}", ha="center", va="center", fontsize=6, color="w" if dark else INK)
    strip = figure.colorbar(image, ax=ax, shrink=0.6, aspect=20, pad=0.02)
    strip.outline.set_visible(False)
    strip.ax.tick_params(labelsize=6, length=2)
    strip.set_label(bar, fontsize=6.5, color=INK)
    return figure, ax

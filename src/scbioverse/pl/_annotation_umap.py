"""`sb.pl.annotation_umap`: labels and confidence on a map of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._docs import documented
from .._logging import plotted_name
from ..errors import InputError, check_columns
from ..get._labelled import Labelled, texts
from ..knowledge import resolve_labels
from ._layout import map_of
from ._style import DOCS, INK, bare, draw_names, figure_of, finish, map_corner
from ._style import palette as default_palette

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._device import Rng
    from .._slots import Slots

_NAMES = 2.5  # inches that a panel has for names; more make the figure wider


@documented(**DOCS)
def annotation_umap(
    adata: AnnData,
    *,
    color: str | Sequence[str] | None = None,
    key: str | None = None,
    basis: str | None = None,
    use_rep: str | None = None,
    palette: Mapping[str, str] | None = None,
    rng: Rng = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | list[Axes] | None:
    """Show what :func:`scbioverse.tl.annotate` found on a map of the cells.

    A thin layer over :func:`scanpy.pl.embedding`. A label has one colour in all panels, and so has another name
    of the same Cell Ontology term: "B" and "B cell".

    Parameters
    ----------
    adata
        Annotated cells.
    color
        Columns of `obs`, a panel each. If not given: the label and the confidence, after `"cell_type"` if there is
        one.
    {key}
    basis
        Slot of `obsm` with two columns, drawn as it is. `"X_umap"` where it is there and `use_rep` is not given.
    use_rep
        Slot of `obsm` to make a map from, which is not stored; `"X_bioverse"` where there is no `X_umap`.
    palette
        Colours by label, in place of ours or of those in `uns`; labels that it leaves out keep theirs.
    rng
        Seed or generator of the map.
    ax, show, return_fig
        As many axes as panels; show the figure (the default), or return it and do not show it.

    Returns
    -------
    None, the axes if `show=False`, or the figure if `return_fig=True`.

    Raises
    ------
    MissingKeyError
        A column or slot is not there.
    InputError
        `ax` holds another number of axes than there are panels.

    {example}
    >>> sb.pl.annotation_umap(adata)
    """
    import anndata as ad
    import matplotlib.pyplot as plt

    held = Labelled.of(adata, key)
    adata, slots = held
    columns = _columns(adata, color, slots)
    if ax is not None and len(ax) != len(columns):
        raise InputError(f"ax must hold {len(columns)} axes, one for each of {columns}, found {len(ax)}.")
    # A light object of its own: neither the map nor the colours are left in the caller's.
    flat, axis_name = map_of(adata, basis=basis, use_rep=use_rep, embedding=held.embedding, rng=rng)
    light = ad.AnnData(obs=adata.obs[columns].copy(), obsm={"X_map": flat})
    own, wide = ax is None, 6.2 * len(columns)
    if ax is None:
        ax = plt.subplots(1, len(columns), figsize=(wide, 4.8), layout="constrained", squeeze=False)[1][0]
    figure, axes = figure_of(ax[0]), list(ax)
    titles = {slots.label: "Label", slots.confidence: "Confidence", "cell_type": "Expert label"}
    shared = _shared_colours(adata, columns, palette or {})
    probabilities = {slots.confidence, slots.margin, slots.elsewhere}
    last = None
    for axis, column in zip(axes, columns, strict=True):
        if column in shared:
            light.obs[column] = texts(light.obs[column]).astype("category")  # clusters may be numbers
            last = axis
        limits = {"vmin": 0, "vmax": 1} if column in probabilities else {}
        _draw(axis, light, column, color_map="viridis", palette=shared.get(column), **limits)
        map_corner(axis, axis_name)
        title = plotted_name(titles.get(column, column))
        axis.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK)
        if column not in shared:
            figure.colorbar(axis.collections[0], ax=axis, shrink=0.55, aspect=18, pad=0.02).outline.set_visible(False)
    if last is not None:
        # One legend for all panels of labels: a name has one colour.
        draw_names({name: hue for its in shared.values() for name, hue in its.items()}, last)
        if own and (legend := last.get_legend()) is not None:  # hundreds of names would leave the maps no room
            figure.set_figwidth(wide + max(0.0, legend.get_window_extent().width / figure.dpi - _NAMES))
    return finish(figure, axes, show=show, return_fig=return_fig)


def _draw(ax: Axes, light: AnnData, column: str, **colours: Any) -> None:
    """Draw cells without axes, title or legend."""
    import scanpy as sc

    size = float(np.clip(45_000 / max(light.n_obs, 1), 4, 60))
    plain: dict[str, Any] = {"frameon": False, "legend_loc": None, "colorbar_loc": None, "title": "", "show": False}
    sc.pl.embedding(light, basis="map", color=column, size=size, ax=ax, **plain, **colours)
    bare(ax)


def _columns(adata: AnnData, color: str | Sequence[str] | None, slots: Slots) -> list[str]:
    if color is None:
        columns = [*adata.obs.columns.intersection(["cell_type"]), slots.label, slots.confidence]
    else:
        columns = [color] if isinstance(color, str) else list(color)
    check_columns(adata.obs, columns, "Run sb.tl.annotate(adata) first, or name columns with color=.")
    return columns


def _shared_colours(adata: AnnData, columns: Sequence[str], given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Colours of each column of labels; a name, or two names of one ontology term, have one colour."""
    words = adata.obs[list(dict.fromkeys(columns))].select_dtypes(exclude="number").astype("category")
    names = {column: list(map(str, words[column].cat.categories)) for column in map(str, words)}
    every = list(dict.fromkeys(name for its in names.values() for name in its))
    first = dict(zip(every, every, strict=True))
    if len(names) > 1:
        means = [one.cl_id or one.name for one in resolve_labels(every)]
        of_term = dict(zip(reversed(means), reversed(every), strict=True))
        first = {name: of_term[term] for name, term in zip(every, means, strict=True)}
    hues = default_palette(adata, next(iter(names), ""), list(dict.fromkeys(first.values())))
    colours = {name: hues[one] for name, one in first.items()} | dict(given)
    return {column: {name: colours[name] for name in its} for column, its in names.items()}

"""`sb.pl.alignment_umap`: cells and text before and after alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._device import Rng, as_generator, as_seed
from .._logging import plotted_name
from .._slots import Slots, anndata_of, slot_of
from ..errors import InputError, check_columns
from ..metrics import retrieval
from ..predict.descriptions import plain_texts
from ..predict.embedding import tokens_in
from ._layout import check_stored, umap_layout
from ._style import FAINT, INK, PALETTE, bare, figure_of, finish, is_no_type, map_corner, mark
from ._style import palette as default_palette

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..models import BioVerse

    Float = NDArray[np.float32]


def alignment_umap(
    adata: AnnData | Mapping[str, AnnData],
    *,
    model: str | Path | BioVerse = "bioverse-small",
    label_key: str | Mapping[str, str] | None = None,
    use_rep: str | None = None,
    n_general: int = 150,
    max_cells: int = 3000,
    palette: Mapping[str, str] | None = None,
    rng: Rng = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | list[Axes] | None:
    """Show cells, the texts of their labels and unrelated text, before and after alignment.

    *Before* puts the encoder's raw embeddings and the language model's raw representations of the texts (mean hidden
    state of the layer that the model's text space reads) side by side: each vector divided by its length, the shorter
    kind filled up with zeros. Nothing is fitted; the two kinds have no common space, and the picture shows it.
    *After* shows both in the model's shared space. Each map is a UMAP of all three kinds together, by cosine.

    Three numbers stand in each map, computed in the full space, never from the map: **recall@1**, the share of cells
    whose nearest text, unrelated text included, is that of their own label; the **median rank** of that text; and the
    **centroid gap** between the means of cells and label texts, of unit length (Liang et al. 2022, "Mind the gap").

    Parameters
    ----------
    adata
        Cells with embeddings, as :func:`scbioverse.tl.embed` leaves them. Or several modalities, each embedded, as
        `{"cell": cells, "molecule": drugs}`: shown in one space with their texts, coloured by modality.
    model
        Name, path or model whose spaces are shown.
    label_key
        Column of `obs` with the labels or texts, for several modalities also a mapping. If not given, `"cell_type"` or
        `"bioverse_label"`; `"text"` for molecules and proteins. Rows labelled `"unassigned"`, `"unknown"` or not at all
        are left out.
    use_rep
        Slot of `obsm` with the encoder's output, `"X_bioverse"` if not given.
    n_general, max_cells
        Number of unrelated texts. Cells drawn, at random if there are more; the numbers are computed on all. Of
        molecules and proteins so many are drawn and measured.
    palette
        Colour by label, for those that you name; of one modality only.
    rng
        Seed or generator, for the choice of cells and texts and for the maps.
    ax
        Two axes to draw in. The legend then goes to their figure.
    show, return_fig
        Show the figure (the default), or return it and do not show it.

    Returns
    -------
    None, the two axes if `show=False`, or the figure if `return_fig=True`.

    Raises
    ------
    MissingKeyError
        The embedding or the label column is not there.
    InputError
        Fewer than two labels or cells can be shown, or `ax` does not hold two axes.
    WeightsError
        The model or its language model is not found.
    MismatchError
        The embedding was made by another encoder than the model's.

    Warns
    -----
    UserWarning
        The data have changed since they were embedded.

    Examples
    --------
    >>> sb.tl.annotate(adata)
    >>> sb.pl.alignment_umap(adata)
    """
    from ..models import load

    if ax is not None and len(ax) != 2:
        raise InputError(f"ax must hold two axes, one for each map, found {len(ax)}.")
    adata = anndata_of(adata)
    several = isinstance(adata, Mapping)
    if several and use_rep is not None:
        raise InputError("use_rep names a slot of cells; several modalities are read where sb.tl.embed put them.")
    if isinstance(label_key, Mapping) and not several:
        raise InputError("label_key is a mapping for several modalities only; name one column of adata.obs.")
    data: Mapping[str, AnnData] = adata if isinstance(adata, Mapping) else {"cell": adata}
    if not data:
        raise InputError("no modality to show: pass {'cell': adata, 'molecule': adata, ...}.")
    keys = label_key if isinstance(label_key, Mapping) else dict.fromkeys(data, label_key)
    generator, loaded = as_generator(rng), load(model)
    seed, general = as_seed(generator), some_general(n_general, generator)
    kinds = [_kind(name, one, loaded, use_rep, keys.get(name), max_cells, generator) for name, one in data.items()]
    texts = [*(text for kind in kinds for text in kind.texts), *general]
    before, after = spaces(loaded, {kind.modality: kind.values for kind in kinds}, texts)
    if several:
        figure, axes = two_axes(ax, 13.4, 5.9)
        hues = [[PALETTE[i % len(PALETTE)]] * len(kind.names) for i, kind in enumerate(kinds)]
        draw, explain, said = draw_modalities, explain_modalities, ("encoders", "rows and their texts")
    else:
        names = kinds[0].names
        figure, axes = two_axes(ax, 11.2 + 1.9 * -(-len(names) // LEGEND_ROWS), 5.6)
        known = default_palette(data["cell"], kinds[0].key, names)
        hues = [[(palette or {}).get(name, known[name]) for name in names]]
        draw, explain, said = draw_cells, explain_labels, ("encoder", "cells and texts")
    titles = ("Before", f"{said[0]} and language model as they come"), ("After", f"one space, learned from {said[1]}")
    for axis, title, (rows, points) in zip(axes, titles, (before, after), strict=True):
        draw(axis, title, kinds, lay_out(kinds, rows, points, seed), hues)
    explain(figure, kinds, hues)
    return finish(figure, axes, show=show, return_fig=return_fig)


def _kind(
    modality: str, adata: AnnData, model: BioVerse, use_rep: str | None, label_key: str | None, most: int,
    generator: np.random.Generator,
) -> Kind:  # fmt: skip
    """Read rows of a modality, and the texts that belong to them: of cells descriptions of their labels."""
    model.check_modality(modality)
    adata, slot = anndata_of(adata, modality), use_rep or Slots().embedding(modality)
    advice = f"Run sb.tl.embed(adata, modality={modality!r}) first, or name another slot with use_rep=."
    values = tokens_in(slot_of(adata, "obsm", slot, advice))
    check_stored(adata, slot, model, modality)
    cells = modality == "cell"
    keys = (label_key,) if label_key else ("cell_type", Slots().label) if cells else ("text",)
    held = [one for one in keys if one in adata.obs]
    advice = "Name labels or texts with label_key=, or run sb.tl.annotate(adata)."
    check_columns(adata.obs, () if held else keys, advice, table=f"the AnnData of {modality!r}")
    key = held[0]
    said = np.array(plain_texts(adata.obs[key]), dtype=object)
    fine = np.isfinite(values).all(axis=(1, 2)) & ~np.array(list(map(is_no_type, said)))
    rows = np.flatnonzero(fine)
    shown = np.sort(generator.choice(rows, most, replace=False)) if len(rows) > most else rows
    # Of cells all are measured, for they have few texts.
    rows = rows if cells else shown
    categories = plain_texts(adata.obs[key].astype("category").cat.categories.to_series())
    names = [name for name in dict.fromkeys(categories) if name in set(said[rows])]
    if len(names) < 2:
        raise InputError(
            f"obs[{key!r}] of {modality!r} gives {len(names)} label(s) or text(s) on {len(rows)} row(s); a picture of "
            "an alignment needs two of each. Name another column with label_key=."
        )
    at = {name: i for i, name in enumerate(names)}
    codes = np.array([at[one] for one in said[rows]], dtype=np.int64)
    texts = described(names) if cells else names
    return Kind(modality, key, values[rows], names, texts, codes, np.flatnonzero(np.isin(rows, shown)))


GENERAL = "#b3b3b3"
SOFT = "#595959"
LEGEND_ROWS = 14
MARKS = ("o", "s", "^", "D", "v")
LONGEST_LABEL = 60
_LEGEND: dict[str, Any] = {"loc": "outside right center", "frameon": False, "fontsize": 10, "labelcolor": INK}


@dataclass(frozen=True, eq=False)
class Kind:
    """Rows of one modality and the texts that belong to them."""

    modality: str
    key: str  # the column of `obs` with the texts, or with labels that these describe
    values: Float  # float32 (n, n_tokens, dim), the encoder's output
    names: list[str]  # m different ones, as they stand in that column
    texts: list[str]  # of each name, each another
    codes: NDArray[np.int64]  # int64 (n,): text of each row
    shown: NDArray[np.int64]  # rows that are drawn; all are measured


@dataclass(frozen=True, eq=False)
class Map:
    """Where everything lies in one map, (…, 2), and how near rows are to their texts in the full space."""

    rows: list[Float]  # of each kind, those that are drawn
    texts: list[Float]  # of each kind
    general: Float  # unrelated texts
    measures: list[dict[str, float]]  # of each kind; see :func:`scbioverse.metrics.retrieval`, and "gap"


def lay_out(kinds: Sequence[Kind], rows: Sequence[Float], texts: Float, seed: int) -> Map:
    """Measure kinds in the full space, `texts` being theirs and then unrelated ones, and lay all out together."""
    measures: list[dict[str, float]] = []
    first = 0
    for kind, points in zip(kinds, rows, strict=True):
        gap = centroid_gap(points, texts[first : first + len(kind.texts)])
        measures.append({**retrieval(points, texts, target=first + kind.codes), "gap": gap})
        first += len(kind.texts)
    drawn = [points[kind.shown] for kind, points in zip(kinds, rows, strict=True)]
    ends = np.cumsum([*map(len, drawn), *(len(kind.texts) for kind in kinds)])
    parts = np.split(umap_layout(np.concatenate([*drawn, texts]), rng=seed), ends)
    return Map(parts[: len(kinds)], parts[len(kinds) : -1], parts[-1], measures)


def described(names: Sequence[str]) -> list[str]:
    """Return the description of each label, each another: labels of one term have their names in front."""
    from ..knowledge.names.company import resolve_labels
    from ..knowledge.phrases import label_card

    # What is longer than any label is a text already.
    found = resolve_labels([name if len(name) <= LONGEST_LABEL else "" for name in names])
    cards = [label_card(one.cl_id or one.name) if one.name else name for one, name in zip(found, names, strict=True)]
    # With one text for two labels no cell could find its own.
    return [f"{name}. {card}" if cards.count(card) > 1 else card for name, card in zip(names, cards, strict=True)]


def some_general(n: int, generator: np.random.Generator) -> list[str]:
    """Draw `n` unrelated texts, or as many as there are."""
    from ..knowledge.phrases import general_texts

    known = general_texts()
    return [known[i] for i in generator.permutation(len(known))[: max(n, 0)]]


def spaces(
    model: BioVerse, rows: Mapping[str, Float], texts: Sequence[str]
) -> tuple[tuple[list[Float], Float], tuple[list[Float], Float]]:
    """Place rows, embeddings by modality, and texts: side by side as they come, and in the model's shared space."""
    from ..llm.represent import represent

    space = model.config.text_space
    raw = represent(model.backbone, texts, layer=space.layer if space else None)
    *before, raw = side_by_side(*(values.reshape(len(values), -1) for values in rows.values()), raw)
    after = [model.coordinates(values, modality) for modality, values in rows.items()]
    return (before, raw), (after, model.text_coordinates(texts))


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


def two_axes(ax: Sequence[Axes] | None, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return the axes given, or make a figure with two square maps and room for the legend on the right."""
    if ax is not None:
        return figure_of(ax[0]), list(ax)
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(width, height), gridspec_kw={"wspace": 0.06}, layout="constrained")
    return figure, list(axes)


def _frame(ax: Axes, title: tuple[str, str], n_kinds: int) -> None:
    """Finish a map: no axes but a corner, two lines above, and room at the top for what is printed."""
    bare(ax)
    ax.margins(0.05)
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.02 * (high - low), high + (0.12 + 0.05 * n_kinds) * (high - low))
    map_corner(ax)
    ax.set_title(title[0], loc="left", fontsize=14, fontweight="bold", color=INK, pad=22)
    ax.text(0, 1.015, title[1], transform=ax.transAxes, fontsize=10, color=SOFT, va="bottom")


def _write(ax: Axes, x: float, y: float, text: str, size: float, *, strong: bool = False) -> None:
    colour, weight = (INK, "bold") if strong else (SOFT, "normal")
    ax.text(x, y, text, transform=ax.transAxes, va="baseline", fontsize=size, zorder=6, color=colour, fontweight=weight)


def _scatter(ax: Axes, points: Float, **style: Any) -> None:
    ax.scatter(points[:, 0], points[:, 1], **style)


def draw_cells(
    ax: Axes, title: tuple[str, str], kinds: Sequence[Kind], flat: Map, hues: Sequence[Sequence[str]]
) -> None:
    """Draw cells as dots, label texts as stars, unrelated text as crosses, and print the measures."""
    cells, texts, found = flat.rows[0], flat.texts[0], flat.measures[0]
    order = np.random.default_rng(0).permutation(len(cells))  # so that no label covers another by its place
    size = float(np.clip(12_000 / max(len(order), 1), 3, 30))
    colours, codes = np.asarray(hues[0], dtype=object), kinds[0].codes[kinds[0].shown][order]
    _scatter(ax, flat.general, s=20, marker="x", c=GENERAL, linewidths=0.9, zorder=2)
    _scatter(ax, cells[order], c=list(colours[codes]), s=size, alpha=0.75, linewidths=0, zorder=1, rasterized=True)
    for area, edge, width in ((170, "white", 1.1), (105, INK, 0.7)):  # the larger one is the smaller one's rim
        _scatter(ax, texts, s=area, c=list(colours), marker="*", edgecolors=edge, linewidths=width, zorder=4)
    _frame(ax, title, 1)
    n = int(found["n_candidates"])
    lines = (
        ("recall@1", f"{found['recall@1']:.2f}", f"chance {1 / n:.3f}"),
        ("median rank", f"{found['median_rank']:.0f}", f"of {n} texts"),
        ("centroid gap", f"{found['gap']:.2f}", "of at most 2"),
    )
    for row, (name, value, remark) in enumerate(lines):
        y = 0.97 - 0.048 * row
        _write(ax, 0.0, y, name, 10.5)
        _write(ax, 0.23, y, value, 10.5, strong=True)
        _write(ax, 0.33, y, remark, 10.5)


def draw_modalities(
    ax: Axes, title: tuple[str, str], kinds: Sequence[Kind], flat: Map, hues: Sequence[Sequence[str]]
) -> None:
    """Draw rows and texts of each modality in its colour, and print the measures of each."""
    lines = [("", "recall@1", "median rank", "gap")]
    for i, (kind, rows, texts, found) in enumerate(zip(kinds, flat.rows, flat.texts, flat.measures, strict=True)):
        size, star = np.clip(9_000 / max(len(rows), 1), 4, 22), np.clip(6_000 / len(texts), 26, 110)
        dots: dict[str, Any] = {"alpha": 0.6, "linewidths": 0, "zorder": 1, "rasterized": True}
        _scatter(ax, rows, s=float(size), marker=MARKS[i % len(MARKS)], color=hues[i][0], **dots)
        _scatter(ax, texts, s=float(star), marker="*", color=hues[i][0], edgecolors=INK, linewidths=0.5, zorder=3)
        numbers = f"{found['recall@1']:.2f}", f"{found['median_rank']:.0f}", f"{found['gap']:.2f}"
        lines.append((f"{kind.modality}s", *numbers))
    _scatter(ax, flat.general, s=16, marker="x", c=GENERAL, linewidths=0.8, zorder=0)
    _frame(ax, title, len(kinds))
    for row, cells in enumerate(lines):
        for column, (x, text) in enumerate(zip((0.0, 0.2, 0.36, 0.56), cells, strict=True)):
            _write(ax, x, 0.965 - 0.047 * row, text, 10, strong=bool(row and column))


def explain_labels(figure: Figure, kinds: Sequence[Kind], hues: Sequence[Sequence[str]]) -> None:
    """Explain colours of labels, and marks, at the figure's right edge."""
    handles = [
        mark("cell", marker="o", markersize=5, color=FAINT),
        mark("text of a label", marker="*", markersize=12, color=FAINT, markeredgecolor=INK, markeredgewidth=0.7),
        mark("unrelated text", marker="x", markersize=5.5, color=GENERAL),
        mark("", marker=""),  # keeps marks and labels apart without a second legend to place
    ]
    for name, hue in zip(kinds[0].names, hues[0], strict=True):
        handles.append(mark(plotted_name(name), marker="o", markersize=8, color=hue))
    figure.legend(
        handles=handles, title=plotted_name(kinds[0].key), ncols=-(-len(hues[0]) // LEGEND_ROWS), alignment="left",
        title_fontproperties={"size": 10, "weight": "bold"}, handletextpad=0.4, labelspacing=0.55, **_LEGEND,
    )  # fmt: skip


def explain_modalities(figure: Figure, kinds: Sequence[Kind], hues: Sequence[Sequence[str]]) -> None:
    """Explain which marks and colours are rows and texts of which modality."""
    handles = []
    star: dict[str, Any] = {"marker": "*", "markersize": 11, "markeredgecolor": INK, "markeredgewidth": 0.5}
    for i, (kind, its) in enumerate(zip(kinds, hues, strict=True)):
        handles.append(mark(f"{kind.modality} ({len(kind.codes)})", marker=MARKS[i % len(MARKS)], color=its[0]))
        handles.append(mark(f"text of a {kind.modality} ({len(kind.texts)})", color=its[0], **star))
    handles.append(mark("unrelated text", marker="x", markersize=5.5, color=FAINT))
    figure.legend(handles=handles, **_LEGEND)

"""Labels beside labels: `annotation_confusion`, `audit`, `confidence_calibration`; beside groups: `score_heatmap`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._docs import documented
from .._logging import plotted_name
from ..errors import InputError, check_choice, check_columns
from ..get import scores
from ..get._labelled import Labelled, texts
from ..io.columns import as_categories
from ..knowledge import load_ontology, resolve_labels
from ..knowledge.ontology import is_within
from ._style import (
    ABSENT,
    COLUMN,
    DOCS,
    FAINT,
    INK,
    PALETTE,
    counted_names,
    draw_matrix,
    drawn_in,
    finish,
    is_no_type,
    name_axes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# What can be said of a found label beside a published one, from agreement to contradiction.
SAME, NARROWER, BROADER, OTHER, UNREAD, UNKNOWN = (
    "same term", "more specific", "less specific", "another type", "cannot be compared", "unknown",
)  # fmt: skip
RELATIONS = (SAME, NARROWER, BROADER, OTHER, UNREAD, UNKNOWN)
AGREEING = (SAME, NARROWER, BROADER)


@dataclass(frozen=True)
class Agreement:
    """Published and found labels of the cells that have a published one."""

    rows: NDArray[np.bool_]  # bool (n_obs,): which cells have a published label that names a type
    published: pd.Series  # of these cells
    found: pd.Series  # of these cells
    shares: pd.DataFrame  # one row a published label, one column a found one, in the ontology's order
    counts: pd.Series  # cells of each published label
    relations: pd.DataFrame  # as `shares`: one of `RELATIONS`


def compared(adata: AnnData, label_key: str, key: str | None) -> Agreement:
    """Compare `obs[label_key]` with what `annotate` found."""
    labelled = Labelled.of(adata, key, "label")
    adata, slots = labelled
    check_columns(adata.obs, (label_key,), "Name the column of published labels with label_key=.")
    published, found = (texts(adata.obs[column]) for column in (label_key, slots.label))
    rows = (~published.fillna("").map(is_no_type) & found.notna()).to_numpy(bool)
    if not rows.any():
        raise InputError(f"no cell has a label that names a type in {label_key!r} and one in {slots.label!r}.")
    published, found = published[rows], found[rows]
    names = sorted(set(published))
    theirs = {name: one.cl_id or "" for name, one in zip(names, resolve_labels(names), strict=True)}
    ids = labelled.ids()
    ours = {name: ids.get(name, "") for name in found.unique()}
    table = pd.crosstab(published.to_numpy(), found.to_numpy())
    table = table.loc[_ordered(theirs), _ordered(ours)]
    relations = [[_relation(row, theirs[row], column, ours[column]) for column in table.columns] for row in table.index]
    counts = table.sum(axis=1)
    return Agreement(
        rows, published, found, table.div(counts, axis=0), counts, pd.DataFrame(relations, table.index, table.columns)
    )


def _relation(name: str, theirs: str, label: str, ours: str) -> str:
    ontology = load_ontology()
    if name == label or (theirs and theirs == ours):
        return SAME
    if label.strip().lower().startswith("unknown") and not ours:
        return UNKNOWN
    if theirs not in ontology or ours not in ontology:
        return UNREAD
    if is_within(ours, theirs):
        return NARROWER
    return BROADER if is_within(theirs, ours) else OTHER


def _ordered(ids: dict[str, str]) -> list[str]:
    """Return names so that kin stand side by side: by the path from the ontology's root, those without a term last."""
    ontology = load_ontology()

    def path(name: str) -> tuple[bool, list[str], str]:
        cl_id = ids[name]
        if cl_id not in ontology:
            return True, [], name
        # Ancestors by depth are the path where a term has one parent, and near it where it has several.
        above = sorted(ontology.ancestors(cl_id), key=lambda one: (ontology.depth(one), one))
        return False, [*above, cl_id], name

    return sorted(ids, key=path)


@documented(**DOCS)
def annotation_confusion(
    adata: AnnData,
    *,
    label_key: str = "cell_type",
    key: str | None = None,
    palette: str = "Blues",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | Axes | None:
    """Show which labels the cells of each published label got.

    A row is a published label, its colours the shares of its cells, which sum to one. Both sides are ordered by the
    Cell Ontology, so that kin stand side by side. A full frame marks labels of the same term, a dotted one those of
    which one is a kind of the other: there is no contradiction in "T cell" for a "CD4 T cell".

    Parameters
    ----------
    {published}
    palette
        A colour map of matplotlib.
    {drawn}

    Raises
    ------
    MissingKeyError
        A column is not there.
    InputError
        No cell has both labels.

    {example}
    >>> sb.pl.annotation_confusion(adata, label_key="cell_type")
    """
    from matplotlib.patches import Rectangle

    found = compared(adata, label_key, key)
    figure, ax = draw_matrix(found.shares, found.counts, bar="Share of the row's cells", cmap=palette, ax=ax)
    frames = {SAME: "-", NARROWER: ":", BROADER: ":"}
    for (row, column), relation in np.ndenumerate(found.relations.to_numpy(object)):
        if relation in frames:
            style: dict[str, Any] = {"fill": False, "ec": INK, "lw": 0.9, "ls": frames[relation], "zorder": 3}
            ax.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **style))
    name_axes(ax, "Found label", "Published label (cells)")
    return finish(figure, ax, show=show, return_fig=return_fig)


# Told apart with every common colour vision deficiency, and dark to light from agreement to contradiction.
HUES = {
    SAME: "#332288", NARROWER: "#4f8fc0", BROADER: "#a6d3ee", OTHER: "#c0394a", UNREAD: "#a39a88", UNKNOWN: ABSENT,
}  # fmt: skip


@documented(**DOCS)
def audit(
    adata: AnnData,
    *,
    label_key: str = "cell_type",
    key: str | None = None,
    palette: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | Axes | None:
    """Show how far published labels are borne out: one bar a label, by what its cells are called here.

    A cell is called the same term, a more or a less specific one, or another type, by the Cell Ontology. Labels that
    contradict the most stand at the top, with the label that their cells got most often in place of theirs. A long red
    bar is a reason to look, not a proof: the published label, or the one found, may be wrong.

    Parameters
    ----------
    {published}
    palette
        Colours in place of ours, by relation: `"same term"`, `"more specific"`, `"less specific"`, `"another type"`,
        `"cannot be compared"` (a label without a Cell Ontology term), `"unknown"`.
    {drawn}

    Raises
    ------
    MissingKeyError
        A column is not there.
    InputError
        No cell has both labels, or `palette` names something else.

    {example}
    >>> sb.pl.audit(adata, label_key="cell_type")
    """
    if strange := set(palette or ()) - set(RELATIONS):
        raise InputError(f"palette names {sorted(strange)}; it takes {list(RELATIONS)}.")
    found = compared(adata, label_key, key)
    hues = HUES | dict(palette or {})
    shares, relations = found.shares.to_numpy(), found.relations.to_numpy(object)
    parts = {one: np.where(relations == one, shares, 0).sum(axis=1) for one in RELATIONS}
    order = np.argsort(parts[OTHER], kind="stable")  # the first is drawn at the bottom
    titles = counted_names(found.counts.iloc[order])
    beside: dict[int, str] = {}
    for at, row in enumerate(order):
        instead = np.where(np.isin(relations[row], AGREEING), 0, shares[row])
        if instead.max() >= 0.05:
            name = plotted_name(str(found.shares.columns[int(instead.argmax())]), 22)
            beside[at] = f"{name} {100 * instead.max():.0f} %"
    # Long names make the figure wider than a column, not the bars short.
    letters = max(map(len, titles)) + max(map(len, beside.values()), default=0)
    figure, ax = drawn_in(ax, max(COLUMN, 0.055 * letters + 1.6), 0.24 * len(order) + 1.2)
    left = np.zeros(len(order))
    for relation, part in parts.items():
        if part.any():
            ax.barh(range(len(order)), part[order], 0.78, left, color=hues[relation], label=relation, lw=0)
            left += part[order]
    style: dict[str, Any] = {"fontsize": 6, "va": "center", "transform": ax.get_yaxis_transform()}
    for at, text in beside.items():
        ax.text(1.02, at, text, color=INK, **style)
    ax.set_yticks(range(len(order)), titles, fontsize=6.5, color=INK)
    ax.tick_params(labelsize=6.5, length=0)
    ax.set_xlim(0, 1)
    name_axes(ax, "Share of the cells", "")
    ax.set_ylim(-0.6, len(order) - 0.4)
    if beside:
        ax.text(1.02, len(order) - 0.1, "most often instead", color=FAINT, **style)  # a title is cut at the margin
    ax.spines[:].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=6.5)
    return finish(figure, ax, show=show, return_fig=return_fig)


_BINS = 10
# Bins with fewer cells say little: their dot is left white.
_FEW = 20


@documented(**DOCS)
def confidence_calibration(
    adata: AnnData,
    *,
    label_key: str = "cell_type",
    key: str | None = None,
    right: Literal["same", "kin"] = "same",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | Axes | None:
    """Show how often labels of each confidence are right, by published labels.

    A reliability diagram (Guo et al. 2017, arXiv:1706.04599): cells in ten bins of equal width by confidence, the share
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
    found = compared(adata, label_key, key)
    adata, slots = Labelled.of(adata, key, "confidence")
    # The relation of every cell's pair of labels.
    relation = found.relations.stack().loc[list(zip(found.published, found.found, strict=True))].to_numpy(object)
    confidence = adata.obs[slots.confidence].to_numpy(np.float64)[found.rows]
    judged = ~np.isin(relation, (UNREAD, UNKNOWN)) & np.isfinite(confidence)
    if not judged.any():
        raise InputError(f"no label of {label_key!r} can be compared with those found: none has a Cell Ontology term.")
    confidence = confidence[judged]
    is_right = np.isin(relation[judged], (SAME,) if right == "same" else AGREEING)
    bins = reliability(confidence, is_right)
    mean, share, n = bins["confidence"], bins["right"], bins["n"]
    error = float((n * (share - mean).abs()).sum() / n.sum())

    figure, ax = drawn_in(ax)
    ax.bar(bins.index / _BINS, n / n.sum(), 1 / _BINS, align="edge", color="#e4e4ea", lw=0, zorder=0)
    ax.plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls="--", zorder=1)
    ax.plot(mean, share, color=PALETTE[0], lw=1.2, zorder=2)
    fill = [PALETTE[0] if one >= _FEW else "white" for one in n]
    ax.scatter(mean, share, s=22, c=fill, edgecolors=PALETTE[0], linewidths=1.0, zorder=3)
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    name_axes(ax, "Confidence", "Share that is right or kin" if right == "kin" else "Share that is right", size=7.5)
    ax.tick_params(labelsize=6.5, length=2)
    ax.spines[["top", "right"]].set_visible(False)
    title = f"{int(n.sum()):,} cells, right {is_right.mean():.2f}, mean confidence {confidence.mean():.2f}"
    ax.set_title(f"{title}\nexpected calibration error {error:.3f}", fontsize=7, loc="left", color=INK)
    return finish(figure, ax, show=show, return_fig=return_fig)


def reliability(confidence: NDArray[np.float64], is_right: NDArray[np.bool_]) -> pd.DataFrame:
    """Return mean `confidence`, share that is `right` and number `n` of cells of each bin that holds any."""
    bins = np.minimum((np.clip(confidence, 0, 1) * _BINS).astype(int), _BINS - 1)
    cells = pd.DataFrame({"confidence": confidence, "right": is_right.astype(float)}).groupby(bins)
    return cells.mean().assign(n=cells.size())


@documented(**DOCS)
def score_heatmap(
    adata: AnnData,
    *,
    groupby: str | None = None,
    key: str | None = None,
    max_labels: int = 30,
    palette: str = "Blues",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | Axes | None:
    """Show the mean probability of every candidate in every group of cells.

    A dark cell beside the diagonal is the candidate that a label was nearly given in place of.

    Parameters
    ----------
    adata
        Annotated cells.
    groupby
        Column of `obs`, a row each; the label itself if not given.
    {key}
    max_labels
        Most candidates to show: those with the highest mean probability in any group.
    palette
        A colour map of matplotlib.
    {drawn}

    Raises
    ------
    MissingKeyError
        The column or the scores are not there.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> sb.tl.annotate(adata, labels=["B cell", "T cell", "NK cell", "monocyte"])
    >>> sb.pl.score_heatmap(adata, groupby="cell_type")
    """
    adata, slots = Labelled.of(adata, key)
    column = slots.label if groupby is None else groupby
    check_columns(adata.obs, [column], "Run sb.tl.annotate(adata) first, or name another with groupby=.")
    chances = scores(adata, key=slots.key).astype(np.float64).map(np.exp)
    groups = as_categories(adata.obs[column], "groupby")
    mean = chances.groupby(groups.array, observed=True).mean()
    kept = mean.max().nlargest(max_labels).index
    mean = mean[mean.columns.intersection(kept, sort=False)]
    if groupby is None:
        # A label and its own candidate meet on the diagonal.
        both = mean.index.intersection(mean.columns, sort=False)
        mean = mean[both.append(mean.columns.difference(both, sort=False))]
        mean = mean.loc[both.append(mean.index.difference(both, sort=False))]
    counts = groups.value_counts()[mean.index]
    figure, ax = draw_matrix(mean, counts, bar="Mean probability", cmap=palette, ax=ax)
    name_axes(ax, "Candidate", f"{'Label' if groupby is None else plotted_name(str(groupby))} (cells)")
    return finish(figure, ax, show=show, return_fig=return_fig)

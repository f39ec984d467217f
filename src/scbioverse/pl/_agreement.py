"""Published labels beside found ones, read with the Cell Ontology: `annotation_confusion` and `audit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._docs import documented
from .._logging import plotted_name
from ..errors import InputError, check_columns
from ..get._labelled import Labelled, texts
from ..knowledge import load_ontology, resolve_labels
from ..knowledge.ontology import is_within
from ._style import ABSENT, COLUMN, DOCS, FAINT, INK, NOT_TYPES, counted_names, draw_matrix, drawn_in, finish

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
    shares: pd.DataFrame  # one row a published label, one column a found one, in the ontology's order
    counts: pd.Series  # cells of each published label
    relations: pd.DataFrame  # as `shares`: one of `RELATIONS`

    def relation_of_cells(self, published: pd.Series, found: pd.Series) -> NDArray[np.object_]:
        """Return the relation of every cell of :attr:`rows`."""
        at = self.relations.stack()
        return at.loc[list(zip(published, found, strict=True))].to_numpy(object)


def compared(adata: AnnData, label_key: str, key: str | None) -> tuple[Agreement, pd.Series, pd.Series]:
    """Compare `obs[label_key]` with what `annotate` found, and return both for the cells compared."""
    adata, slots = Labelled.of(adata, key, "label")
    check_columns(adata.obs, (label_key,), "Name the column of published labels with label_key=.")
    published, found = (texts(adata.obs[column]) for column in (label_key, slots.label))
    named = ~published.fillna("").str.strip().str.lower().isin(NOT_TYPES)
    rows = (named & found.notna()).to_numpy()
    if not rows.any():
        raise InputError(f"no cell has a label that names a type in {label_key!r} and one in {slots.label!r}.")
    published, found = published[rows], found[rows]
    names = sorted(set(published))
    theirs = {name: one.cl_id or "" for name, one in zip(names, resolve_labels(names), strict=True)}
    ids = adata.obs.get(slots.cl_id, pd.Series("", index=adata.obs_names)).astype(object).fillna("")[rows]
    ours = {name: str(one) for name, one in zip(found, ids, strict=True)}
    table = pd.crosstab(published.to_numpy(), found.to_numpy())
    table = table.loc[_ordered(theirs), [one for one in _ordered(ours) if one in table.columns]]
    relations = pd.DataFrame(
        [[_relation(row, theirs[row], column, ours[column]) for column in table.columns] for row in table.index],
        index=table.index,
        columns=table.columns,
    )
    counts = table.sum(axis=1)
    return Agreement(rows, table.div(counts, axis=0), counts, relations), published, found


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

    found, _, _ = compared(adata, label_key, key)
    figure, ax = draw_matrix(
        found.shares.to_numpy(),
        found.counts,
        list(found.shares.columns),
        bar="Share of the row's cells",
        cmap=palette,
        ax=ax,
    )
    for at, relation in np.ndenumerate(found.relations.to_numpy(object)):
        if relation in AGREEING:
            style = "-" if relation == SAME else ":"
            ax.add_patch(
                Rectangle((at[1] - 0.46, at[0] - 0.46), 0.92, 0.92, fill=False, ec=INK, lw=0.9, ls=style, zorder=3)
            )
    ax.set_xlabel("Found label", fontsize=7, color=INK)
    ax.set_ylabel("Published label (cells)", fontsize=7, color=INK)
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
    found, _, _ = compared(adata, label_key, key)
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
    ax.set_xlabel("Share of the cells", fontsize=7, color=INK)
    ax.set_ylim(-0.6, len(order) - 0.4)
    if beside:
        ax.text(1.02, len(order) - 0.1, "most often instead", color=FAINT, **style)  # a title is cut at the margin
    ax.spines[:].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=6.5)
    return finish(figure, ax, show=show, return_fig=return_fig)

"""`sb.pl.audit`: how far published labels are borne out by those found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._docs import documented
from .._logging import plotted_name
from ..errors import InputError
from ._agreement import AGREEING, BROADER, NARROWER, OTHER, RELATIONS, SAME, UNKNOWN, UNREAD, compared
from ._style import ABSENT, COLUMN, DOCS, FAINT, INK, drawn_in, finish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    figure, ax = drawn_in(ax, COLUMN, 0.24 * len(order) + 1.2)
    left = np.zeros(len(order))
    for relation, part in parts.items():
        if part.any():
            ax.barh(range(len(order)), part[order], 0.78, left, color=hues[relation], label=relation, lw=0)
            left += part[order]
    for at, row in enumerate(order):
        instead = np.where(np.isin(relations[row], AGREEING), 0, shares[row])
        if instead.max() >= 0.05:
            name = plotted_name(str(found.shares.columns[int(instead.argmax())]), 22)
            text = f"{name} {100 * instead.max():.0f} %"
            ax.text(1.02, at, text, fontsize=6, color=INK, va="center")
    titles = [f"{plotted_name(str(found.counts.index[row]), 26)} ({found.counts.iloc[row]:,})" for row in order]
    ax.set_yticks(range(len(order)), titles, fontsize=6.5, color=INK)
    ax.tick_params(labelsize=6.5, length=0)
    ax.set_xlim(0, 1)
    ax.set_xlabel("Share of the cells", fontsize=7, color=INK)
    ax.set_title("most often instead", fontsize=6, color=FAINT, loc="right", x=1.02, ha="left", pad=2)
    ax.spines[:].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=6.5)
    return finish(figure, ax, show=show, return_fig=return_fig)

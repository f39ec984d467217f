"""`sb.pl.annotation_confusion`: published labels against found ones, read with the Cell Ontology."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._docs import documented
from ._agreement import AGREEING, SAME, compared
from ._style import DOCS, INK, draw_matrix, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    names = [f"{name} ({n:,})" for name, n in found.counts.items()]
    figure, ax = draw_matrix(
        found.shares.to_numpy(), names, list(found.shares.columns), bar="Share of the row's cells", cmap=palette, ax=ax
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

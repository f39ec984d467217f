"""`sb.pl.score_heatmap`: how likely every candidate is in every group of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._docs import documented
from .._logging import plotted_name
from ..errors import check_columns
from ..get import scores
from ..get._labelled import Labelled
from ..io.columns import as_categories
from ._style import DOCS, draw_matrix, finish, name_axes

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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

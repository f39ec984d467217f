"""`sb.pl.evidence_dotplot`: the genes that the reasons cite, in every label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._docs import documented
from .._logging import plotted_name
from ..errors import InputError
from ..get import evidence
from ..get._labelled import Labelled
from ._style import DOCS, finish

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .._slots import Slots
    from ..io import Cells

# What scanpy draws well: more genes than this overlap on any screen.
MOST_GENES = 60


@documented(**DOCS)
def evidence_dotplot(
    adata: AnnData,
    *,
    key: str | None = None,
    layer: str | None = None,
    gene_key: str | None = None,
    max_genes: int = 3,
    palette: str = "Blues",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | list[Axes] | None:
    """Show the genes that the reasons cite, by label: fraction of cells as size, mean expression as colour.

    A thin layer over :func:`scanpy.pl.dotplot`. A reason holds where the gene's dot is larger and darker in its own
    label than in the others. Each gene stands under the first label that cites it; a label's genes and its row are in
    the same order, so that the dots of a good annotation lie along the diagonal. Counts are brought to 10,000 per cell
    and logged for the picture. Of lists of genes the size is the share of lists that hold a gene, the colour its place
    in them, and the picture says so.

    Parameters
    ----------
    adata
        Annotated cells.
    {key}
    layer, gene_key
        Layer to read, `adata.raw` for `"raw"`, and column of `var` with gene names. If neither is given, those that
        `annotate` read.
    max_genes
        Most genes of one label.
    palette
        Colour map of the mean expression.
    {drawn}

    Raises
    ------
    MissingKeyError
        There are no annotations or no evidence with this stem.
    InputError
        No reason cites a gene, or none of the genes is there.

    {example}
    >>> sb.pl.evidence_dotplot(adata)
    """
    import scanpy as sc

    held = Labelled.of(adata, key, "label")
    adata, slots = held
    table = evidence(adata, key=slots.key)
    table = table[table["label"].isin(held.counts())]  # rows of the others may have been cut
    if table.empty:
        raise InputError("no reason cites a gene, so there is nothing to draw; see adata.obs and sb.get.evidence.")
    if max_genes < 1:
        raise InputError(f"max_genes must be at least 1, found {max_genes}.")
    cells = held.cells(layer, gene_key)
    columns = cells.gene_columns(min_genes=0)  # those that the reasons were made from
    cited = _cited(table, columns, max_genes)
    if not cited:
        raise InputError(f"none of the {table['gene'].nunique()} cited genes is a column of the data; pass gene_key=.")
    light = _light(cells, slots, [gene for genes in cited.values() for gene in genes], columns)
    plotted = {plotted_name(label): genes for label, genes in cited.items()}
    labels = light.obs["label"].cat.categories
    first = pd.Index(plotted).intersection(labels, sort=False)
    n_genes, n_labels = sum(map(len, plotted.values())), labels.size
    plot = sc.pl.dotplot(
        light,
        [gene for genes in plotted.values() for gene in genes],
        "label",
        categories_order=[*first, *labels.difference(first, sort=False)],
        standard_scale="var",
        cmap=palette,
        figsize=(max(5.0, 0.34 * n_genes + 4.2), max(2.8, 0.34 * n_labels + 1.6)),
        ax=ax,
        return_fig=True,
        show=False,
    )
    value, size = "Mean expression", "Cells that\nexpress it (%)"
    if cells.unlisted:
        value, size = "Mean value, made\nfrom ranks in lists", "Lists that\nhold it (%)"
    plot.legend(width=1.8, colorbar_title=f"{value}\n(scaled by gene)", size_title=size)
    axes = plot.get_axes()
    main = axes["mainplot_ax"]
    main.set_ylabel("")
    main.tick_params(axis="x", labelrotation=90)
    if ax is None:
        _fit(main.figure)
    return finish(main.figure, list(axes.values()), show=show, return_fig=return_fig)


def _fit(figure: Figure) -> None:
    """Make the figure as large as what is drawn, in inches: scanpy's margins cut long names off when it is saved."""
    width, height = figure.get_size_inches()
    drawn, place = figure.get_tightbbox().padded(0.1), figure.subplotpars
    left, right = (part * width - drawn.x0 for part in (place.left, place.right))
    bottom, top = (part * height - drawn.y0 for part in (place.bottom, place.top))
    figure.set_size_inches(drawn.width, drawn.height)
    figure.subplots_adjust(
        left=left / drawn.width, right=right / drawn.width, bottom=bottom / drawn.height, top=top / drawn.height
    )


def _cited(table: pd.DataFrame, columns: dict[str, int], most: int) -> dict[str, list[str]]:
    """Genes of each label, each gene once."""
    taken: set[str] = set()
    out: dict[str, list[str]] = {}
    # What sets a label apart from one other label only need not do so from all.
    alone = table["against"] == "" if "against" in table else True
    for label, rows in table[(table["direction"] == "high") & alone].groupby("label", sort=False):
        mine = [gene for gene in dict.fromkeys(rows["gene"]) if gene in columns and gene not in taken][:most]
        if mine and len(taken) + len(mine) <= MOST_GENES:
            taken.update(mine)
            out[str(label)] = mine
    return out


def _light(cells: Cells, slots: Slots, genes: list[str], columns: dict[str, int]) -> AnnData:
    """Return a small object of its own: the cited genes as log-normalised values, and short names of the labels."""
    import anndata as ad

    from ..explain.expression import Expression

    adata = cells.adata
    labels = adata.obs[slots.label].astype("category").cat.remove_unused_categories()
    inside = labels.notna().to_numpy()
    names = [""] * len(cells.names)
    for gene in genes:
        names[columns[gene]] = gene
    values = np.concatenate([Expression(block, names, cells.info).logs(genes).toarray() for _, block in cells.blocks()])
    shown = labels[inside].astype(str).map(plotted_name)
    light = ad.AnnData(values[inside].astype(np.float32), obs=pd.DataFrame(index=adata.obs_names[inside].astype(str)))
    light.var_names = genes
    light.obs["label"] = pd.Categorical(shown.to_numpy(), categories=list(dict.fromkeys(shown)))
    return light

"""The real data sets inside the wheel."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData


def pbmc3k() -> AnnData:
    """Load 2,700 blood cells of one healthy donor, with expert labels.

    Peripheral blood mononuclear cells, 10x Chromium 3' v1 (10x Genomics 2016, CC BY 4.0). The labels are those of the
    Seurat tutorial; the 62 cells that its quality control removed are `"unassigned"`. No weights that scbioverse
    ships were trained on these cells.

    Returns
    -------
    AnnData of shape (2700, 13714): `X` CSR float32 counts, `var_names` gene symbols, `obs["cell_type"]` categorical
    with nine cell types and `"unassigned"`, `uns["source"]`, `uns["licence"]` and `uns["citation"]`.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.datasets.pbmc3k().shape
    (2700, 13714)
    """
    return _read("pbmc3k")


def citeseq_pbmc5k() -> AnnData:
    """Load 200 blood cells of another donor, with counts of 29 surface proteins and without labels.

    Peripheral blood mononuclear cells, 10x Chromium 3' v3 with TotalSeq-B antibodies (10x Genomics 2019, CC BY 4.0); a
    sample of 200 cells. Surface proteins tell types apart that genes leave open, so that they can check a label that
    was made from genes. No weights that scbioverse ships were trained on these cells.

    Returns
    -------
    AnnData of shape (200, 16581): `X` CSR float32 counts, `var_names` gene symbols, `obsm["protein_expression"]`
    a DataFrame of counts with a column for each protein ("CD3", "CD4", ...), `uns["source"]`, `uns["licence"]` and
    `uns["citation"]`.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.datasets.citeseq_pbmc5k().obsm["protein_expression"].shape
    (200, 29)
    """
    return _read("citeseq_pbmc5k_200cells")


def _read(name: str) -> AnnData:
    import anndata as ad
    import numpy as np

    with resources.as_file(resources.files(__package__) / "data" / f"{name}.h5ad") as path:
        adata = ad.read_h5ad(path)
    adata.X = adata.X.astype(np.float32)  # stored as uint16: a tenth smaller
    return adata

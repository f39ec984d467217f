"""Reading matrices a block of rows at a time."""

from __future__ import annotations

from ._digest import MatrixDigest, array_digest, texts_digest
from ._first_pass import MatrixInfo, to_counts_like
from ._genes import MIN_GENES, GeneMatch, match_genes
from ._rows import (
    as_csr,
    check_layer,
    check_one_name,
    gene_names,
    is_anndata,
    layer_names,
    matrix_name,
    matrix_of,
    names_in,
    read_rows,
    row_blocks,
    row_source,
    var_of,
)
from .cells import Cells, Sample

__all__ = [
    "MIN_GENES",
    "Cells",
    "GeneMatch",
    "MatrixDigest",
    "MatrixInfo",
    "Sample",
    "array_digest",
    "as_csr",
    "check_layer",
    "check_one_name",
    "gene_names",
    "is_anndata",
    "layer_names",
    "match_genes",
    "matrix_name",
    "matrix_of",
    "names_in",
    "read_rows",
    "row_blocks",
    "row_source",
    "texts_digest",
    "to_counts_like",
    "var_of",
]

"""Reading matrices a block of rows at a time."""

from __future__ import annotations

from ._check import check_input, check_names, match_var
from ._digest import MatrixDigest, array_digest, matrix_digest, texts_digest
from ._genes import MIN_GENES, GeneMatch, match_genes
from ._matrix import MatrixInfo, check_matrix, to_counts_like
from ._rows import (
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

__all__ = [
    "MIN_GENES",
    "GeneMatch",
    "MatrixDigest",
    "MatrixInfo",
    "array_digest",
    "check_input",
    "check_layer",
    "check_matrix",
    "check_names",
    "check_one_name",
    "gene_names",
    "is_anndata",
    "layer_names",
    "match_genes",
    "match_var",
    "matrix_digest",
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

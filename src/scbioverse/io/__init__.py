"""Reading matrices a block of rows at a time."""

from __future__ import annotations

from ._digest import MatrixDigest, array_digest, matrix_digest, texts_digest
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
    "MatrixDigest",
    "array_digest",
    "check_layer",
    "check_one_name",
    "gene_names",
    "is_anndata",
    "layer_names",
    "matrix_digest",
    "matrix_name",
    "matrix_of",
    "names_in",
    "read_rows",
    "row_blocks",
    "row_source",
    "texts_digest",
    "var_of",
]

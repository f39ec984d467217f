"""Cells: one matrix of an AnnData with its gene names, checked once and read a block of rows at a time."""

from __future__ import annotations

from ._first_pass import MatrixDigest, MatrixInfo, array_digest, texts_digest, to_counts_like
from ._genes import MIN_GENES, GeneMatch, match_genes
from ._matrix import (
    Source,
    check_one_name,
    csr_of,
    gene_names,
    layer_names,
    matrix_name,
    matrix_of,
    row_blocks,
    take_columns,
    var_of,
)
from .cells import UNLISTED, Cells, Sample

__all__ = [
    "MIN_GENES",
    "UNLISTED",
    "Cells",
    "GeneMatch",
    "MatrixDigest",
    "MatrixInfo",
    "Sample",
    "Source",
    "array_digest",
    "check_one_name",
    "csr_of",
    "gene_names",
    "layer_names",
    "match_genes",
    "matrix_name",
    "matrix_of",
    "row_blocks",
    "take_columns",
    "texts_digest",
    "to_counts_like",
    "var_of",
]

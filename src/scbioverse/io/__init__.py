"""Reading matrices a block of rows at a time."""

from __future__ import annotations

from ._rows import gene_names, is_anndata, matrix_of, read_rows, row_blocks, row_source, var_of

__all__ = ["gene_names", "is_anndata", "matrix_of", "read_rows", "row_blocks", "row_source", "var_of"]

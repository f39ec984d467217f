"""Checks of inputs, matching of genes, molecules and proteins read in. Nothing here changes the caller's object."""

from __future__ import annotations

from ._check import CheckedCells as CheckedCells
from ._check import check_cells
from ._check import check_input as check_input
from ._check import check_names as check_names
from ._check import match_var as match_var
from ._genes import GeneMatch as GeneMatch
from ._genes import match_genes as match_genes
from ._matrix import MatrixInfo as MatrixInfo
from ._matrix import check_matrix as check_matrix
from ._matrix import to_counts_like as to_counts_like
from ._molecules import molecules
from ._proteins import proteins
from ._scale import Scale as Scale

# The other names serve the package's own encoders.
__all__ = ["check_cells", "molecules", "proteins"]

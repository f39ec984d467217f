"""What is done before the verbs: cells checked; ranked genes, molecules, proteins read in. Nothing given is changed."""

from __future__ import annotations

from ._check import check_cells
from ._molecules import molecules
from ._proteins import proteins
from ._ranked_genes import ranked_genes

__all__ = ["check_cells", "molecules", "proteins", "ranked_genes"]

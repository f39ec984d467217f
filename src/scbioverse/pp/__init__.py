"""What is done before the verbs: cells checked; ranked genes, molecules, proteins read in. Nothing given is changed."""

from __future__ import annotations

from ._cells import check_cells, ranked_genes
from ._molecules import molecules
from ._proteins import proteins

__all__ = ["check_cells", "molecules", "proteins", "ranked_genes"]

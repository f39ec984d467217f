"""What is done before the verbs: cells checked, molecules and proteins read in. The caller's object stays as it is."""

from __future__ import annotations

from ._check import check_cells
from ._molecules import molecules
from ._proteins import proteins

__all__ = ["check_cells", "molecules", "proteins"]

"""Which Ensembl ids are genes of GENCODE 48, the set that CELLxGENE takes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ._read import _text


@lru_cache(maxsize=1)
def gencode_genes() -> frozenset[str]:
    """Ensembl ids without version of the human genes of GENCODE 48; the same object at every call."""
    gaps = np.array(_text("gencode48.txt.gz").split(), dtype=np.int64)
    return frozenset(f"ENSG{number:011d}" for number in np.cumsum(gaps))

"""Matrices of expression that cannot be read as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import scbioverse as sb

from . import Given, case
from ._inputs import blood

AREA = "Expression matrices"


@case(AREA, "X was scaled and centred by scanpy.pp.scale", "sb.tl.embed(adata)", says=["negative", "layer='counts'"])
def scaled_and_centred(at: Path) -> Given:
    adata = blood()
    X = adata.X.toarray()
    adata.X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-3)
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})

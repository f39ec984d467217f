"""Small real inputs that the cases spoil."""

from __future__ import annotations

from functools import cache

import anndata as ad

import scbioverse as sb


@cache
def _blood() -> ad.AnnData:
    return sb.datasets.pbmc3k()[::27].copy()


def blood() -> ad.AnnData:
    """Return 100 cells of pbmc3k with counts of all genes, a fresh copy."""
    return _blood().copy()

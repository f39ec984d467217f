"""Results as tidy tables."""

from __future__ import annotations

from ._annotations import annotation, groups, labels, scores
from ._celltypist import celltypist
from ._cellxgene import cellxgene
from ._recorded import evidence, records, samples

__all__ = ["annotation", "celltypist", "cellxgene", "evidence", "groups", "labels", "records", "samples", "scores"]

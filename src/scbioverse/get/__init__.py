"""Results as tidy tables."""

from __future__ import annotations

from ._celltypist import celltypist
from ._cellxgene import cellxgene
from ._labelled import annotation, evidence, groups, labels, records, samples, scores

__all__ = ["annotation", "celltypist", "cellxgene", "evidence", "groups", "labels", "records", "samples", "scores"]

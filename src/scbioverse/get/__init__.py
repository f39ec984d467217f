"""Results as tidy tables."""

from __future__ import annotations

from ._annotations import annotation, groups, labels, scores
from ._records import records

__all__ = ["annotation", "groups", "labels", "records", "scores"]

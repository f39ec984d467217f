"""Results as tidy tables."""

from __future__ import annotations

from ._annotations import annotation, groups, labels, scores
from ._evidence import evidence, samples
from ._records import records

__all__ = ["annotation", "evidence", "groups", "labels", "records", "samples", "scores"]

"""Reasons for labels: claims about genes, tested on the cells, and the sentences that say what held."""

from __future__ import annotations

from .support import Support, group_evidence, unsupported_genes, write_rationale

__all__ = ["Support", "group_evidence", "unsupported_genes", "write_rationale"]

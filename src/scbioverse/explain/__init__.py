"""Reasons for labels: claims about genes, tested on the cells, and the sentences that say what held."""

from __future__ import annotations

from .check import check

__all__ = ["check"]

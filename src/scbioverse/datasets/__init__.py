"""Data sets: the one that ships, the registry of the others, and toy makers."""

from __future__ import annotations

from ._bundled import pbmc3k
from ._fetch import fetch, load
from ._registry import DatasetInfo, list_datasets
from ._toy import toy_cells

__all__ = ["DatasetInfo", "fetch", "list_datasets", "load", "pbmc3k", "toy_cells"]

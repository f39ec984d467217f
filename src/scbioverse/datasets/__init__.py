"""Data sets: those that ship, the registry of the others, and toy makers."""

from __future__ import annotations

from ._fetch import DatasetInfo, citeseq_pbmc5k, fetch, list_datasets, load, pbmc3k
from ._toy import toy_cells

__all__ = ["DatasetInfo", "citeseq_pbmc5k", "fetch", "list_datasets", "load", "pbmc3k", "toy_cells"]

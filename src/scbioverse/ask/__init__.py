"""Questions in words: names of the data are linked, the words are read into a :class:`Query`, the query is run."""

from __future__ import annotations

from .query import Query, Refusal, Where

__all__ = ["Query", "Refusal", "Where"]

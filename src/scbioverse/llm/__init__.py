"""The language model: found, loaded and frozen (`backbone`), prompted, scored by label, and its view of a text."""

from __future__ import annotations

from .backbone import Backbone
from .resolve import DEFAULT_LLM, ResolvedLLM

__all__ = ["DEFAULT_LLM", "Backbone", "ResolvedLLM"]

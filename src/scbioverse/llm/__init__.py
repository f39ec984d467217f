"""The language model: found, loaded and frozen (`backbone`), prompted, scored by label, and its view of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .resolve import DEFAULT_LLM, ResolvedLLM

if TYPE_CHECKING:
    from .backbone import Backbone

__all__ = ["DEFAULT_LLM", "Backbone", "ResolvedLLM"]


def __getattr__(name: str) -> object:
    # It brings torch and transformers, which finding a model's files does not need.
    if name == "Backbone":
        from .backbone import Backbone

        return Backbone
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

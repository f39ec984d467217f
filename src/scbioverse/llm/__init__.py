"""The language model: found, loaded and frozen (`backbone`), prompted, scored by label, and its view of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily
from .resolve import DEFAULT_LLM, ResolvedLLM

if TYPE_CHECKING:
    from .backbone import Backbone

__all__ = ["DEFAULT_LLM", "Backbone", "ResolvedLLM"]

# It brings torch and transformers, which finding a model's files does not need.
__getattr__, __dir__ = lazily(__name__, {"Backbone": "backbone"})

"""Composed models: built, trained, saved, loaded and listed. Loaded on first use, since the model brings torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily
from .config import BioVerseConfig, Calibration, EncoderConfig, LLMConfig, TextSpaceConfig
from .registry import clear_cache, list_models

if TYPE_CHECKING:
    from .bioverse import BioVerse, load
    from .edit import extend, join

__all__ = [
    "BioVerse",
    "BioVerseConfig",
    "Calibration",
    "EncoderConfig",
    "LLMConfig",
    "TextSpaceConfig",
    "clear_cache",
    "extend",
    "join",
    "list_models",
    "load",
]

__getattr__, __dir__ = lazily(__name__, {"BioVerse": "bioverse", "load": "bioverse", "extend": "edit", "join": "edit"})

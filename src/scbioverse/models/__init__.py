"""Composed models: built, trained, saved, loaded and listed. Loaded on first use, since the model brings torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily
from .config import BioVerseConfig, Calibration, EncoderConfig, LLMConfig, TextSpaceConfig
from .folders import clear_cache
from .registry import list_models, load

if TYPE_CHECKING:
    from ._join import extend, join
    from .bioverse import BioVerse

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

__getattr__, __dir__ = lazily(__name__, {"BioVerse": "bioverse", "extend": "_join", "join": "_join"})

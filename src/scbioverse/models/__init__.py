"""Composed models: built, trained, saved, loaded and listed. Loaded on first use, since the model brings torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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


def __getattr__(name: str) -> object:
    if name == "BioVerse":
        return importlib.import_module(".bioverse", __name__).BioVerse
    if name in ("extend", "join"):
        return getattr(importlib.import_module("._join", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

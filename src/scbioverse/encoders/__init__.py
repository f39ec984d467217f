"""Encoders: rows of an AnnData to float vectors, frozen, batched and streamed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._protocol import Encoder, SavableEncoder
from ._registry import build, list_encoders, register
from ._run import embed_rows

if TYPE_CHECKING:
    from .compact import CompactCellEncoder
    from .precomputed import PrecomputedEncoder

__all__ = [
    "CompactCellEncoder",
    "Encoder",
    "PrecomputedEncoder",
    "SavableEncoder",
    "build",
    "embed_rows",
    "list_encoders",
    "register",
]

# Resolved on first use: the compact encoder brings torch with it.
_LAZY = {"CompactCellEncoder": "compact", "PrecomputedEncoder": "precomputed"}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""scbioverse: a language model reads cells, proteins and molecules, inside AnnData.

Sub-packages load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._lazy import give_accessor
from ._settings import settings

if TYPE_CHECKING:
    from . import ask, datasets, encoders, errors, explain, get, metrics, models, pl, pp, tl
    from .app._serve import serve
    from .app.widget import widget
    from .page import report
    from .tl._ask import Chat

__version__ = "0.1.0"
__all__ = [
    "Chat",
    "ask",
    "datasets",
    "encoders",
    "errors",
    "explain",
    "get",
    "metrics",
    "models",
    "pl",
    "pp",
    "report",
    "serve",
    "settings",
    "tl",
    "widget",
]

# Functions and classes that stand at the top, and where they are.
_AT_THE_TOP = {"Chat": ".tl._ask", "report": ".page", "serve": ".app._serve", "widget": ".app.widget"}
_SUBPACKAGES = frozenset(__all__) - {*_AT_THE_TOP, "settings"}


def __getattr__(name: str) -> object:
    if name in _AT_THE_TOP:
        return getattr(importlib.import_module(_AT_THE_TOP[name], __name__), name)
    if name in _SUBPACKAGES:
        found = importlib.import_module(f".{name}", __name__)
        give_accessor()
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


give_accessor()


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

"""The verbs. Each loads on first use, so that `import scbioverse.tl` costs nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._align import align
    from ._annotate import annotate
    from ._ask import ask
    from ._describe import describe
    from ._embed import embed
    from ._retrieve import retrieve
    from ._rollup import rollup
    from ._tune import tune

__all__ = ["align", "annotate", "ask", "describe", "embed", "retrieve", "rollup", "tune"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module(f"._{name}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The verbs. Each loads on first use, so that `import scbioverse.tl` costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

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

__getattr__, __dir__ = lazily(__name__, {name: f"_{name}" for name in __all__})

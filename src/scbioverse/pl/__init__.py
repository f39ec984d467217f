"""Pictures. Each loads on first use, so that `import scbioverse.pl` costs nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._alignment_umap import alignment_umap
    from ._annotation_confusion import annotation_confusion
    from ._annotation_umap import annotation_umap
    from ._audit import audit
    from ._confidence_calibration import confidence_calibration
    from ._evidence_dotplot import evidence_dotplot
    from ._score_heatmap import score_heatmap
    from ._training_history import training_history

__all__ = [
    "alignment_umap",
    "annotation_confusion",
    "annotation_umap",
    "audit",
    "confidence_calibration",
    "evidence_dotplot",
    "score_heatmap",
    "training_history",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module(f"._{name}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Pictures. Each loads on first use, so that `import scbioverse.pl` costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from ._agreement import annotation_confusion, audit, confidence_calibration, score_heatmap
    from ._alignment_umap import alignment_umap
    from ._annotation_umap import annotation_umap
    from ._evidence_dotplot import evidence_dotplot
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

__getattr__, __dir__ = lazily(
    __name__,
    {name: f"_{name}" for name in __all__}
    | dict.fromkeys(("annotation_confusion", "audit", "confidence_calibration", "score_heatmap"), "_agreement"),
)

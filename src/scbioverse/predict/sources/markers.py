"""The marker term of `annotate`: curated knowledge of genes beside what the model reads in the embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..._logging import logger
from ...errors import BioverseError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from ...encoders._panel_share import GeneStats
    from ...models import BioVerse

Float = NDArray[np.float32]


def marker_weight(model: BioVerse, method: str) -> float:
    """Weight that calibration gave the marker term of a method; 0 for a model without one.

    `"asked"` is `"score"` where the evidence is pooled before the language model reads.
    """
    row = model.config.calibration.get({"asked": "candidate_tokens"}.get(method, method))
    return 0.0 if row is None else row.weight("markers")


def read_markers(
    adata: AnnData,
    model: BioVerse,
    cl_ids: Sequence[str | None],
    *,
    method: str,
    modality: str,
    markers: bool | None,
    key: str | None,
    layer: str | None,
) -> tuple[Float | None, dict[str, Any]]:
    """Read the marker evidence of candidates, where a method has a use for it.

    Evidence is as :func:`scbioverse.encoders.marker_evidence.marker_evidence` has it; its weight was fitted on training
    studies that the checkpoint's rehearsals had left out.

    Parameters
    ----------
    cl_ids
        Candidates.
    markers
        True: the evidence has to be had. None: leave it out where the genes cannot be read, and say so in the log.
        False: leave it out.

    Returns
    -------
    float32 (n_obs, m) or None, and what the record says about it.

    Raises
    ------
    InputError
        `markers=True` and the model has no weight for it, the modality is not cells, or genes cannot be read.
    """
    weight = marker_weight(model, method)
    if markers is False or (markers is None and (modality != "cell" or weight == 0)):
        return None, {"weight": 0.0}
    if modality != "cell" or weight == 0:
        raise InputError(
            f"markers=True, but model {model.name!r} has no marker term for method={method!r} and {modality!r}."
        )
    from ...encoders.marker_evidence import marker_evidence

    try:
        evidence = marker_evidence(adata, reference_stats(model), cl_ids, key=key, layer=layer)
    except BioverseError as error:
        if markers:
            raise
        logger.warning("labels go by the embedding alone, since the markers cannot be read: %s", error)
        return None, {"weight": 0.0, "left_out": str(error)}
    backed = int((evidence != 0).any(axis=0).sum())
    logger.info("marker genes are known for %d of %d labels; they count with weight %.3g", backed, len(cl_ids), weight)
    return evidence, {"weight": weight, "candidates_with_markers": backed}


def add_markers(log_probs: Float, evidence: Float | None, weight: float) -> Float:
    """Add weighted evidence to log-probabilities and normalise again: `log_softmax(log p + w · evidence)`."""
    if evidence is None:
        return log_probs
    return log_softmax(log_probs.astype(np.float64) + weight * evidence, axis=1).astype(np.float32)


def reference_stats(model: BioVerse) -> GeneStats:
    """Gene statistics to standardise by: the model's own, or those of `bioverse-small` where its encoder has none."""
    from ...encoders.compact import CompactCellEncoder

    encoder = model.encoders.get("cell")
    if isinstance(encoder, CompactCellEncoder):
        return encoder.stats
    from ...models import load

    shipped = load("bioverse-small").encoders["cell"]
    if not isinstance(shipped, CompactCellEncoder):
        raise InputError("bioverse-small carries no gene statistics: the installation is damaged; reinstall it.")
    return shipped.stats

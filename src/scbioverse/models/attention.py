"""What a projector's attention says about candidates: which of the terms that it knows a cell resembles most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..knowledge.candidates import candidate_columns, kin_columns
from ..nn import PrototypeProjector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

Float = NDArray[np.float64]
# A candidate without terms resembles a cell as its kin do on average, less this many nats: kin are near, but trained
# terms know their own cells better. Chosen with the studies and types that trainings leave out; of 0 to 4, more finds
# fewer cells of types never trained, less takes more cells of trained types for them.
KIN_NATS = 2.0


def best_of_columns(
    logits: NDArray[np.floating], columns: Sequence[Sequence[int]], kin: Sequence[Sequence[int]] | None = None
) -> Float | None:
    """Log-probabilities of candidates by the best of their terms.

    A candidate without terms gets the mean of its kin, less :data:`KIN_NATS`; without kin it is neither favoured nor
    ruled out, and gets the median of the others. None where fewer than two candidates have terms, so that there is
    nothing to tell apart.

    Parameters
    ----------
    logits
        (n, n_terms).
    columns
        Positions of each candidate's terms.
    kin
        Positions of the terms that are nearest of kin to each candidate, see
        :func:`~scbioverse.knowledge.candidates.kin_columns`; None: no candidate has any.
    """
    held = np.array([len(at) > 0 for at in columns])
    if held.sum() < 2:
        return None
    out = np.zeros((len(logits), len(columns)))
    for i in np.flatnonzero(held).tolist():
        out[:, i] = logits[:, list(columns[i])].max(axis=1)
    strangers = np.flatnonzero(~held).tolist()
    # Rarely there are any: the median of a block takes as long as all of the above.
    middle = np.median(out[:, held], axis=1) if strangers else None
    for i in strangers:
        near = [] if kin is None else list(kin[i])
        out[:, i] = logits[:, near].mean(axis=1) - KIN_NATS if near else middle
    return log_softmax(out, axis=1)


@torch.no_grad()
def attended(projector: nn.Module, x: Tensor, terms: Sequence[str], candidates: Sequence[str | None]) -> Float | None:
    """Log-probabilities of candidates by the attention of a projector, no language model.

    The attention of a :class:`~scbioverse.nn.PrototypeProjector` whose prototypes stand for ontology terms is a
    classifier over these terms. A candidate gets the highest of the terms that are it or lie below it, or is judged by
    its kin where there are none, see :func:`best_of_columns`.

    Parameters
    ----------
    projector
        A projector; one by another way than prototypes says nothing.
    x
        float (n, n_tokens, dim), where the projector is.
    terms
        Cell Ontology id of each prototype.
    candidates
        m Cell Ontology ids; None for a label that has none.

    Returns
    -------
    float64 (n, m), natural logarithm, `exp` of a row sums to 1. None where the projector knows no terms, or at most one
    of the candidates.
    """
    if not isinstance(projector, PrototypeProjector):
        return None
    columns = candidate_columns(candidates, terms)
    kin = kin_columns([None if at else one for one, at in zip(candidates, columns, strict=True)], terms)
    # In float64, so that how many rows are computed together changes nothing that could ever be seen.
    exact = torch.float32 if x.device.type == "mps" else torch.float64
    return best_of_columns(projector.eval().logits(x, dtype=exact).cpu().numpy(), columns, kin)

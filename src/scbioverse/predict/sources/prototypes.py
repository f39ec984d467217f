"""The projector's attention: which of the cell types that it was trained on a cell resembles most."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..candidates import Candidates
    from . import Batch


class Prototypes:
    """Log-probabilities by the attention over the prototypes of terms; silent where these tell no two candidates."""

    name = "prototypes"

    def scores(self, batch: Batch, candidates: Candidates) -> NDArray[np.float64] | None:
        """Log-probabilities (n, m); see :meth:`scbioverse.models.BioVerse.attention`."""
        return batch.model.attention(batch.values, candidates.terms, batch.modality)


SOURCE = Prototypes

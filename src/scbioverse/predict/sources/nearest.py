"""Nearness: how close a cell lies to each label's description in the space shared with text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models.shared_space import cosines
from ..whole_ontology import ontology_coordinates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..candidates import Candidates
    from . import Batch


class Nearest:
    """Cosine of a row with the label's description."""

    name = "nearest"

    def scores(self, batch: Batch, candidates: Candidates) -> NDArray[np.float32]:
        """Cosines (n, m)."""
        if candidates.shortlist is None:
            texts = batch.model.text_coordinates(candidates.cards)
        else:  # terms of the ontology, as they are kept
            texts = ontology_coordinates(batch.model, [str(one.cl_id) for one in candidates])
        # In nats only by its weight: a cosine is no probability.
        return cosines(batch.coordinates, texts)


SOURCE = Nearest

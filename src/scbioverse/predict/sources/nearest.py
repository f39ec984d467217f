"""Nearness: how close a cell lies to each label's description in the space shared with text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models.shared_space import cosines
from ..whole_ontology import card_coordinates

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
        # In nats only by its weight: a cosine is no probability.
        return cosines(batch.coordinates, card_coordinates(batch.model, candidates))


SOURCE = Nearest

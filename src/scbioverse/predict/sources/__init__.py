"""What speaks for a candidate: sources, each a class that scores candidates.

A new source is a file here and a weight in a model's calibration: nothing else names the sources. Three of a few lines
each stand in :mod:`.pool`, which asks all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..embedding import Batch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..candidates import Candidates

__all__ = ["Batch", "Source"]


class Source(Protocol):
    """One kind of evidence for candidates; `name` is that of its weight in a model's calibration, and of its file."""

    name: str

    def scores(self, batch: Batch, candidates: Candidates) -> NDArray[np.floating] | None:
        """Score m candidates for n rows: float (n, m), log-probabilities or evidence; None where it cannot tell."""

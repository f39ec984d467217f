"""What speaks for a candidate: sources, each a class that scores candidates.

A new source is a file here and a weight in a model's calibration: nothing else names the sources. The two that say in
one line what the model makes of an embedding stand below.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Protocol

from ...errors import InputError
from ...models.shared_space import cosines
from ..embedding import Batch
from ..whole_ontology import ontology_coordinates

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from ..candidates import Candidates

__all__ = ["Batch", "Nearest", "Prototypes", "Source", "named_sources"]


class Source(Protocol):
    """One kind of evidence for candidates; `name` is that of its weight in a model's calibration, and of its file."""

    name: str

    def scores(self, batch: Batch, candidates: Candidates) -> NDArray[np.floating] | None:
        """Score m candidates for n rows: float (n, m), log-probabilities or evidence; None where it cannot tell."""


class Prototypes:
    """The projector's attention over the prototypes of the cell types that it was trained on."""

    name = "prototypes"

    def scores(self, batch: Batch, candidates: Candidates) -> NDArray[np.float64] | None:
        """Log-probabilities (n, m), None where it tells no two candidates; see :meth:`BioVerse.attention`."""
        return batch.model.attention(batch.values, candidates.terms, batch.modality)


class Nearest:
    """Cosine of a row with each label's description, in the space shared with text."""

    name = "nearest"

    def scores(self, batch: Batch, candidates: Candidates) -> NDArray[np.float32]:
        """Cosines (n, m): in nats only by its weight, since a cosine is no probability."""
        if candidates.shortlist is None:
            texts = batch.model.text_coordinates(candidates.cards)
        else:  # terms of the ontology, as they are kept
            texts = ontology_coordinates(batch.model, [str(one.cl_id) for one in candidates])
        return cosines(batch.coordinates, texts)


_HERE = {one.name: one for one in (Prototypes, Nearest)}


def named_sources(names: Iterable[str]) -> list[Source]:
    """Make the sources of these names: those above, and of each file the class that it calls `SOURCE`.

    An :class:`InputError` where there is no such file: the names come from a model's configuration, which may be
    anybody's.
    """
    made: list[Source] = []
    for name in names:
        if name in _HERE:
            made.append(_HERE[name]())
        elif name.isidentifier() and importlib.util.find_spec(f"{__name__}.{name}") is not None:
            made.append(importlib.import_module(f".{name}", __name__).SOURCE())
        else:
            raise InputError(f"the model weighs evidence of {name!r:.60}, a source that this version does not have.")
    return made

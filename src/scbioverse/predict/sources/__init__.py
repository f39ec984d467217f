"""What speaks for a candidate: one file a source, with one class that scores candidates.

A new source is a file here and a weight in a model's calibration: nothing else names the sources.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ...models import BioVerse
    from ..candidates import Candidates

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows to be called, and what can be known of them."""

    model: BioVerse  # the model
    values: Float  # float32 (n, n_tokens, dim) or (n, dim), embeddings
    modality: str = "cell"  # their modality
    # Gives the marker evidence of terms, float32 (n, m); None where no genes can be read.
    evidence: Callable[[Sequence[str | None]], Float] | None = None
    # Finds for each row those most like it by their own genes, int64 (n, k), -1 for none; None where it cannot.
    alike: Callable[[], NDArray[np.int64] | None] = lambda: None
    batch_size: int = 512  # most rows that the language model reads at once
    progress: bool | None = None  # show a progress bar; `settings.progress` if not given

    def __len__(self) -> int:
        return len(self.values)

    def part(self, rows: NDArray[Any]) -> Batch:
        """Return some of the rows, without their genes."""
        # The genes are read for all rows at once, and what is asked about some rows is asked of the embedding.
        return replace(self, values=self.values[rows], evidence=None)

    def with_genes(self, rows: NDArray[np.integer]) -> Batch:
        """Return some of the rows with their genes, where these can be read by rows."""
        part = getattr(self.evidence, "of_rows", None)
        return replace(self, values=self.values[rows], evidence=None if part is None else part(rows))

    @cached_property
    def coordinates(self) -> Float:
        """Places in the space shared with text, float32 (n, d_text), unit length: computed once."""
        return self.model.coordinates(self.values, self.modality)


class Source(Protocol):
    """One kind of evidence for candidates; `name` is that of its file, and of its weight in a model's calibration."""

    name: str

    def scores(self, batch: Batch, candidates: Candidates) -> NDArray[np.floating] | None:
        """Score m candidates for n rows: float (n, m), log-probabilities or evidence; None where it cannot tell."""


def named_sources(names: Iterable[str]) -> list[Source]:
    """Make the sources of these names: of each file the class that it calls `SOURCE`.

    An :class:`InputError` where there is no such file: the names come from a model's configuration, which may be
    anybody's.
    """
    made = []
    for name in names:
        if not name.isidentifier() or importlib.util.find_spec(f"{__name__}.{name}") is None:
            raise InputError(f"the model weighs evidence of {name!r:.60}, a source that this version does not have.")
        made.append(importlib.import_module(f".{name}", __name__).SOURCE())
    return made

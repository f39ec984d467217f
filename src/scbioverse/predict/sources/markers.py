"""Markers: curated knowledge of genes, beside what the model reads in the embedding."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..._logging import logger
from ...encoders import _panel_share
from ...encoders.compact import CompactCellEncoder
from ...errors import BioverseError, InputError
from ...models import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...encoders._panel_share import GeneStats
    from ...io import Cells
    from ...models import BioVerse
    from ..candidates import Candidates
    from . import Batch

Float = NDArray[np.float32]


@dataclass
class Markers:
    """Evidence of each label's marker genes, in standard deviations over the encoder's training cells."""

    name = "markers"
    weight: float = 0.0  # how much it counts, for log and record; 0: the genes are not read, and the source is silent
    required: bool = False  # genes that cannot be read are an error. If not, the source is silent, and the log says so.
    note: dict[str, Any] = field(default_factory=lambda: {"weight": 0.0})  # what the record says of it

    def scores(self, batch: Batch, candidates: Candidates) -> Float | None:
        """Evidence (n, m); see :func:`scbioverse.encoders._panel_share.marker_evidence`."""
        if batch.evidence is None or not self.weight:
            return None
        try:
            found = batch.evidence(candidates.evidence_keys)
        except BioverseError as error:
            # Embeddings can be had without genes, as of scVI: then they alone decide, unless markers were asked for.
            if self.required:
                raise
            logger.warning("labels go by the embedding alone, since the markers cannot be read: %s", error)
            self.note = {"weight": 0.0, "left_out": str(error)}
            return None
        found = np.asarray(found)
        backed = int((found != 0).any(axis=0).sum())
        logger.info(
            "marker genes are known for %d of %d labels; they count with weight %.3g",
            backed,
            len(candidates),
            self.weight,
        )
        self.note = {"weight": self.weight, "candidates_with_markers": backed}
        return found


SOURCE = Markers


@dataclass(frozen=True)
class CellEvidence:
    """Marker evidence of terms in some cells, all or `rows`: called with m terms, float32 (n, m)."""

    cells: Cells
    model: BioVerse
    rows: NDArray[np.integer] | None = None

    def __call__(self, terms: Sequence[str | None]) -> Float:  # noqa: D102
        return _panel_share.marker_evidence(self.cells, reference_stats(self.model), terms, rows=self.rows)

    def ask(self, *lists: Sequence[str | None]) -> None:
        """Have the evidence of several lists of terms taken in one walk, when that of one is wanted."""
        for terms in lists:
            self.cells.once(reference_stats(self.model).read).ask(self.cells, terms)

    def of_rows(self, rows: NDArray[np.integer]) -> CellEvidence:
        """Return the same for some of the cells, increasing: only these are read."""
        return replace(self, rows=rows)


def reference_stats(model: BioVerse) -> GeneStats:
    """Gene statistics to standardise by: the model's own, or those of `bioverse-small` where its encoder has none."""
    encoder = model.encoders.get("cell")
    if not isinstance(encoder, CompactCellEncoder):
        encoder = load("bioverse-small").encoders["cell"]
    if not isinstance(encoder, CompactCellEncoder):
        raise InputError("bioverse-small carries no gene statistics: the installation is damaged; reinstall it.")
    return encoder.stats

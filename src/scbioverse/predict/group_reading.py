"""What the language model says of groups: it reads their soft tokens and says which of the model's names fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._logging import logger
from ..errors import InputError
from .options import MOST_SCORED, pick_method

if TYPE_CHECKING:
    from .candidates import Candidates
    from .groups import Groups
    from .sources import Batch

Float = NDArray[np.float32]
# Single cells of a group that are read beside its mean.
CELLS_READ = 3
# Groups with fewer cells are read as their mean alone.
_FEW = 5


@dataclass(frozen=True)
class Reading:
    """What was read and said.

    Attributes
    ----------
    log_probs
        float32 (n_groups, m): how likely the language model is to answer with each name, in the mean of what it read of
        a group.
    said
        For each group the name that it would answer with, for the mean and then for each cell that it read.
    """

    log_probs: Float
    said: list[list[str]]

    @property
    def n_read(self) -> int:
        """Means and cells that were read."""
        return sum(map(len, self.said))


def read_groups_of(batch: Batch, groups: Groups, candidates: Candidates) -> Reading | None:
    """Let the language model read every group, by its mean and some of its cells, and score all names.

    Its answer is bound to the candidates' names (constrained decoding), so that what it says always is a type.

    Returns
    -------
    None, said in the log, for a model that was not trained to name rows, or of more than 1,000 names.
    """
    model, modality = batch.model, batch.modality
    try:
        pick_method(model, "score", modality)
    except InputError:
        logger.info("the language model of %r was not trained to name rows: groups are named without it", model.name)
        return None
    if len(candidates) > MOST_SCORED:
        logger.info("%d names are too many for the language model: groups are named without it", len(candidates))
        return None
    means = groups.mean(batch.values).astype(np.float32)
    cells = [
        some_cells(np.flatnonzero(groups.codes == i), batch.values, mean, CELLS_READ if n >= _FEW else 0)
        for i, (mean, n) in enumerate(zip(means, groups.sizes, strict=True))
    ]
    units = np.concatenate([means, batch.values[np.concatenate(cells)]])
    owner = np.concatenate([np.arange(len(means)), np.repeat(np.arange(len(means)), [len(one) for one in cells])])
    scores = model.score(
        units, candidates.texts, modality=modality, batch_size=batch.batch_size, progress=batch.progress
    )
    best = scores.argmax(axis=1)
    said = [[candidates[int(at)].name for at in best[owner == i]] for i in range(len(means))]
    return Reading(np.stack([scores[owner == i].mean(axis=0) for i in range(len(means))]), said)


def some_cells(rows: NDArray[np.integer], values: Float, mean: Float, most: int) -> NDArray[np.int64]:
    """Pick rows from nearer the mean to farther from it, at most so many, whatever order the rows are in."""
    away = np.linalg.norm((values[rows] - mean).reshape(rows.size, -1), axis=1)
    rows = rows[np.argsort(away, kind="stable")]
    # The middles of equal parts: neither the nearest, which the mean stands for, nor the outliers.
    n = min(most, rows.size)
    return rows[((np.arange(n) + 0.5) * rows.size / max(n, 1)).astype(np.int64)].astype(np.int64)

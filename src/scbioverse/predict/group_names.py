"""Free labels of groups: the language model proposes names, and the group's cells decide between them.

What is written for the mean of a group is right for most groups, and wrong where the mean lies between types: few
cells, or a mixture. Single cells of such a group are often called what they are. Of what was written for either, the
group gets what fits its cells best, by the scores that `annotate` decides by, markers included.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..knowledge import load_ontology
from .candidates import Candidates
from .decide import Said
from .free_text import generate_labels
from .groups import group_scores
from .options import pick_method
from .parents import BROADEST
from .pool import Scores, pool, weights_of

if TYPE_CHECKING:
    from .groups import Groups
    from .sources import Batch

Float = NDArray[np.float32]
# Labels that a group's cells decide between, the most written first.
MOST_PROPOSED = 5
# Single cells of a group that are read beside its mean.
CELLS_READ = 3


def propose(batch: Batch, groups: Groups, *, markers: bool | None = None) -> Scores:
    """Let the language model propose labels for every group, and give it the one that fits its cells.

    A label that was written for the mean stays, unless one with another meaning fits better: neither the same term nor
    one above or below it. How specific a label is remains the language model's choice.

    Returns
    -------
    One text a group, and the log-probabilities of the labels by the model's default method. The confidence is the
    probability of the text: given the mean, or of one that was written for cells alone, its mean over those read.
    """
    model, values, modality = batch.model, batch.values, batch.modality
    means = groups.mean(values).astype(np.float32)
    read = [some_cells(np.flatnonzero(groups.codes == i), values, mean, CELLS_READ) for i, mean in enumerate(means)]
    units = np.concatenate([means, values[np.concatenate(read)]])
    written = generate_labels(model, units, modality=modality, batch_size=batch.batch_size)
    table = pd.DataFrame(
        {
            "group": [*range(len(read)), *np.repeat(np.arange(len(read)), [rows.size for rows in read])],
            "mean": np.arange(len(units)) < len(read),
            "text": written.texts,
            "code": written.codes,
            "sure": written.said.confidence.clip(0, 1),
        }
    )
    parts = [part for _, part in table.groupby("group")]
    offered = [_offered(written.labels, part) for part in parts]
    every = sorted({code for codes in offered for code in codes})
    labels = Candidates(tuple(written.labels[code] for code in every))
    method = pick_method(model, None, modality)
    scores = pool(batch, labels, weights_of(model, method, labels, modality), markers=markers)
    fits = pd.DataFrame(group_scores(scores.log_probs, groups), columns=every)
    chosen = [
        _fitting(written.labels, codes, own[codes]) for codes, (_, own) in zip(offered, fits.iterrows(), strict=True)
    ]
    told = [_told(part, code) for part, code in zip(parts, chosen, strict=True)]
    used = sorted(set(chosen))
    # Scores are those that decided, among the labels that are left: not computed anew, since markers weigh a label
    # against the others that are offered.
    among = log_softmax(scores.log_probs[:, [every.index(code) for code in used]], axis=1).astype(np.float32)
    return replace(
        scores,
        candidates=Candidates(tuple(written.labels[code] for code in used)),
        log_probs=among,
        read=len(batch),
        temperature=model.config.calibration["score"].temperature,
        said=Said(
            np.array([used.index(code) for code in chosen], dtype=np.int64),
            np.array([sure for _, sure in told], dtype=np.float32),
            [text for text, _ in told],
        ),
        proposed=[[written.labels[code].name for code in codes] for codes in offered],
    )


def _offered(labels: Candidates, part: pd.DataFrame) -> list[int]:
    """Offer a group what its mean was called, then the terms that most of its cells were called."""
    own = int(part.loc[part["mean"], "code"].iloc[0])
    votes = part.loc[~part["mean"], "code"].value_counts()
    ordered = sorted(votes.index, key=lambda code: (-votes[code], labels[code].name))
    # A text that means no term is nothing that could be tested.
    return [own, *(int(code) for code in ordered if code != own and labels[code].cl_id)][:MOST_PROPOSED]


def _fitting(labels: Candidates, codes: list[int], fits: pd.Series) -> int:
    """Choose between labels, the first of which was written for the mean."""
    best = codes[int(fits.to_numpy().argmax())]
    return codes[0] if _kin(labels[codes[0]].cl_id, labels[best].cl_id) else best


def _kin(one: str | None, other: str | None) -> bool:
    """Whether two terms are the same, or one lies below the other and is not above a good part of all cells."""
    if one is None or other is None or one == other:
        return one == other
    ontology = load_ontology()
    pairs = ((one, other), (other, one))
    return any(up in ontology.ancestors(low) and len(ontology.descendants(up)) <= BROADEST for up, low in pairs)


def _told(part: pd.DataFrame, code: int) -> tuple[str, float]:
    """Text of a group that was given this label, and the text's probability."""
    same = part[part["code"] == code]
    of_mean = same[same["mean"]]
    if len(of_mean):
        return str(of_mean["text"].iloc[0]), float(of_mean["sure"].iloc[0])
    return str(same["text"].value_counts().index[0]), float(same["sure"].sum() / (len(part) - 1))


def some_cells(rows: NDArray[np.integer], values: Float, mean: Float, most: int) -> NDArray[np.int64]:
    """Pick rows from nearer the mean to farther from it, at most so many, whatever order the rows are in."""
    away = np.linalg.norm((values[rows] - mean).reshape(rows.size, -1), axis=1)
    rows = rows[np.argsort(away, kind="stable")]
    # The middles of equal parts: neither the nearest, which the mean stands for, nor the outliers.
    n = min(most, rows.size)
    return rows[((np.arange(n) + 0.5) * rows.size / max(n, 1)).astype(np.int64)].astype(np.int64)

"""Free labels of groups: the language model proposes names, and the group's cells decide between them.

What is written for the mean of a group is right for most groups, and wrong where the mean lies between types: few
cells, or a mixture. Single cells of such a group are often called what they are. Of what was written for either, the
group gets what fits its cells best, by the scores that `annotate` decides by, markers included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..knowledge import load_ontology
from .free_text import MOST_WRITTEN, GeneratedAnswers, Written, answers_of, generate_labels, group_means
from .groups import group_scores
from .label_scores import label_scores
from .options import pick_method
from .parents import BROADEST

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse
    from .candidates import Label
    from .groups import Groups

Float = NDArray[np.float32]
# Cells of a group that are read one by one, beside its mean.
MOST_READ = 8
# Labels that a group's cells decide between, the most written first.
MOST_PROPOSED = 5
# A probability that has a logarithm.
TINY = float(np.finfo(np.float32).tiny)


def proposed_answers(
    adata: AnnData,
    model: BioVerse,
    values: Float,
    groups: Groups,
    *,
    markers: bool | None = None,
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    threshold: float = 0.0,
    batch_size: int = 512,
) -> GeneratedAnswers:
    """Let the language model propose labels for every group, and give it the one that fits its cells.

    A label that was written for the mean stays, unless one with another meaning fits better: neither the same term nor
    one above or below it. How specific a label is remains the language model's choice.

    Parameters
    ----------
    adata
        The data, for the markers.
    model
        The model.
    values
        float32 (n_obs, n_tokens, dim).
    groups
        Groups that get one label each.
    markers, modality, key, layer
        See :func:`scbioverse.tl.annotate`.
    threshold
        Groups whose text has a lower probability are unknown.
    batch_size
        Rows at once.

    Returns
    -------
    Labels, one text a group, and the log-probabilities of these labels by the model's default method. The confidence is
    the probability of the text: given the mean, or of one that was written for cells alone, its mean over those read.
    """
    means = group_means(values, groups)
    read = [_some(np.flatnonzero(groups.codes == i), values, mean) for i, mean in enumerate(means)]
    units = np.concatenate([means, values[np.concatenate(read)]])
    written = generate_labels(model, units, modality=modality, batch_size=min(batch_size, MOST_WRITTEN))
    table = pd.DataFrame(
        {
            "group": [*range(len(read)), *np.repeat(np.arange(len(read)), [rows.size for rows in read])],
            "mean": np.arange(len(units)) < len(read),
            "text": written.texts,
            "code": written.codes,
            "sure": np.exp(written.log_probs).clip(0, 1),
        }
    )
    parts = [part for _, part in table.groupby("group")]
    offered = [_offered(written.labels, part) for part in parts]
    every = sorted({code for codes in offered for code in codes})
    labels = [written.labels[code] for code in every]
    scored = label_scores(
        adata,
        model,
        values,
        labels,
        method=pick_method(model, None, modality),
        ranked=None,
        markers=markers,
        modality=modality,
        key=key,
        layer=layer,
        batch_size=batch_size,
    )
    joint = pd.DataFrame(group_scores(scored.log_probs, groups), columns=every)
    chosen = [
        _fitting(written.labels, codes, fits[codes]) for codes, (_, fits) in zip(offered, joint.iterrows(), strict=True)
    ]
    said = [_said(part, code) for part, code in zip(parts, chosen, strict=True)]
    used = sorted(set(chosen))
    final = Written(
        [text for text, _ in said],
        [written.labels[code] for code in used],
        np.array([used.index(code) for code in chosen], dtype=np.int64),
        np.log(np.array([max(sure, TINY) for _, sure in said], dtype=np.float32)),
    )
    among = log_softmax(scored.log_probs[:, [every.index(code) for code in used]], axis=1).astype(np.float32)
    answers = answers_of(final, among, groups, threshold)
    for row, codes in zip(answers.answers.groups, offered, strict=True):
        row["proposed"] = [written.labels[code].name for code in codes]
    answers.markers.update(scored.markers)
    return answers


def _some(rows: NDArray[np.integer], values: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pick rows from nearer the mean to farther from it, at most :data:`MOST_READ`, whatever order the rows are in."""
    away = np.linalg.norm((values[rows] - mean).reshape(rows.size, -1), axis=1)
    rows = rows[np.argsort(away, kind="stable")]
    # The middles of equal parts: neither the nearest, which the mean stands for, nor the outliers.
    n = min(MOST_READ, rows.size)
    at = ((np.arange(n) + 0.5) * rows.size / n).astype(np.int64)
    return rows[at].astype(np.int64)


def _offered(labels: list[Label], part: pd.DataFrame) -> list[int]:
    """Offer a group what its mean was called, then the terms that most of its cells were called."""
    own = int(part.loc[part["mean"], "code"].iloc[0])
    votes = part.loc[~part["mean"], "code"].value_counts()
    ordered = sorted(votes.index, key=lambda code: (-votes[code], labels[code].name))
    # A text that means no term is nothing that could be tested.
    others = [int(code) for code in ordered if code != own and labels[code].cl_id]
    return [own, *others][:MOST_PROPOSED]


def _fitting(labels: list[Label], codes: list[int], fits: pd.Series) -> int:
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


def _said(part: pd.DataFrame, code: int) -> tuple[str, float]:
    """Text of a group that was given this label, and the text's probability."""
    same = part[part["code"] == code]
    if same["mean"].any():
        first = same[same["mean"]].iloc[0]
        return str(first["text"]), float(first["sure"])
    return str(same["text"].value_counts().index[0]), float(same["sure"].sum() / (len(part) - 1))

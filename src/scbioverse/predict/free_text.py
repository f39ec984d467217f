"""Labels that the language model writes, mapped to candidates or to the Cell Ontology; of groups, with a choice.

What is written for the mean of a group is right for most groups, and wrong where the mean lies between types: few
cells, or a mixture. Single cells of such a group are often called what they are. Of what was written for either, the
group gets what fits its cells best, by the scores that `annotate` decides by, markers included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from .._logging import bounded
from ..knowledge import load_ontology, resolve_label
from ..knowledge.levels import BROADEST
from ..knowledge.ontology import canonical_phrase
from ..knowledge.phrases import term_said
from ..knowledge.sentences import split_sentences
from ..llm.prompts import MAX_EVIDENCE_CHARS
from ..models.score import write_labels
from .candidates import Candidates
from .groups import group_scores
from .label import Label
from .pool import Said, Scores, pick_method, pool, weights_of

if TYPE_CHECKING:
    from ..models import BioVerse
    from .embedding import Batch
    from .groups import Groups

Float = NDArray[np.float32]
# Labels written at once: more take memory and are no quicker.
MOST_WRITTEN = 32
# Labels that a group's cells decide between, the most written first.
MOST_PROPOSED = 5
# Single cells of a group that are read beside its mean.
CELLS_READ = 3


@dataclass(frozen=True, eq=False)
class Written:
    """Labels that the language model wrote."""

    texts: list[str]  # n texts as they were written
    labels: Candidates  # the different labels that they mean
    codes: NDArray[np.int64]  # int64 (n,): which of them each is
    log_probs: Float  # float32 (n,): log-probability of each text, among the candidates where there are some

    @property
    def said(self) -> Said:
        """The same, as :func:`~scbioverse.predict.decide.decide` takes it."""
        return Said(self.codes, np.exp(self.log_probs), self.texts)


def generate_labels(
    model: BioVerse,
    embeddings: Float,
    candidates: Candidates | None = None,
    *,
    modality: str = "cell",
    batch_size: int = MOST_WRITTEN,
) -> Written:
    """Let the language model write a label for each row: embeddings of cells, or mean ones of groups.

    Without `candidates` it may write anything; the text is then mapped to the Cell Ontology, and stays a label of its
    own where it means no term.
    """
    # Names are what the prompt was trained with, not what the user calls them.
    names = None if candidates is None else candidates.texts
    size = min(batch_size, MOST_WRITTEN)
    texts, log_probs, which = write_labels(model, embeddings, names, modality=modality, batch_size=size)
    if candidates is not None:
        return Written(texts, candidates, which, log_probs)
    texts = [bounded(text, MAX_EVIDENCE_CHARS) for text in texts]
    meant = [label_of(text, model.config.names) for text in texts]
    keys = [label.cl_id or label.name.casefold() for label in meant]
    labels = dict(zip(reversed(keys), reversed(meant), strict=True))  # of equal meaning, the first is kept
    order = list(dict.fromkeys(keys))
    codes = np.array(list(map(order.index, keys)), dtype=np.int64)
    return Written(texts, Candidates(tuple(labels[key] for key in order)), codes, log_probs)


def write_for(batch: Batch, candidates: Candidates | None, groups: Groups | None) -> Scores:
    """Let the language model write a label for every row, or for the mean embedding of every group.

    The scores beside them are those of `method="score"` among the same labels, without markers. Groups that may be
    called anything are :func:`propose`'s.
    """
    units = batch.values if groups is None else groups.mean(batch.values).astype(np.float32)
    written = generate_labels(batch.model, units, candidates, modality=batch.modality, batch_size=batch.batch_size)
    weights = weights_of(batch.model, "score", written.labels, batch.modality)
    # Without markers: what is written rests on the soft tokens alone, and so do the scores beside it.
    scores = pool(batch.of(batch.values), written.labels, weights)
    return replace(scores, said=written.said, temperature=batch.model.config.calibration["score"].temperature)


def label_of(text: str, names: str = "natural") -> Label:
    """Map a free text to the term that it names; a text that names none stays as it is, `"unnamed"` if empty.

    A model that answers with `"spoken"` names means the term that it was taught to call so, whatever else the words
    could mean.
    """
    first: Sequence[str] = split_sentences(text)
    said = bounded(first[0].rstrip(".") if first else "", 80)
    taught = term_said(said) if names == "spoken" else None
    found = resolve_label(said)
    cl_id = taught or found.cl_id
    if cl_id is None:
        name = said or "unnamed"  # an empty category is one that files lose
        return Label(name, name, None, name, "none")
    phrase = canonical_phrase(cl_id)
    return Label(phrase, phrase, cl_id, load_ontology().term(cl_id).label, "exact" if taught else found.how)


def propose(batch: Batch, groups: Groups) -> Scores:
    """Let the language model propose labels for every group, and give it the one that fits its cells.

    A label that was written for the mean stays, unless one with another meaning fits better: neither the same term nor
    one above or below it. How specific a label is remains the language model's choice. The confidence is the
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
    scores = pool(batch, labels, weights_of(model, method, labels, modality))
    fits = pd.DataFrame(group_scores(scores.log_probs, groups), columns=every)
    chosen = [
        _fitting(written.labels, codes, own[codes]) for codes, (_, own) in zip(offered, fits.iterrows(), strict=True)
    ]
    told = [_told(part, code) for part, code in zip(parts, chosen, strict=True)]
    used = sorted(set(chosen))
    # Scores are those that decided, among the labels that are left: not computed anew, since markers weigh a label
    # against the others that are offered.
    among = log_softmax(scores.log_probs[:, list(map(every.index, used))], axis=1).astype(np.float32)
    return replace(
        scores,
        candidates=Candidates(tuple(written.labels[code] for code in used)),
        log_probs=among,
        read=len(batch),
        temperature=model.config.calibration["score"].temperature,
        said=Said(
            np.array(list(map(used.index, chosen)), dtype=np.int64),
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

"""Labels that the language model writes, mapped to candidates or to the Cell Ontology."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..knowledge import load_ontology, resolve_label
from ..knowledge.phrases import canonical_phrase
from ..knowledge.sentences import split_sentences
from ..knowledge.spoken import term_said
from ..llm.questions import MAX_EVIDENCE_CHARS, bounded
from ..models.writer import write_labels
from .calls import Answers, decide
from .candidates import Label
from .groups import Groups, agreement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse

Float = NDArray[np.float32]
# Labels written at once: more take memory and are no quicker.
MOST_WRITTEN = 32


@dataclass(frozen=True, eq=False)
class Written:
    """Labels that the language model wrote.

    Attributes
    ----------
    texts
        n texts as they were written.
    labels
        The different labels that they mean.
    codes
        int64 (n,): which of them each is.
    log_probs
        float32 (n,): log-probability of each text, among the candidates where there are some.
    """

    texts: list[str]
    labels: list[Label]
    codes: NDArray[np.int64]
    log_probs: Float


def generate_labels(
    model: BioVerse,
    embeddings: Float,
    candidates: Sequence[Label] | None = None,
    *,
    modality: str = "cell",
    beams: int = 1,
    batch_size: int = 32,
) -> Written:
    """Let the language model write a label for each row.

    Parameters
    ----------
    model
        The model.
    embeddings
        float32 (n, n_tokens, dim) or (n, dim): of cells, or mean ones of groups.
    candidates
        What may be written. None: anything; the text is then mapped to the Cell Ontology, and stays a label of its own
        where it means no term.
    modality
        Modality of the embeddings.
    beams
        Beginnings kept, see :func:`scbioverse.llm.generate.generate`.
    batch_size
        Rows written for at once.

    Returns
    -------
    With `candidates`, `labels` are these, and every text is one of them.
    """
    names = None if candidates is None else [one.text for one in candidates]
    texts, log_probs, which = write_labels(
        model, embeddings, names, modality=modality, beams=beams, batch_size=batch_size
    )
    if candidates is not None:
        return Written(texts, list(candidates), which, log_probs)
    texts = [bounded(text, MAX_EVIDENCE_CHARS) for text in texts]
    labels: dict[str, Label] = {}
    keys = []
    for text in texts:
        label = label_of(text, model.config.names)
        key = label.cl_id or label.name.casefold()
        labels.setdefault(key, label)
        keys.append(key)
    order = list(labels)
    codes = np.array([order.index(key) for key in keys], dtype=np.int64)
    return Written(texts, list(labels.values()), codes, log_probs)


@dataclass(frozen=True, eq=False)
class GeneratedAnswers:
    """What :func:`generate_answers` hands to :func:`scbioverse.tl.annotate`.

    Attributes
    ----------
    labels
        The candidates, or the labels that the texts mean.
    answers
        Label and confidence of every row; the confidence is the probability of the written text, among the candidates
        where there are some and among all texts else.
    texts
        What was written for each row, `""` for rows without a group.
    """

    labels: list[Label]
    answers: Answers
    texts: list[str]
    markers: dict[str, Any] = field(default_factory=lambda: {"weight": 0.0})
    """What the record says about the marker term, where labels were tested with it."""


def generate_answers(
    model: BioVerse,
    values: Float,
    candidates: Sequence[Label] | None,
    groups: Groups | None,
    *,
    modality: str = "cell",
    threshold: float = 0.0,
    batch_size: int = 32,
) -> GeneratedAnswers:
    """Let the language model write a label for every row, or for the mean embedding of every group.

    The scores beside them are those of `method="score"` among the same labels. Groups that may be called anything are
    :func:`scbioverse.predict.group_names.proposed_answers`'.

    Parameters
    ----------
    model
        The model.
    values
        float32 (n_obs, n_tokens, dim).
    candidates
        What may be written; anything if None.
    groups
        Groups that get one label each, or None.
    modality
        Modality of the embeddings.
    threshold
        Texts with a lower probability are unknown.
    batch_size
        Rows at once.
    """
    units = values if groups is None else group_means(values, groups)
    written = generate_labels(model, units, candidates, modality=modality, batch_size=min(batch_size, MOST_WRITTEN))
    texts, ids = [label.text for label in written.labels], [label.cl_id for label in written.labels]
    scores = model.score(values, texts, terms=ids, modality=modality, batch_size=batch_size)
    return answers_of(written, scores, groups, threshold)


def answers_of(written: Written, scores: Float, groups: Groups | None, threshold: float) -> GeneratedAnswers:
    """Give every row what was written for it, or for its group, in place of its best score.

    Parameters
    ----------
    written
        One text a row, or a group where there are groups.
    scores
        float32 (n_obs, n_labels), log-probabilities of the labels.
    """
    names = [label.name for label in written.labels]
    base = decide(scores, names, groups, 0.0, cl_ids=[label.cl_id for label in written.labels], parents=False)
    sure = np.exp(written.log_probs).clip(0, 1).astype(np.float32)
    known = sure >= threshold
    if groups is None:
        answers = replace(base, codes=written.codes, confidence=sure, known=known)
        return GeneratedAnswers(written.labels, answers, written.texts)
    agree = agreement(scores, groups, written.codes)
    table = [
        {**row, "label": names[code] if fine else base.unknown, "confidence": round(float(conf), 6)}
        | {"agreement": round(float(share), 6)}
        for row, code, fine, conf, share in zip(base.groups, written.codes, known, sure, agree, strict=True)
    ]
    at = groups.codes
    answers = replace(
        base,
        codes=np.append(written.codes, -1)[at],
        confidence=np.append(sure, np.float32(np.nan))[at],
        known=np.append(known, True)[at],
        groups=table,
    )
    return GeneratedAnswers(written.labels, answers, [[*written.texts, ""][code] for code in at])


def group_means(values: Float, groups: Groups) -> Float:
    """Mean embedding of each group, float32 (n_groups, ...)."""
    inside = groups.codes >= 0
    sums = np.zeros((len(groups.names), *values.shape[1:]), dtype=np.float64)
    np.add.at(sums, groups.codes[inside], values[inside])
    return (sums / groups.sizes.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32)


def label_of(text: str, names: str = "natural") -> Label:
    """Map a free text to the term that it names; a text that names none stays as it is, `"unnamed"` if empty.

    A model that answers with `"spoken"` names means the term that it was taught to call so, whatever else the words
    could mean.
    """
    first = split_sentences(text)
    said = bounded(first[0].rstrip(".") if first else "", 80)
    if names == "spoken" and (taught := term_said(said)) is not None:
        phrase = canonical_phrase(taught)
        return Label(phrase, phrase, taught, load_ontology().term(taught).label, "exact")
    found = resolve_label(said)
    if found.cl_id is None:
        return Label(said or "unnamed", said or "unnamed", None, said or "unnamed", "none")
    phrase = canonical_phrase(found.cl_id)
    return Label(phrase, phrase, found.cl_id, found.term_label, found.how)

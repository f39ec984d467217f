"""Labels that the language model writes, mapped to candidates or to the Cell Ontology."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..knowledge import load_ontology, resolve_label
from ..knowledge.phrases import canonical_phrase
from ..knowledge.sentences import split_sentences
from ..knowledge.spoken import term_said
from ..llm.questions import MAX_EVIDENCE_CHARS, bounded
from ..models.written_labels import write_labels
from .candidates import Candidates, Label
from .decide import Said
from .pool import Scores, pool, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse
    from .groups import Groups
    from .sources import Batch

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
    labels: Candidates
    codes: NDArray[np.int64]
    log_probs: Float

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
    batch_size
        Rows written for at once.
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
    codes = np.array([order.index(key) for key in keys], dtype=np.int64)
    return Written(texts, Candidates(tuple(labels[key] for key in order)), codes, log_probs)


def write_for(batch: Batch, candidates: Candidates | None, groups: Groups | None) -> Scores:
    """Let the language model write a label for every row, or for the mean embedding of every group.

    The scores beside them are those of `method="score"` among the same labels, without markers. Groups that may be
    called anything are :func:`scbioverse.predict.group_names.propose`'s.
    """
    units = batch.values if groups is None else groups.mean(batch.values).astype(np.float32)
    written = generate_labels(batch.model, units, candidates, modality=batch.modality, batch_size=batch.batch_size)
    weights = weights_of(batch.model, "score", written.labels, batch.modality)
    # Without markers: what is written rests on the soft tokens alone, and so do the scores beside it.
    scores = pool(batch, written.labels, weights, markers=False)
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

"""Questions that no count answers: what the model reads, what is known, and a sentence that was checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from ..explain.reading import CheckedClaim, check_text
from ..knowledge import canonical_phrase, load_ontology, markers_for
from ..knowledge.sentences import split_sentences
from ..llm.questions import MAX_NAME_CHARS, bounded
from ..models.score import score_unique
from ..predict.candidates import read_labels
from ..train.lessons import measured
from ._question_facts import MARKERS, NOT_ENOUGH, genes_said, top_genes
from ._questions import content_stems, named_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ._question_cells import AskedCells
    from ._questions import Question

_MOST_TARGETS = 12
_PRUNE = 0.01
# Ancestors that say nothing about a term.
_BROADEST = 900
_TISSUE = ("tissue", "organ", "tissue_type", "organ_part", "tissue_general")


@dataclass(frozen=True, eq=False)
class Target:
    """A group that is asked about.

    Attributes
    ----------
    name
        As the answer calls it.
    mask
        bool (n_obs,), its cells.
    label, cl_id
        Cell type that it has, and its Cell Ontology id or None.
    how
        `"annotated"`: from `obs`; `"read"`: by the model, now.
    confidence
        Probability of the label among the model's own, NaN where it comes from `obs`.
    table
        Genes that set it apart.
    """

    name: str
    mask: NDArray[np.bool_]
    label: str
    cl_id: str | None
    how: str
    confidence: float
    table: pd.DataFrame


def targets(question: Question, cells: AskedCells) -> list[Target]:
    """Find the groups that a question is about, with the type the model reads in them."""
    # Of "why is cluster 0 a B cell" the cluster is meant: groups of one column only, the first that was looked at.
    columns = [one.column for one in question.groups]
    meant = min(columns, key=cells.columns.index) if columns else None
    named = [(one.name, one.mask & cells.asked) for one in question.groups if one.column == meant]
    if not named and question.kind == "open" and question.column is not None:
        named = cells.groups_of(question.column)
    elif not named and cells.groupby is not None:
        named = cells.groups_of(cells.groupby)
    named = named or [("these cells", cells.asked)]
    named = [(name, mask) for name, mask in named if mask.any()]
    named = sorted(named, key=lambda one: -int(one[1].sum()))[:_MOST_TARGETS]
    labels = _annotated(cells, [mask for _, mask in named])
    if any(label is None for label in labels):
        read = _read(cells, [mask for _, mask in named])
        labels = [old if old is not None else new for old, new in zip(labels, read, strict=True)]
    out = []
    for (name, mask), found in zip(named, labels, strict=True):
        if found is None:
            continue
        label, cl_id, how, confidence = found
        out.append(Target(name, mask, label, cl_id, how, confidence, _evidence(cells, mask, cl_id)))
    return out


def retrieve(question: Question, cells: AskedCells, found: list[Target]) -> Iterator[str]:
    """Sentences that rest on the ontology, the marker table, `obs` and what was measured."""
    if question.kind == "definition" and question.term is not None:
        yield from _definition(question.term)
    elif question.kind == "tissue":
        yield from _tissue(cells)
    elif question.kind == "lineage":
        for one in found:
            above = _kinds(one.cl_id)
            if above:
                yield f"{_subject(one)} {_is(one)} {one.label}, a kind of {', '.join(above[:4])} (Cell Ontology)."
    elif question.kind == "identity":
        for one in found:
            yield _identity(one)
    elif question.kind == "open":
        yield from _by_definition(question, found)


def prompt_evidence(found: list[Target]) -> str:
    """Say what was measured, for the prompt, in the words that tuning used."""
    said = [(bounded(one.name, MAX_NAME_CHARS), measured(one.table)) for one in found[:3] if len(one.table)]
    return said[0][1] if len(found) == 1 and said else " ".join(f"{name}: {text}" for name, text in said)


def checked(text: str, cells: AskedCells, found: list[Target]) -> tuple[str, list[str], pd.DataFrame]:
    """Keep the sentences of a generated text that claim something about genes and are right about all of it.

    A sentence without such a claim cannot be tested and is dropped, too. A claim must hold for the group that the
    sentence names, or for the only one. A sentence that names a cell type which is neither the group's own, nor a
    kind of it, nor what it is a kind of, is dropped whatever it says about genes.

    Returns
    -------
    What is kept, the sentences that were dropped, and every claim with its verdict.
    """
    data = cells.measured
    kept, dropped, rows = [], [], []
    names = [one.name for one in found] + [one.label for one in found]
    for sentence in split_sentences(text):
        about = [one for one in found if one.name.lower() in sentence.lower() or one.label.lower() in sentence.lower()]
        about = about if len(about) == 1 else (found if len(found) == 1 else [])
        claims: list[CheckedClaim] = []
        if data is not None and about:
            left, claims = check_text(sentence, data, about[0].mask, names=names)
            rows += [
                (about[0].name, one.claim.said, one.gene, one.claim.direction, one.verdict, sentence) for one in claims
            ]
        else:
            left = ""
        if left and claims and sentence.endswith((".", "!")) and _names_no_other_type(sentence, about[0]):
            kept.append(sentence)
        else:
            dropped.append(sentence)
    table = pd.DataFrame(rows, columns=["group", "said", "gene", "direction", "verdict", "sentence"])
    return " ".join(kept), dropped, table


def _names_no_other_type(sentence: str, one: Target) -> bool:
    ontology = load_ontology()
    said = sentence.replace(one.name, " ").replace(one.label, " ")
    named = named_types(said)
    if one.cl_id is None or one.cl_id not in ontology:
        return not named
    return all(ontology.related(cl_id, one.cl_id) for cl_id in named)


def _annotated(cells: AskedCells, masks: list[NDArray[np.bool_]]) -> list[tuple[str, str | None, str, float] | None]:
    """Label that most cells of a group have in `obs`, where it was annotated."""
    slots, obs = cells.slots, cells.adata.obs
    if slots.label not in obs:
        return [None] * len(masks)
    out: list[tuple[str, str | None, str, float] | None] = []
    for mask in masks:
        counts = obs[slots.label][mask].astype(str).value_counts()
        label = str(counts.index[0]) if len(counts) else "unknown"
        if label in ("unknown", "nan") or counts.iloc[0] < 0.5 * mask.sum():
            out.append(None)
            continue
        own = mask & (obs[slots.label].astype(str) == label).to_numpy()
        cl_id = str(obs[slots.cl_id][own].iloc[0]) if slots.cl_id in obs else ""
        out.append((bounded(label, MAX_NAME_CHARS), cl_id or None, "annotated", float("nan")))
    return out


def _read(cells: AskedCells, masks: list[NDArray[np.bool_]]) -> list[tuple[str, str | None, str, float] | None]:
    """Label that the model gives a group's mean embedding, among its own vocabulary."""
    model = cells.model
    if not model.config.default_labels:
        return [None] * len(masks)
    labels = read_labels(None, model)
    values = cells.embed(masks)
    trained = model.config.encoders[cells.modality].chooses_by
    if not trained or "score" in trained:
        names = [one.text for one in labels]
        # Names that cannot win any more are not read to their end: an answer should not wait for them.
        raw = score_unique(model, values, names, cells.modality, len(values), False, prune=_PRUNE)
        scores = log_softmax(raw.astype(np.float64) / model.config.calibration["score"].temperature, axis=1)
    else:
        scores = model.nearest(values, [one.card for one in labels], modality=cells.modality)
    best = scores.argmax(axis=1)
    return [
        (labels[at].name, labels[at].cl_id, "read", float(np.exp(row[at])))
        for at, row in zip(best, scores, strict=True)
    ]


def _evidence(cells: AskedCells, mask: NDArray[np.bool_], cl_id: str | None) -> pd.DataFrame:
    """Genes that set a group apart: known markers of its label first."""
    if cells.measured is None:
        return pd.DataFrame(columns=["gene", "fraction_in", "fraction_out", "known"])
    table = top_genes(cells, mask, ~mask)
    listed = cl_id is not None and cl_id in load_ontology()
    known = set(markers_for(str(cl_id), include="ancestors")["gene"]) if listed else set()
    table["known"] = table["gene"].isin(known)
    return table.sort_values("known", ascending=False, kind="stable").reset_index(drop=True)


def _identity(one: Target) -> str:
    if one.how == "read":
        said = (
            f"{_subject(one)} {_reads(one)} as {one.label} (probability {one.confidence:.2f} among the model's types)"
        )
    else:
        said = f"{_subject(one)} {_is(one)} labelled {one.label}"
    known = one.table[one.table["known"]] if len(one.table) else one.table
    if len(known):
        verb = "bears" if len(known.head(3)) == 1 else "bear"
        return f"{said}; {genes_said(known.head(3))} {verb} it out."
    return f"{said}; no known marker of it sets these cells apart from others, so this is weakly supported."


def _definition(cl_id: str) -> Iterator[str]:
    term = load_ontology().term(cl_id)
    if term.definition:
        yield f"{canonical_phrase(cl_id)} ({cl_id}): {split_sentences(term.definition)[0]}"
    above = _kinds(cl_id)
    if above:
        yield f"It is a kind of {', '.join(above[:3])}."
    genes = list(markers_for(cl_id)["gene"][:MARKERS])
    if genes:
        yield f"Marker tables list {', '.join(genes)}."


def _tissue(cells: AskedCells) -> Iterator[str]:
    for name in _TISSUE:
        column = next((str(one) for one in cells.adata.obs.columns if str(one).lower() == name), None)
        if column is not None:
            counts = cells.adata.obs[column][cells.asked].astype(str).value_counts()
            shown = [f"{bounded(one, MAX_NAME_CHARS)} ({n} cells)" for one, n in counts.head(4).items()]
            yield f"obs[{column!r}] names {', '.join(shown)}."
            return


def _by_definition(question: Question, found: list[Target]) -> Iterator[str]:
    """Say for which groups the ontology's definition of their type, or of a broader one, speaks of what is asked."""
    stems = content_stems(question.text)
    for gene in question.genes:
        stems = [stem for stem in stems if not gene.lower().startswith(stem)]
    if not stems:
        return
    ontology = load_ontology()
    for one in found:
        if one.cl_id is None or one.cl_id not in ontology:
            continue
        for cl_id in (one.cl_id, *ontology.ancestors(one.cl_id)):
            if len(ontology.descendants(cl_id)) > _BROADEST:
                continue
            term = ontology.term(cl_id)
            for sentence in (*split_sentences(term.definition), term.label):
                if all(re.search(rf"\b{re.escape(stem)}", sentence.lower()) for stem in stems):
                    kind = "" if cl_id == one.cl_id else f", a kind of {canonical_phrase(cl_id)}"
                    said = sentence.rstrip(".")
                    yield f"{_subject(one)} {_is(one)} {one.label}{kind}; the Cell Ontology says: {said}."
                    break
            else:
                continue
            break


def _kinds(cl_id: str | None) -> list[str]:
    ontology = load_ontology()
    if cl_id is None or cl_id not in ontology:
        return []
    return [canonical_phrase(one) for one in ontology.ancestors(cl_id) if len(ontology.descendants(one)) <= _BROADEST]


def _subject(one: Target) -> str:
    return "These cells" if one.name == "these cells" else f"Group {bounded(one.name, MAX_NAME_CHARS)}"


def _is(one: Target) -> str:
    return "are" if one.name == "these cells" else "is"


def _reads(one: Target) -> str:
    return "read" if one.name == "these cells" else "reads"


__all__ = ["NOT_ENOUGH", "Target", "checked", "prompt_evidence", "retrieve", "targets"]

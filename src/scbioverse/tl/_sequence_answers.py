"""Questions about molecules and proteins that no count answers: nearness to a text or a row, and what a model says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import InputError
from ..llm.questions import MAX_NAME_CHARS, bounded
from ._answer_stream import Answer, pieces
from ._asked_sequences import row_labels
from ._column_values import value_text
from ._neighbours import View, nearest_rows
from ._question_facts import NOT_ENOUGH, Fact, listed
from ._sequence_facts import compute_sequences, missing, not_there
from ._sequence_notes import say_notes
from ._sequence_properties import tanimoto
from ._sequence_questions import COMPUTED
from ._sequence_rows import SHOWN, chosen, chosen_rows, counted, cut_said

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._asked_sequences import AskedSequences, Rows
    from ._sequence_questions import SequenceQuestion

_RANKED = 50  # rows of the evidence
_MOST_TEXT = 400


def sequence_pieces(
    data: AskedSequences, question: SequenceQuestion, max_new_tokens: int
) -> Generator[str, None, Answer]:
    """Answer a question about molecules or proteins piece by piece."""
    if question.kind in COMPUTED or question.lost:
        fact = compute_sequences(question, data) if question.kind in COMPUTED else missing(question, data)
        yield from pieces(fact.text)
        return Answer(fact.text, question.text, question.kind, True, fact.table)
    if question.kind in ("search", "similar"):
        fact = _search(question, data) if question.kind == "search" else _similar(question, data)
        yield from pieces(fact.text)
        return Answer(fact.text, question.text, question.kind, False, fact.table)
    return (yield from _open(question, data, max_new_tokens))


def _open(question: SequenceQuestion, data: AskedSequences, max_new_tokens: int) -> Generator[str, None, Answer]:
    """Say what is known of the rows that a question is about."""
    rows = chosen_rows(question, data)
    readable = rows[data.readable[rows]]
    told = _before(question, rows, data)
    for number, part in enumerate(told):
        yield from pieces(part, number > 0)
    if not readable.size or _names_nothing(question, rows, data):
        return Answer(" ".join(told), question.text, question.kind, True)
    if data.reference is None and _speaks(data):
        answer = yield from say_notes(question, data, readable[:SHOWN], max_new_tokens, begun=bool(told))
    else:
        fact = _plain(readable[:SHOWN], data) if data.reference is None else _known(readable[:SHOWN], data)
        yield from pieces(fact.text, bool(told))
        answer = Answer(fact.text, question.text, question.kind, data.reference is None, fact.table)
    left = not_there(question, data)
    rest = readable.size - SHOWN
    if rest > 0:
        left = [f"{counted(rest, f'more {data.noun}')} {'was' if rest == 1 else 'were'} not looked at.", *left]
    for part in left:
        yield from pieces(part, True)
    return replace(answer, text=" ".join([*told, answer.text, *left]))


def _names_nothing(question: SequenceQuestion, rows: Rows, data: AskedSequences) -> bool:
    return not question.rows and not question.groups and data.whole and rows.size > SHOWN


def _before(question: SequenceQuestion, rows: Rows, data: AskedSequences) -> list[str]:
    """Say what cannot be answered, and what the data say themselves."""
    if not rows.size:
        return [f"What is named is not among the selected {data.noun}s. {NOT_ENOUGH}"]
    if _names_nothing(question, rows, data):
        return [
            f"The question names no {data.noun} of these data and asks for nothing that can be computed of all. Ask "
            f'about one by its name, such as {data.labels[0]}, or begin with "Which {data.noun}s ...".'
        ]
    readable, other = rows[data.readable[rows]], rows[~data.readable[rows]]
    told = [_unread(other, data)] if other.size else []
    return [*told, *filter(None, (_own_text(int(row), data) for row in readable[:SHOWN]))]


def _unread(rows: Rows, data: AskedSequences) -> str:
    names = listed([data.labels[row] for row in rows[:SHOWN]])
    verb = "has" if rows.size == 1 else "have"
    them = "it" if rows.size == 1 else "them"
    return f"{names} {verb} no {data.written} that can be read: nothing can be said of {them}."


def _own_text(row: int, data: AskedSequences) -> str:
    """Return what the data themselves say of a row."""
    for column in dict.fromkeys([data.text_key, "description"]):
        if column in data.adata.obs:
            said = bounded(value_text(data.adata.obs[column].astype(object).iloc[row]), _MOST_TEXT)
            if said:
                return f"obs[{column!r}] says of {data.labels[row]}: {_ended(said)}"
    return ""


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _speaks(data: AskedSequences) -> bool:
    try:
        return data.modality in data.model.phrase_books
    except InputError:
        return False


# ---------------------------------------------------------------- nearness


def _search(question: SequenceQuestion, data: AskedSequences) -> Fact:
    """Rows nearest to the question in the space shared with text."""
    rows = np.flatnonzero(chosen(question, data) & data.readable)
    if not rows.size:
        return Fact(f"No {data.noun} that was asked about has a {data.written} that can be read. {NOT_ENOUGH}")
    try:
        point = data.model.text_coordinates([question.text])
        data.model.check_modality(data.modality)
    except InputError as error:
        return Fact(f"The {data.noun}s cannot be searched by text: {error} Properties can still be computed.")
    scores = data.model.coordinates(data.embed(rows), data.modality) @ point[0]
    order = np.argsort(-scores, kind="stable")[:_RANKED]
    names = [data.labels[rows[at]] for at in order]
    table = pd.DataFrame({"row": [data.ids[rows[at]] for at in order], "rank": range(1, len(names) + 1)})
    table["score"] = scores[order]
    shown = [f"{name} ({score:.2f})" for name, score in zip(names[:SHOWN], table["score"], strict=False)]
    return Fact(
        f"Of {counted(rows.size, data.noun)}, {listed(shown)} {'lies' if len(shown) == 1 else 'lie'} nearest to these "
        "words in the model's space of texts (cosine similarity). Nearness is no proof: nothing was checked.",
        table,
    )


def _similar(question: SequenceQuestion, data: AskedSequences) -> Fact:
    """Rows nearest to the first row that is named."""
    if not question.rows:
        return Fact(f"Name one {data.noun} of these data that the others are to be like. {NOT_ENOUGH}")
    centre = question.rows[0]
    if not data.readable[centre]:
        return Fact(_unread(np.array([centre]), data))
    others = np.flatnonzero(data.asked & data.readable)
    others = others[others != centre]
    if not others.size:
        return Fact(f"There is no other {data.noun} to compare {data.labels[centre]} with.")
    pool = np.concatenate([[centre], others])
    views = [View(one.queries[:1], one.pool[1:], one.metric, one.weight) for one in data.views(pool)]
    near = nearest_rows(views, min(_RANKED, others.size))
    found = others[near.rows[0]]
    table = pd.DataFrame({"row": [data.ids[row] for row in found], "rank": range(1, found.size + 1)})
    table["similarity"] = near.similarity[0]
    bits = data.modality == "molecule"
    if bits:
        table["tanimoto"] = tanimoto(data, np.array([centre]), found)[0]
    shown = []
    for row, one in zip(found[:SHOWN], table.itertuples(), strict=False):
        also = f", Tanimoto {one.tanimoto:.2f}" if bits else ""
        shown.append(f"{data.labels[row]} ({one.similarity:.2f}{also})")
    by = "the model's encoder and Morgan fingerprints" if bits else "the model's encoder"
    said = f"Most like {data.labels[centre]} by {by}: {listed(shown)}, of {counted(others.size, data.noun)}."
    return Fact(" ".join([said, *cut_said(np.concatenate([[centre], found[:SHOWN]]), data)]), table)


# ---------------------------------------------------------------- what is known of a row


def _known(rows: Rows, data: AskedSequences) -> Fact:
    """Text of the nearest row of the reference, for each row."""
    reference = data.reference
    views = data.views(rows, reference)
    near = nearest_rows(views, 1, among=np.array([bool(text) for text in data.texts]))
    names, sources = row_labels(reference, data.noun), reference.obs_names.astype(str)  # type: ignore[union-attr]
    held, said = [], []
    for row, at, score in zip(rows, near.rows[:, 0], near.similarity[:, 0], strict=True):
        text = bounded(data.texts[at], _MOST_TEXT)
        held.append((data.ids[row], sources[at], float(score), data.texts[at]))
        said.append(
            f"{data.labels[row]} is most like {names[at]} (similarity {score:.2f}) of the reference: {_ended(text)}"
        )
    them = "it" if len(rows) == 1 else "them"
    text = " ".join([*said, f"Whether what is said of another {data.noun} holds of {them} was not checked."])
    return Fact(text, pd.DataFrame(held, columns=["row", "source", "similarity", "text"]))


def _plain(rows: Rows, data: AskedSequences) -> Fact:
    """Say what can be computed of rows that the model cannot speak of, and how more could be said."""
    names, remarks = [data.labels[row] for row in rows], list[str]()
    if data.modality == "protein":
        table = pd.DataFrame(
            {
                "row": [data.ids[row] for row in rows],
                "length": data.values("length", rows),
                "mass (kDa)": data.values("mass", rows),
            }
        )
        said = [
            f"{name} has {n:.0f} residues and a mass of {m:.1f} kDa."
            for name, n, m in zip(names, table["length"], table["mass (kDa)"], strict=True)
        ]
    else:
        table = pd.DataFrame({"row": [data.ids[row] for row in rows], "formula": data.texts_of("formula", rows)})
        table["weight (g/mol)"] = data.values("weight", rows)
        remarks = cut_said(rows, data)
        said = [
            f"{name} is {what}, {m:.2f} g/mol."
            for name, what, m in zip(names, table["formula"], table["weight (g/mol)"], strict=True)
        ]
    how = (
        f"What it does cannot be said from the {data.written} alone by this model. Pass reference=, an AnnData of "
        f"{data.noun}s with texts in obs[{bounded(data.text_key, MAX_NAME_CHARS)!r}] (or another column, text_key=): "
        f"the text of the nearest one is then shown."
    )
    return Fact(" ".join([*said, *remarks, re.sub(r"\bit does\b", "they do", how) if len(rows) > 1 else how]), table)

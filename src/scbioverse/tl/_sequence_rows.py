"""The rows that a question about molecules or proteins is about: which, how called, and a table of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..llm.questions import MAX_NAME_CHARS, bounded
from ._question_facts import listed
from ._sequence_conditions import alternatives

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._asked_sequences import AskedSequences, Rows
    from ._sequence_questions import SequenceQuestion
    from ._sequence_words import Property

SHOWN = 5
LISTED = 10
MOST_EVIDENCE = 1000
MOST_TEXT = 400
_NAMED = 3  # molecules that a remark names one by one


def chosen(question: SequenceQuestion, data: AskedSequences) -> NDArray[np.bool_]:
    """Rows that a question is about, bool (n_obs,): those it names, those of its groups, or all asked about."""
    mask = data.asked.copy()
    if question.rows:
        return mask & np.isin(np.arange(mask.size), question.rows)
    for column in dict.fromkeys(one.column for one in question.groups):
        # One of the groups of a column, and so for every column.
        mask &= np.any([one.mask for one in question.groups if one.column == column], axis=0)
    return mask


def chosen_rows(question: SequenceQuestion, data: AskedSequences) -> Rows:
    """Positions of these rows, in the order in which the question names them."""
    if question.rows:
        return np.array([row for row in question.rows if data.asked[row]], dtype=np.int64)
    return np.flatnonzero(chosen(question, data)).astype(np.int64)


def whom(n: int, question: SequenceQuestion, data: AskedSequences) -> str:
    """Call so many of the rows that a question is about by a name: "31 molecules", "4 selected proteins in kinase"."""
    said = counted(n, data.noun if data.whole else f"selected {data.noun}")
    names = listed([bounded(one.name, MAX_NAME_CHARS) for one in question.groups])
    return f"{said} in {names}" if names else said


def counted(n: int, noun: str, several: str = "") -> str:
    """Write a number with its noun."""
    return f"{n} {noun}" if n == 1 else f"{n} {several or noun + 's'}"


def fulfilling(question: SequenceQuestion, data: AskedSequences, rows: Rows) -> NDArray[np.bool_]:
    """Which of some rows fulfil the question's conditions, bool."""
    parts = alternatives(question.conditions)
    return np.all(
        [np.any([one.holds(data.values(one.of.name, rows)) for one in part], axis=0) for part in parts], axis=0
    )


def names_of(rows: Rows, data: AskedSequences) -> str:
    names = [data.labels[row] for row in rows[:LISTED]]
    return f"{', '.join(names)} and {rows.size - LISTED} more" if rows.size > LISTED else listed(names)


def table_of(rows: Rows, properties: list[Property], data: AskedSequences) -> pd.DataFrame:
    columns: dict[str, Any] = {"row": [data.ids[row] for row in rows]}
    for one in properties:
        columns[_heading(one)] = data.texts_of(one.name, rows) if one.text else data.values(one.name, rows)
    if any(one.computed for one in properties) and any(data.left_out[row] for row in rows):
        columns["left_out"] = [bounded(data.left_out[row], MOST_TEXT) for row in rows]
    return pd.DataFrame(columns)


def cut_said(rows: Rows, data: AskedSequences) -> list[str]:
    """Say of which molecules a part was left out: numbers are of the rest."""
    cut = [int(row) for row in rows if data.left_out[row] and data.readable[row]]
    out = []
    for mixed, what, lost in (
        (False, "Counter-ions or solvents were left out of", "left out"),
        (True, "One part alone was read of", "not read"),
    ):
        some = [row for row in cut if data.mixtures[row] == mixed]
        named = [f"{data.labels[row]} ({lost}: {bounded(data.left_out[row], MAX_NAME_CHARS)})" for row in some]
        if some:
            kind = ("mixture", "mixtures") if mixed else ("salt or solvate", "salts or solvates")
            whom_said = listed(named) if len(some) <= _NAMED else counted(len(some), *kind)
            out.append(f"{what} {whom_said}: numbers are of what is left.")
    return out


def _heading(one: Property) -> str:
    return f"{one.name} ({one.unit})" if one.unit and one.unit not in ("%", "residues") else one.name

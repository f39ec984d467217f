"""Properties of molecules and proteins: of named rows, over many, the extremes, and side by side."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..llm.questions import MAX_NAME_CHARS, bounded
from ._asked_sequences import quietly
from ._neighbours import fingerprints, similarities
from ._question_facts import NOT_ENOUGH, Fact, listed
from ._sequence_questions import AVERAGED
from ._sequence_rows import MOST_EVIDENCE, SHOWN, chosen, chosen_rows, fulfilling, table_of, whom
from ._sequence_words import FORMULA, MOLECULE, PROTEIN, Property

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._asked_sequences import AskedSequences, Rows
    from ._sequence_questions import SequenceQuestion

_COMPARED = {
    "molecule": (FORMULA, *(one for one in MOLECULE if one.name not in ("formula", "aromatic_rings", "stereocentres"))),
    "protein": PROTEIN,
}


def property_fact(question: SequenceQuestion, data: AskedSequences) -> Fact:
    rows = chosen_rows(question, data)
    if question.rows and question.conditions:
        return _verdicts(question, data, rows)
    if question.conditions:
        rows = rows[data.readable[rows]]
        rows = rows[fulfilling(question, data, rows)]
        if not rows.size:
            return Fact(f"No {data.noun} that was asked about fulfils the question's conditions. {NOT_ENOUGH}")
    used = list(question.properties)
    if not rows.size:
        return Fact(f"What is named is not among the selected {data.noun}s. {NOT_ENOUGH}")
    table = table_of(rows[:MOST_EVIDENCE], used, data)
    averaged = rows.size > 1 and AVERAGED.search(question.text)
    if question.rows or (rows.size <= SHOWN and not averaged):
        return Fact(" ".join(_properties_of(int(row), used, data) for row in rows[:SHOWN]) + _more(rows.size), table)
    said = [_spread(one, rows, question, data) for one in used]
    return Fact(" ".join(said), table)


def _verdicts(question: SequenceQuestion, data: AskedSequences, rows: Rows) -> Fact:
    """Say of each named row whether it is as asked, and the values that decide it."""
    if not rows.size:
        return Fact(f"What is named is not among the selected {data.noun}s. {NOT_ENOUGH}")
    used = list(dict.fromkeys([*question.properties, *(one.of for one in question.conditions)]))
    parts = []
    for row in rows[:SHOWN].tolist():
        said = _properties_of(row, used, data)
        if data.readable[row]:
            holds = bool(fulfilling(question, data, np.array([row]))[0])
            said = f"{'Yes' if holds else 'No'}: {said}"
        parts.append(said)
    return Fact(" ".join(parts) + _more(rows.size), table_of(rows[:MOST_EVIDENCE], used, data))


def _more(n: int) -> str:
    return f" And {n - SHOWN} more in the evidence." if n > SHOWN else ""


def _properties_of(row: int, used: list[Property], data: AskedSequences) -> str:
    name, at = data.labels[row], np.array([row])
    computed = [one for one in used if not one.name.startswith(("obs:", "text:"))]
    if computed and not data.readable[row]:
        return f"{name} has no {data.written} that can be read: nothing can be computed of it."
    parts = []
    for one in used:
        if one.text:
            value = data.texts_of(one.name, at)[0]
            if not value:
                parts.append(f"nothing in {one.said}")
            else:
                parts.append(f"the formula {value}" if one.name == "formula" else f"{value} in {one.said}")
            continue
        number = float(data.values(one.name, at)[0])
        if np.isnan(number):
            parts.append(f"no value in {one.said}")
        elif one.counted:
            parts.append(f"{number:.0f} {one.number(number)}" if number else f"no {one.said}")
        else:
            parts.append(
                f"{one.shown(number)} in {one.said}"
                if one.name.startswith("obs:")
                else f"a {one.said} of {one.shown(number)}"
            )
    return f"{name} has {listed(parts)}."


def _spread(one: Property, rows: Rows, question: SequenceQuestion, data: AskedSequences) -> str:
    if one.text:
        column = None if one.name == "formula" else data.column_values(one.name.removeprefix("text:"))
        if column is not None and column.several:
            inside = np.isin(np.arange(data.adata.n_obs), rows)
            counts = {name: int((column.mask(name) & inside).sum()) for name in column.names}
            named = {bounded(name, MAX_NAME_CHARS): n for name, n in counts.items() if n}
            held = pd.Series(named, dtype="int64").sort_values(ascending=False, kind="stable")
        else:
            held = pd.Series([text for text in data.texts_of(one.name, rows) if text], dtype=object).value_counts()
        shown = [f"{name} ({n})" for name, n in held.head(SHOWN).items()]
        said = f"{one.said} of {whom(rows.size, question, data)} has {len(held)} different values, most often "
        return " ".join(filter(None, [f"{said}{listed(shown)}.", "" if column is None else column.remark()]))
    values = data.values(one.name, rows)
    known = rows[np.isfinite(values)]
    if not known.size:
        return f"{one.said} of {whom(rows.size, question, data)} is not known. {NOT_ENOUGH}"
    values = values[np.isfinite(values)]
    low, high = int(values.argmin()), int(values.argmax())
    ends = (
        f"from {one.shown(float(values[low]))} ({data.labels[known[low]]}) to {one.shown(float(values[high]))} "
        f"({data.labels[known[high]]})"
    )
    who = whom(known.size, question, data)
    which = "median" if "median" in question.text.lower() else "mean"
    middle = float(np.median(values) if which == "median" else values.mean())
    said = f"{middle:.1f} {one.unit}".strip() if one.counted or one.unit == "residues" else one.shown(middle)
    return f"The {which} {'number of ' if one.counted else ''}{one.said} of {who} is {said}, {ends}."


def extreme_fact(question: SequenceQuestion, data: AskedSequences) -> Fact:
    one, rows = question.properties[0], np.flatnonzero(chosen(question, data))
    rows = rows[fulfilling(question, data, rows)] if question.conditions else rows
    values = data.values(one.name, rows)
    rows, values = rows[np.isfinite(values)], values[np.isfinite(values)]
    if not rows.size:
        return Fact(f"No {data.noun} that was asked about has a value of {one.said}. {NOT_ENOUGH}")
    order = np.argsort(values if question.low else -values, kind="stable")
    best = order[: question.best]
    table = table_of(rows[best], list(question.properties), data)
    table.insert(1, "rank", range(1, len(table) + 1))
    shown = [f"{data.labels[rows[at]]} with {one.shown(float(values[at]))}" for at in best]
    which = "smallest" if question.low else "greatest"
    tied = int((values == values[order[0]]).sum())
    also = f" {tied} {data.noun}s share this value." if tied > 1 else ""
    rest = f"; next {listed(shown[1:])}" if len(shown) > 1 else ""
    # "What is the logP of the heaviest?"
    also += f" {_properties_of(int(rows[best[0]]), more, data)}" if (more := list(question.properties[1:])) else ""
    return Fact(f"The {which} {one.said} of {whom(rows.size, question, data)}: {shown[0]}{rest}.{also}", table)


def compare_fact(question: SequenceQuestion, data: AskedSequences) -> Fact:
    order = chosen_rows(question, data).tolist()
    known = [row for row in order if data.readable[row]]
    if len(known) < 2:
        bad = [data.labels[row] for row in order if not data.readable[row]]
        why = f"{listed(bad)} cannot be read" if bad else f"not both are among the selected {data.noun}s"
        return Fact(f"There is nothing to compare: {why}. {NOT_ENOUGH}")
    at = np.array(known[:SHOWN])
    used = list(question.properties) or list(_COMPARED[data.modality])
    table = table_of(at, used, data).set_index("row").T.rename_axis("property").reset_index()
    table.columns.name = None
    if len(at) == 2 and len(used) == 1 and not used[0].text:
        return Fact(_higher(used[0], at, data, low=_ASKS_LESS.search(question.text) is not None), table)
    parts = []
    for one in used:
        said = data.texts_of(one.name, at) if one.text else [one.shown(float(v)) for v in data.values(one.name, at)]
        parts.append(f"{one.said} {' / '.join(said)}")
    text = f"{' / '.join(data.labels[row] for row in at)}: {'; '.join(parts)}."
    if data.modality == "molecule" and not question.properties and len(at) == 2:
        alike = tanimoto(data, at[:1], at[1:2])[0, 0]
        table = pd.concat(
            [table, pd.DataFrame([["tanimoto", *[float(alike)] * 2]], columns=table.columns)], ignore_index=True
        )
        text += f" Their Morgan fingerprints have a Tanimoto similarity of {alike:.2f}."
    return Fact(text, table)


_ASKS_LESS = re.compile(r"\b(?:less|fewer|lower|smaller|lighter|shorter)\b", re.IGNORECASE)


def _higher(one: Property, at: Rows, data: AskedSequences, *, low: bool) -> str:
    """Name the row that has more, or less where less is asked for."""
    values = data.values(one.name, at)
    first, second = (0, 1) if (values[0] <= values[1] if low else values[0] >= values[1]) else (1, 0)
    names, said = [data.labels[row] for row in at], [one.shown(float(value)) for value in values]
    if values[0] == values[1]:
        return f"{names[0]} and {names[1]} have the same {one.said}: {said[0]}."
    more = ("fewer" if low else "more") if one.counted else f"the {'lower' if low else 'higher'}"
    return f"{names[first]} has {more} {one.said}: {said[first]}, {names[second]} {said[second]}."


def tanimoto(data: AskedSequences, queries: Rows, pool: Rows) -> NDArray[np.float32]:
    """Tanimoto similarities of Morgan fingerprints (radius 2, 2048 bits, with chirality), float32 (queries, pool)."""
    rows, back = np.unique(np.concatenate([queries, pool]), return_inverse=True)
    with quietly():
        bits = fingerprints(data.part(rows), data.key)
    return similarities(bits[back[: queries.size]], bits[back[queries.size :]], "tanimoto")

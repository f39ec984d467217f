"""Questions about molecules and proteins whose answer is a number, a table or a list: computed, never written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..llm.questions import MAX_NAME_CHARS, bounded
from ._question_facts import NOT_ENOUGH, Fact, groups_fact, listed, percent
from ._sequence_conditions import alternatives
from ._sequence_properties import compare_fact, extreme_fact, property_fact
from ._sequence_rows import (
    MOST_EVIDENCE,
    SHOWN,
    chosen,
    chosen_rows,
    counted,
    cut_said,
    fulfilling,
    names_of,
    table_of,
    whom,
)

if TYPE_CHECKING:
    from ._asked_sequences import AskedSequences, Rows
    from ._sequence_questions import SequenceQuestion


def compute_sequences(question: SequenceQuestion, data: AskedSequences) -> Fact:
    """Answer a question of one of the computable kinds."""
    if question.odd:
        return _refused(question)
    if question.lost:
        return missing(question, data)
    fact = {
        "count": _count,
        "fraction": _count,
        "groups": _groups,
        "property": property_fact,
        "extreme": extreme_fact,
        "list": _list,
        "compare": compare_fact,
    }[question.kind](question, data)
    remarks = [one.remark for one in question.groups]
    return fact.with_remarks([*remarks, *not_there(question, data), *_read_of(question, data)])


def _refused(question: SequenceQuestion) -> Fact:
    """Say what was not understood."""
    found = list(dict.fromkeys([*question.odd, *question.about]))[:SHOWN]
    said, were = listed([repr(bounded(one, MAX_NAME_CHARS)) for one in found]), "was" if len(found) == 1 else "were"
    return Fact(
        f"{said} of the question {were} not understood, so that nothing was computed: it might have been wrong. Ask "
        'one thing at a time, as in "How many contain chlorine and no fluorine?".'
    )


def not_there(question: SequenceQuestion, data: AskedSequences) -> list[str]:
    """Say which of several names are not there."""
    names = listed([repr(bounded(one, MAX_NAME_CHARS)) for one in question.absent])
    return [f"No {data.noun} of these data is called {names}."] if names else []


def _groups(question: SequenceQuestion, data: AskedSequences) -> Fact:
    named = [one.name.partition(":")[2] for one in question.properties if one.text]
    if named and named[0] not in data.columns:
        return property_fact(question, data)
    return groups_fact(next(iter(named or data.columns), None), data)


def missing(question: SequenceQuestion, data: AskedSequences) -> Fact:
    """Say that a name, a property or a group is not there."""
    said = bounded(question.lost, MAX_NAME_CHARS)
    column = question.lost.partition(" ")[0]
    if column in data.columns:
        found = [bounded(name, MAX_NAME_CHARS) for name, _ in data.groups_of(column)]
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return Fact(f"The question names none of the groups of obs[{column!r}]: {', '.join(found[:SHOWN])}{more}.")
    looked = f"obs_names{' and obs[' + repr('name') + ']' if 'name' in data.adata.obs else ''}"
    columns = f"group of {listed([f'obs[{one!r}]' for one in data.columns[:3]])}" if data.columns else ""
    if question.kind in ("count", "fraction", "list", "extreme"):
        words = not any(letter.isdigit() for letter in said)
        hint = f' "Which {data.noun}s are {said}?" searches by nearness to these words.' if words else ""
        nor = f" and no {columns}" if columns else ""
        return Fact(f"{said!r} is no property that can be computed{nor}: nothing was counted by it.{hint}")
    if question.rows and question.kind == "open":
        return Fact(f"{said!r} is no property that can be computed and no column of obs: nothing is known of it here.")
    also = f" No {columns} is, either." if columns else ""
    return Fact(f"No {data.noun} of these data is called {said!r} (looked at {looked}).{also}")


def _read_of(question: SequenceQuestion, data: AskedSequences) -> list[str]:
    """Say which rows could not be read, and of which a part only was."""
    if question.kind == "groups" or (question.kind in ("count", "fraction", "list") and not question.conditions):
        return []
    mask = chosen(question, data)
    bad = np.flatnonzero(mask & ~data.readable)
    out = []
    if bad.size and not question.rows:
        verb = "was" if bad.size == 1 else "were"
        out.append(f"{counted(bad.size, data.noun)} without a readable {data.written} {verb} left out.")
    used = [*question.properties, *(one.of for one in question.conditions)]
    # Side by side without a property: all are shown.
    if any(one.computed for one in used) or (question.kind == "compare" and not used):
        out += cut_said(np.flatnonzero(mask), data)
    return out


# ---------------------------------------------------------------- counts and lists


def _said_conditions(question: SequenceQuestion) -> str:
    parts = [[one.said for one in part] for part in alternatives(question.conditions)]
    said = [f"{', '.join(some[:-1])} or {some[-1]}" if len(some) > 1 else some[0] for some in parts]
    return " and ".join(said) if any(" or " in one for one in said) else listed(said)


def _count(question: SequenceQuestion, data: AskedSequences) -> Fact:
    mask = chosen(question, data)
    n = int(mask.sum())
    if not question.conditions:
        return (
            _count_groups(question, data)
            if question.groups
            else _count_all(n, int((mask & ~data.readable).sum()), data)
        )
    rows = np.flatnonzero(mask & data.readable)
    if not rows.size:
        return Fact(f"None of {whom(n, question, data)} has a {data.written} that can be read. {NOT_ENOUGH}")
    held = int(fulfilling(question, data, rows).sum())
    said = _said_conditions(question)
    table = pd.DataFrame(
        {
            "condition": [said],
            "n": [held],
            "n_in": [rows.size],
            "fraction": [held / rows.size],
            "unreadable": [n - rows.size],
        }
    )
    verb = "has" if held == 1 else "have"
    share = f" ({percent(held / rows.size)})"
    text = f"{held} of {whom(rows.size, question, data)}{share} {verb} {said}."
    return Fact(f"{text}{_share_of_first(question, data, rows, held)}", table)


def _share_of_first(question: SequenceQuestion, data: AskedSequences, rows: Rows, held: int) -> str:
    """Add the share among those that fulfil the first condition: "what share of those with nitrogen has oxygen?"."""
    first = question.conditions[0]
    if question.kind != "fraction" or len(question.conditions) < 2 or first.group >= 0:
        return ""
    n = int(first.holds(data.values(first.of.name, rows)).sum())
    return f" Of the {n} with {first.said} that is {percent(held / n)}." if n else ""


def _count_all(n: int, bad: int, data: AskedSequences) -> Fact:
    table = pd.DataFrame({"group": ["all" if data.whole else "selection"], "n": [n], "unreadable": [bad]})
    where = ("There is" if n == 1 else "There are") if data.whole else "The selection holds"
    some = f"; {bad} of them {'has' if bad == 1 else 'have'} no {data.written} that can be read" if bad else ""
    return Fact(f"{where} {counted(n, data.noun)}{some}.", table)


def _count_groups(question: SequenceQuestion, data: AskedSequences) -> Fact:
    total = int(data.asked.sum())
    if len({one.column for one in question.groups}) > 1:
        n = int(chosen(question, data).sum())
        both = listed([f"{bounded(one.name, MAX_NAME_CHARS)!r} in obs[{one.column!r}]" for one in question.groups])
        table = pd.DataFrame({"group": [both], "n": [n], "fraction": [n / total]})
        who = f"{n} of {counted(total, data.noun)} ({percent(n / total)})"
        return Fact(f"{who} {'has' if n == 1 else 'have'} {both}.", table)
    rows = [(one.name, int((one.mask & data.asked).sum())) for one in question.groups]
    table = pd.DataFrame(rows, columns=["group", "n"])
    table["fraction"] = table["n"] / total
    said = [
        f"{n} of {counted(total, data.noun)} ({percent(n / total)}) {'has' if n == 1 else 'have'} "
        f"{bounded(name, MAX_NAME_CHARS)!r} in obs[{one.column!r}]"
        for one, (name, n) in zip(question.groups, rows, strict=True)
    ]
    return Fact(f"{listed(said)}{_in_all_of(question, data)}.", table)


def _in_all_of(question: SequenceQuestion, data: AskedSequences) -> str:
    """Where a row may be in several groups and several are named: how many are in each of them."""
    if len(question.groups) < 2 or not data.column_values(question.groups[0].column).several:
        return ""
    n = int(np.all([data.asked, *(one.mask for one in question.groups)], axis=0).sum())
    return f"; {n} {'has' if n == 1 else 'have'} {'both' if len(question.groups) == 2 else 'all of these'}"


def _list(question: SequenceQuestion, data: AskedSequences) -> Fact:
    if not question.conditions:
        return _list_groups(question, data)
    rows = np.flatnonzero(chosen(question, data) & data.readable)
    held = rows[fulfilling(question, data, rows)] if rows.size else rows
    used = list(dict.fromkeys(one.of for one in question.conditions))
    table = table_of(held[:MOST_EVIDENCE], used, data)
    said, who = _said_conditions(question), whom(rows.size, question, data)
    if not held.size:
        return Fact(f"None of {who} has {said}.", table)
    verb = "has" if held.size == 1 else "have"
    return Fact(f"{held.size} of {who} {verb} {said}: {names_of(held, data)}.", table)


def _list_groups(question: SequenceQuestion, data: AskedSequences) -> Fact:
    rows = chosen_rows(question, data)
    fact = _count_groups(question, data)
    return Fact(f"{fact.text.rstrip('.')}: {names_of(rows, data) or 'none'}.", table_of(rows[:MOST_EVIDENCE], [], data))

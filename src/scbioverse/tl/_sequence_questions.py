"""What a question about molecules or proteins asks for, and which rows it names. Read by rules, not by a model."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ._questions import find_groups, group_spans
from ._sequence_conditions import Condition
from ._sequence_names import find_rows, unread_words
from ._sequence_reader import Reader

if TYPE_CHECKING:
    from ._asked_sequences import AskedSequences
    from ._questions import Named
    from ._sequence_words import Property

Kind = Literal[
    "count", "fraction", "groups", "property", "extreme", "list", "compare", "search", "similar", "open",
]  # fmt: skip
COMPUTED: frozenset[Kind] = frozenset(["count", "fraction", "groups", "property", "extreme", "list", "compare"])
MOST_SHOWN = 20
_FOLLOW_UP = re.compile(r"^\W*(?:and|what about|how about|also|now)\b", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(?:it|its|they|their|them|these|those)\b", re.IGNORECASE)
AVERAGED = re.compile(r"\b(?:average|mean|median)\b", re.IGNORECASE)
_BEST = re.compile(
    r"\b(?:top|first|best)\s+(\d+|three|five|ten)\b"
    r"|\b(\d+|two|three|four|five|ten)\s+(?:molecules|compounds|drugs|proteins)\b(?=.*\b(?:\w+est|most|least)\b)|\b(?:the\s+)?(\d+|two|three|four|five|ten)\s+(?=\w*est\b|most\b)"
)
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}


@dataclass(frozen=True, eq=False)
class SequenceQuestion:
    """A question as it was read.

    Attributes
    ----------
    text
        What was asked.
    kind
        What it asks for.
    rows
        Positions of the rows it names, in order.
    groups
        Groups it names, in order.
    conditions
        What rows have to be like.
    properties
        Properties it asks for.
    best
        How many rows, where the most or least extreme are asked for.
    low
        Whether the least are.
    lost
        Words that stand where a name or a property would and match none, or `""`.
    absent
        Words that stand beside a name and match none.
    about
        Words that were not understood.
    odd
        What carries meaning and was not understood, such as a number: it forbids an answer.
    bare
        The question with "this molecule" in the place of names: names tell a language model what it should read.
    """

    text: str
    kind: Kind
    rows: tuple[int, ...] = ()
    groups: tuple[Named, ...] = ()
    conditions: tuple[Condition, ...] = ()
    properties: tuple[Property, ...] = ()
    best: int = 5
    low: bool = False
    lost: str = ""
    absent: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    bare: str = ""


def read_sequence_question(
    text: str, data: AskedSequences, *, before: SequenceQuestion | None = None
) -> SequenceQuestion:
    """Read a question.

    Parameters
    ----------
    text
        One bounded line of readable characters.
    data
        The rows.
    before
        The question before, from which a follow-up ("and ibuprofen?") takes what it leaves out.
    """
    held = {column: data.column_values(column) for column in data.columns}
    spans = [(start, end) for start, end, _ in group_spans(text, held, np.zeros(len(text), dtype=bool))]
    rows, rest, lost = find_rows(text, data, [span for span in spans if " " in text[slice(*span)]])
    beside = [one.lower() for match in _BESIDE.finditer(rest) for one in match.groups() if one]
    marked, rest = rest, rest if len(rows) == 1 else rest.replace("\0", " ")
    groups, rest, _ = (
        find_groups(rest, data.adata, data.columns, data.column_values) if data.columns else ([], rest, "")
    )
    value_of_row = (lambda one: float(data.values(one.name, np.array(rows))[0])) if len(rows) == 1 else None
    reader = Reader(rest, data.vocabulary, value_of_row)
    if before is not None and before.conditions and _refers(text):
        reader.last = before.conditions[-1].of
    conditions, properties = reader.read()
    # "How many drugs target DRD2?": the column's name is the verb, and one of its groups is named.
    grouped = {f"text:{one.column}" for one in groups}
    properties = [one for one in properties if one.name not in grouped]
    rest = rest.replace("\0", " ")
    if reader.compares_row:
        rows, marked = [], marked.replace("\0", " ")  # "heavier than aspirin" is not about aspirin
    if reader.ranked_by:
        properties.sort(key=lambda one: one is not reader.ranked_by[0])
    unread = unread_words(reader.left)
    absent = [word for word in unread if word.lower() in beside]
    bare = _without_names(marked, absent, data.noun)
    kind = _kind(rest.lower(), len(rows) + len(absent), conditions, properties, unread)
    if kind == "open" and groups and not rows and not unread and re.search(_WHICH, rest.lower()):
        kind = "list"
    if kind == "open" and groups and rows and not unread and re.match(r"\W*(?:is|are|was|were)\b", text.lower()):
        # "Is aspirin launched?": its value in that column.
        kind, columns = "property", {f"text:{one.column}" for one in groups}
        properties += [one for one in data.column_properties if one.name in columns]
    if kind in ("property", "compare") and conditions and rows:
        properties += [one.of for one in conditions if one.of not in properties]
    if kind == "compare" and len(rows) < 2:
        lost = lost or " ".join(absent)
    if kind == "open" and rows:
        lost = lost or _unknown_property(marked, unread)
    # "The target of the lightest" asks for a column's value; "the lightest of target heart" for one of its groups.
    narrowing = [one for one in properties if not re.search(rf"\b{one.words}\s+of\b", rest, re.IGNORECASE)]
    lost = lost or _lost(kind, unread, narrowing, bool(rows or groups))
    if kind == "search" and data.modality == "molecule" and re.search(_CONTAIN, rest.lower()):
        kind, lost = "list", lost or " ".join(unread[:6])
    odd = [] if len(rows) > 1 or beside else _odd(reader, text)
    odd += _contrary(kind, rest.lower(), bare_count=bool(rows) and not conditions)
    if odd and (kind == "search" or (kind == "open" and groups and not rows)):
        kind = "list"
    number = _BEST.search(text.lower())
    said = next((one for one in number.groups() if one), "5") if number else "5"
    question = SequenceQuestion(
        text,
        kind,
        tuple(rows),
        tuple(groups),
        tuple(conditions),
        tuple(properties),
        min(MOST_SHOWN, max(1, int(said) if said.isdigit() else _NUMBERS[said])),
        re.search(_LOW, rest.lower()) is not None or any(_names_low(one, rest) for one in properties),
        lost,
        tuple(absent),
        tuple(unread),
        tuple(dict.fromkeys(odd)),
        bare,
    )
    return question if before is None else _followed(question, before)


# Words that say how a number was come by, or what of several numbers is wanted: none of these is computed.
_OTHERWISE = re.compile(
    r"\b(?:exact|monoisotopic|isotopic|measured|experimental(?:ly)?|observed|boiling|melting|total|sum|combined)\b",
    re.I,
)


def _odd(reader: Reader, text: str) -> list[str]:
    """Return what carries meaning and was not understood: it forbids an answer."""
    odd = [*reader.unread, *(one[0] for one in _OTHERWISE.finditer(text))]
    if len(reader.ranked_by) > 1:
        odd.append(f"{reader.ranked_by[0].said} and {reader.ranked_by[1].said} at once")
    averaged = AVERAGED.search(text)
    return [*odd, averaged[0]] if averaged and reader.ranked_by else odd


def _contrary(kind: Kind, said: str, *, bare_count: bool) -> list[str]:
    """Return words that ask for something else than what this kind of question computes."""
    asks = {
        "most and least at once": kind == "extreme"
        and re.search(_HIGH, re.sub(r"\btop\b", "", said))
        and re.search(_LOW, said),
        "than": kind == "compare" and re.search(_HOW_MANY, said) and re.search(r"\bthan\b", said),
        "per": AVERAGED.search(said) and re.search(r"\b(?:per|by|each|every)\b", said),
        "how many": kind == "count" and bare_count,
    }
    return [words for words, found in asks.items() if found]


def _refers(text: str) -> bool:
    """Whether a question goes on from the one before."""
    return _FOLLOW_UP.match(text) is not None or _PRONOUN.search(text) is not None


def _followed(question: SequenceQuestion, before: SequenceQuestion) -> SequenceQuestion:
    """Take over from the question before what a follow-up leaves out."""
    if _PRONOUN.search(question.text) and not question.rows and not question.groups:
        return _referred(question, before)
    if not _FOLLOW_UP.match(question.text):
        return question
    new = bool(question.conditions or question.properties)
    if question.kind in ("open", "compare") and not new and (question.rows or question.groups or not question.lost):
        return replace(
            question,
            kind="property" if before.kind == "compare" and len(question.rows) < 2 else before.kind,
            rows=question.rows or before.rows,
            groups=question.groups or before.groups,
            conditions=before.conditions,
            properties=before.properties,
            best=before.best,
            low=before.low,
            bare=before.bare,
        )
    if not new or question.rows or question.groups:
        return question
    if before.kind in _CONDITIONAL and question.kind in ("property", "list", *_CONDITIONAL):
        # "How many contain chlorine?" "And fluorine?"
        had = [Condition(one, ">=", 1.0) for one in question.properties if one.counted]
        if question.conditions or had:
            made = (*question.conditions, *had)
            return replace(question, kind=before.kind, conditions=made, properties=(), groups=before.groups)
    if question.kind == "property":
        return replace(question, rows=before.rows, groups=before.groups)
    return question


def _referred(question: SequenceQuestion, before: SequenceQuestion) -> SequenceQuestion:
    """Read "how many of these" and "its weight": of the rows that the question before was about."""
    if not (before.rows or before.groups or before.conditions):
        return replace(question, lost=question.lost or "what these words refer to")
    conditions = question.conditions if before.rows else _joined(before.conditions, question.conditions)
    kind = question.kind
    if question.conditions and kind in ("open", "search", "list"):
        # "Is it heavier than caffeine?"
        kind = "property" if before.rows else "list"
    return replace(question, kind=kind, rows=before.rows, groups=before.groups, conditions=conditions)


def _joined(first: tuple[Condition, ...], second: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Both, with the groups of the second kept apart from those of the first."""
    apart = [replace(one, group=one.group + 10_000) if one.group >= 0 else one for one in second]
    return (*first, *(one for one in apart if one not in first))


def _without_names(marked: str, absent: list[str], noun: str) -> str:
    """Put "this molecule" in the place of one name or several."""
    for word in absent:
        marked = re.sub(rf"\b{re.escape(word)}\b", "\0", marked)
    once = re.sub(r"\0(?:[\s,]*(?:\band\b|\bor\b)?\s*\0)*", f"this {noun}", marked, flags=re.IGNORECASE)
    return " ".join(once.split())


# What phrases, or the text of another row, may say.
OPEN = frozenset(
    re.findall(
        r"\w+",
        "activity action application class effect family function indication mechanism mode nature pathway purpose "
        "role target type use",
    )
)
_CONDITIONAL = ("count", "fraction", "list")


_HOW_MANY = r"\bhow many\b|\bnumber of\b|\bcount (?:of|the)\b"
_CONTAIN = r"\b(?:contain|contains|containing|without|lack|lacks|lacking)\b"
_BESIDE = re.compile(
    r"\0\s*(?:,|,?\s*and|or|vs\.?|versus|than|to|with|from)\s+([^\W\d_][\w+'-]*)(?!\s+of\b)"
    r"|([^\W\d_][\w+'-]*)\s*(?:,|,?\s*and|or|vs\.?|versus|,)\s*(?=\0)"
)
_SHARE = r"\b(?:fraction|percent(?:age)?|share|proportion)\b"
_WHICH = (
    r"\b(?:which|find|list|show|search|select|any|give me|name (?:the|all)"
    r"|what (?:molecules|proteins|compounds|drugs))\b"
)
_ALIKE = (
    r"\b(?:most |more |closely )?(?:similar|alike)\b|\bmost like\b|\bnearest\b|\bclosest\b|\bresembl|\bneighbou?rs?\b"
    r"|\banalogu?e?s?\b|\brelatives?\b|\b(?:is|are|look|looks) (?:most )?like\b"
)
_HIGH = r"(?<!at )\b(?:highest|most|greatest|maximum|maximal|max|top|largest|biggest|heaviest|longest|greasiest)\b"
_LOW = r"(?<!at )\b(?:lowest|least|fewest|minimum|minimal|min|smallest|lightest|shortest)\b"
_COMPARE = (
    r"\bcompar|\bdiffer|\bversus\b|\bvs\b|\bbetween\b|\bthan\b|\bsimilar|\balike\b|\bcontrast|\btanimoto\b"
    r"|\bwhich (?:one )?(?:is|has)\b"
)
_GROUPS = r"\b(?:groups?|clusters?|categories|labels?)\b"


def _kind(said: str, n_rows: int, conditions: list[Condition], properties: list[Property], unread: list[str]) -> Kind:
    def has(pattern: str) -> bool:
        return re.search(pattern, said) is not None

    if n_rows > 1 and has(_COMPARE):
        return "compare"
    if has(_ALIKE) and not conditions:
        return "similar"
    if (counting := _counting(said, n_rows, conditions, properties)) is not None:
        return counting
    if conditions and not n_rows:
        return "list" if has(_WHICH) or not properties else "property"
    if (properties or conditions) and (n_rows or not has(_WHICH) or not unread):
        return "property"
    return "search" if not n_rows and has(_WHICH) and unread else "open"


def _counting(said: str, n_rows: int, conditions: list[Condition], properties: list[Property]) -> Kind | None:
    """Whether a number, a share, the groups or an extreme is asked for."""
    many = re.search(_HOW_MANY, said) is not None
    text = bool(properties) and properties[0].text
    if many and not conditions and not n_rows and (text or re.search(_GROUPS, said)):
        return "groups"
    if many and not properties:
        return "count"
    if re.search(_SHARE, said) and not any(one.unit == "%" for one in properties):
        return "fraction"
    if properties and not n_rows and not text and re.search(f"{_HIGH}|{_LOW}", said):
        return "extreme"
    return None


def _names_low(one: Property, text: str) -> bool:
    return bool(one.low) and re.search(rf"\b(?:{one.low})\b", text.lower()) is not None


def _unknown_property(marked: str, unread: list[str]) -> str:
    """Find the words of "What is the solubility of aspirin?" that would have been a property."""
    match = re.search(
        r"\b(?:what|which)(?:'s|\s+(?:is|are|was))\s+the\s+([^\0]+?)\s+(?:of|for|in)\s+\0", marked, re.IGNORECASE
    )
    said = [word for word in unread if match and word in match[1]]
    return "" if any(word.lower() in OPEN for word in said) else " ".join(said)


def _lost(kind: Kind, unread: list[str], properties: list[Property], named: bool) -> str:
    """Words that would have been a name, a property or a group."""
    if kind in ("count", "fraction", "extreme", "list"):
        # A column without one of its groups narrows nothing down.
        unread = [*(one.name.partition(":")[2] for one in properties if one.text and ":" in one.name), *unread]
    if kind == "search" or (named and kind in ("open", "similar", "property", "compare")):
        return ""
    return " ".join(unread[:6])

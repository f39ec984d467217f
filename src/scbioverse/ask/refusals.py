"""Why a question is not answered: the words that stand for nothing, and what can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..explain.sentence import listed
from .query import Refusal
from .words import pick

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .rows import Rows
    from .words import Link

_CAN_BE_ASKED = {
    "cell": "numbers, shares and lists of cells by group, cell type, gene or column; means and medians; the most and "
    "the least; comparisons; marker genes; what a cluster is and why",
    "molecule": "numbers, shares and lists by property, element, functional group or column; properties of one; the "
    "most and the least; comparisons",
    "protein": "numbers, shares and lists by length, mass, amino acid or column; properties of one; the most "
    "and the least",
}  # fmt: skip
TOLD = {
    "TWICE": "{said!r} may mean {note}, and these differ: say which.",
    "NOGENE": "{said!r} was not measured in these data.",
    "TOOFINE": "The labels are not so fine: of {note} some may be {said!r}, and the data do not say which.",
    "NOTYPES": "{said!r} is a cell type, but no column of these data says which type a cell is: run "
    "scbioverse.tl.annotate(adata) first.",
    "NOGROUP": "There is no group {said!r}: {note}.",
    "NONUMBER": "{said!r} is true of all or of none whatever the data hold, since the list has {note}.",
    "MIXED": "{said!r} can be read in two ways (and, or, not): ask for each by itself.",
}
_SHOWN, _COLUMNS_SHOWN = 8, 12


def refused(links: Sequence[Link], rows: Rows) -> Refusal | None:
    """Say which words stand in the way of an answer, None where none does."""
    for one in pick(links, *TOLD):
        return Refusal(text=TOLD[one.role].format(said=one.said, note=one.note), words=(one.said,))
    words = tuple(one.said for one in pick(links, "?"))
    if not words:
        return None
    verb = "was" if len(words) == 1 else "were"
    columns = listed(map(repr, [*rows.columns, *rows.measures][:_COLUMNS_SHOWN])) or "none"
    text = f"{_quoted(words)} {verb} not understood, so that nothing was computed. {_asked(rows)} Columns: {columns}."
    return Refusal(text=text, words=words)


def not_together(links: Sequence[Link], rows: Rows) -> Refusal:
    """Refuse words that are known each, and not as a whole."""
    content = [one.said for one in links if one.role not in ("BE", "DO", "IN", "OF", "WHAT", "HAVE")]
    text = f"It is not clear how {_quoted(content)} go together in this question, so that nothing was computed."
    return Refusal(text=f"{text} {_asked(rows)}", words=tuple(one.said for one in links))


def ambiguous(readings: Iterable[str]) -> Refusal:
    """Refuse a question that can be read in several ways, and name these."""
    said = list(map(repr, readings))
    ways = {2: "two"}.get(len(said), str(len(said)))
    return Refusal(text=f"This can be read in {ways} ways: {listed(said, 'or')}. Ask for one.")


def _quoted(words: Sequence[str]) -> str:
    return listed(repr(one[:60]) for one in words[:_SHOWN])


def _asked(rows: Rows) -> str:
    return f"These data can be asked about {_CAN_BE_ASKED[rows.noun]}."

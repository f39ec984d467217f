"""Why a question is not answered: the words that stand for nothing, and what can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._logging import listed
from .query import Refusal
from .words import lines_of, pick

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .rows import Rows
    from .words import Link

_SAID = {head: text for head, _, text in (line.partition(": ") for line in lines_of("refusals.txt"))}
# Words of these roles stand in the way of an answer, whatever else is said.
TOLD = frozenset(role for role in _SAID if role.isupper())
_SHOWN, _COLUMNS_SHOWN = 8, 12


def refused(links: Sequence[Link], rows: Rows) -> Refusal | None:
    """Say which words stand in the way of an answer, None where none does."""
    for one in pick(links, *TOLD):
        return Refusal(text=_SAID[one.role].format(said=one.said, note=one.note), words=(one.said,))
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
    unclear = {0: "what is asked", 1: f"what is asked by {_quoted(content)} alone"}.get(
        len(content), f"how {_quoted(content)} go together in this question"
    )
    text = f"It is not clear {unclear}, so that nothing was computed."
    return Refusal(text=f"{text} {_asked(rows)}", words=tuple(one.said for one in links))


def ambiguous(readings: Iterable[str]) -> Refusal:
    """Refuse a question that can be read in several ways, and name these."""
    said = list(map(repr, readings))
    ways = {2: "two"}.get(len(said), str(len(said)))
    return Refusal(text=f"This can be read in {ways} ways: {listed(said, 'or')}. Ask for one.")


def _quoted(words: Sequence[str]) -> str:
    return listed(repr(one[:60]) for one in words[:_SHOWN])


def _asked(rows: Rows) -> str:
    return f"These data can be asked about {_SAID[rows.noun]}."

"""Why a question is not answered: the words that stand for nothing, and what can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._logging import listed
from .query import UnreadError
from .words import lines_of, pick, without

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .rows import Rows
    from .words import Link

_SAID = {head: text for head, _, text in (line.partition(": ") for line in lines_of("refusals.txt"))}
# Words of these roles stand in the way of an answer, whatever else is said.
TOLD = frozenset(role for role in _SAID if role.isupper())
_SHOWN, _COLUMNS_SHOWN = 8, 12


def refuse_unknown(links: Sequence[Link], rows: Rows) -> None:
    """Refuse words that stand in the way of an answer, where there are some."""
    for one in pick(links, *TOLD):
        raise UnreadError(_SAID[one.role].format(said=one.said, note=one.note), one.said)
    words = [one.said for one in pick(links, "?")]
    if words:
        verb = "was" if len(words) == 1 else "were"
        text = f"{_quoted(words)} {verb} not understood, so that nothing was computed. {_asked(rows)}"
        columns = listed(map(repr, [*rows.columns, *rows.measures][:_COLUMNS_SHOWN]))
        raise UnreadError(f"{text} Columns: {columns or 'none'}.", *words)


def not_together(links: Sequence[Link], rows: Rows) -> UnreadError:
    """Refuse words that are known each, and not as a whole."""
    content = [one.said for one in without(links, "BE", "DO", "IN", "OF", "WHAT", "HAVE")]
    unclear = {0: "what is asked", 1: f"what is asked by {_quoted(content)} alone"}.get(
        len(content), f"how {_quoted(content)} go together in this question"
    )
    text = f"It is not clear {unclear}, so that nothing was computed."
    return UnreadError(f"{text} {_asked(rows)}", *(one.said for one in links))


def ambiguous(readings: Iterable[str]) -> UnreadError:
    """Refuse a question that can be read in several ways, and name these."""
    said = list(map(repr, readings))
    ways = {2: "two"}.get(len(said), str(len(said)))
    return UnreadError(f"This can be read in {ways} ways: {listed(said, 'or')}. Ask for one.")


def _quoted(words: Sequence[str]) -> str:
    return listed(repr(one[:60]) for one in words[:_SHOWN])


def _asked(rows: Rows) -> str:
    return f"These data can be asked about {_SAID[rows.noun]}."

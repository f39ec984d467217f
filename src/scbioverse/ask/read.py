"""From linked words to a query: neighbours are joined, then all forms of the grammar that fit must say the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from .bounds import said_of
from .fill import MisfitError, query_of
from .follow import BARE, followed, referred
from .grammar import forms, letters, pattern
from .join import chunked
from .query import Query, Refusal, Where
from .refusals import ambiguous, not_together, refused
from .say import Speech
from .words import Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names

_ALSO = ("and", "what about", "how about")
# Of these alone the name of some rows is made.
_NOUNS = frozenset(["ROWS", "WHERE", "TRAIT", "IN", "OF", "ANY"])
# Terms that may be asked for though no cell is of them.
_TERMS = frozenset(["TOOFINE", "NOTYPES", "NOGENE"])
_FRONTED = (
    "(((IN|OF|AMONG)+ {NP}|TRAIT) COMMA?|WHERE COMMA?(?=COUNT)|LACKING WHERE COMMA)"
    "(?=COUNT|WHAT|WHICH|SHARE|LIST|BE|DO|STAT|HOW|COMPARE)"
)


class Reader(Protocol):
    """Reads a question into a query: by a grammar here, by a language model where one is put in its place."""

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; `before` is the query that a follow-up goes on from."""
        ...


class Grammar:
    """Reads by :func:`scbioverse.ask.grammar.forms`: what one query alone accounts for is answered.

    Parameters
    ----------
    names
        Names of the data set.
    """

    def __init__(self, names: Names) -> None:
        self.names, self.rows = names, names.rows
        self._refused = False

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; see :class:`Reader`.

        What follows a question that was refused does not go on from the one before that.
        """
        made = self._read(links, None if self._refused else before)
        if self._refused and before is not None and isinstance(made, Query):
            # A question of its own is read alike, whatever came before it.
            alone = "THEM" not in {one.role for one in links} and made == self._read(links, before)
            made = made if alone else Refusal(text="The question before was not answered: ask in full.")
        self._refused = isinstance(made, Refusal)
        return made

    def _read(self, links: Sequence[Link], before: Query | None) -> Query | Refusal:
        if not links:
            return Refusal(text="Nothing was asked: no word of this asks for anything.")
        goes_on = links[0].role == "AND" or links[0].said.lower() in _ALSO
        held = chunked([one for i, one in enumerate(links) if i or one.role != "AND"], self.names)
        held = [self._them(one, before) for one in held]
        searched = self._search(held)
        bad = refused([one for one in held if not (one.role in _TERMS and _is_term(held))], self.rows)
        if searched is not None or bad is not None:
            return searched or bad  # type: ignore[return-value]
        # "How many of these ...?" and "How many contain chlorine?" are whole questions; "And how many ...?" may not be.
        roles = {one.role for one in links}
        whole = "COUNT" in roles and ("THEM" in roles or (not goes_on and len(roles) > 1 and not roles <= BARE))
        made = None
        if before is not None and (goes_on or len(held) < 4) and not whole:
            made = followed(held, before, self.names)
        # After another question "B cells in donor1?" may go on from it; "B cells in ctrl and stim?" may ask for two.
        listed = any(isinstance(one.value, Where) and one.value.op == "or" for one in held if one.role == "WHERE")
        alone = before is None and not self._refused and not listed
        if made is None and not alone and self.rows.noun == "cell" and {one.role for one in held} <= _NOUNS:
            return not_together(held, self.rows)
        made = made or self.whole(held)
        if before is not None and "THEM" in roles and isinstance(made, Query):
            made = before.compared(made)
        return made

    def whole(self, held: Sequence[Link]) -> Query | Refusal:
        """Read joined words as a question of its own."""
        by = [one for one in held if one.role == "BYCOL"]
        columns = [name for one in by for name in (one.value if isinstance(one.value, tuple) else (one.value,))]
        rest = [one for one in held if one.role != "BYCOL"]
        while rest and "COMMA" in (rest[0].role, rest[-1].role):
            rest = rest[1:] if rest[0].role == "COMMA" else rest[:-1]
        # "In most cells" may be a bound or a rank; "in the most cells" is a rank.
        bare = any(one.role == "IN" and most.role == "TOP" and most.said == "most" for one, most in pairwise(rest))
        found = [] if bare else self.readings(rest, columns) or self.readings(turned(rest), columns)
        if len(found) > 1:
            speech = Speech(self.rows)
            return ambiguous([speech.what(one) for one in found])
        return found[0] if found else not_together(held, self.rows)

    def readings(self, held: Sequence[Link], by: Sequence[str]) -> list[Query]:
        """Return the queries of all forms that fit, each once."""
        found: list[Query] = []
        roles = letters(one.role for one in held)
        for form in forms() if held else ():
            if (match := form.match(roles)) is not None:
                parts = {
                    name: held[match.start(name) : match.end(name)] for name, one in match.groupdict().items() if one
                }
                with suppress(MisfitError):
                    found.append(query_of(form.settled, parts, by, self.names))
        return [one for i, one in enumerate(found) if one not in found[:i]]

    def _search(self, held: Sequence[Link]) -> Query | Refusal | None:
        """Read "which molecules are antibiotics?", "is caffeine a stimulant?": words that nothing computes."""
        if self.rows.noun == "cell":
            return None
        roles = letters(one.role for one in held)
        found = pattern("BE <row:ROW>|((WHICH|WHAT) (OF? (ROWS|THEM))? BE|LIST (OF? (ROWS|THEM))?)").match(roles)
        rest = held[found.end() :] if found and not roles.startswith(letters(["WHAT", "BE"])) else []
        denied = bool(rest) and rest[0].role == "NOT"
        rest = rest[denied:]
        if found is None or {one.role for one in rest} != {"?"}:
            return None
        if denied:
            said = (
                f"{said_of(rest)!r} is nothing that can be computed: it is predicted, and who is none of them is not."
            )
            return Refusal(text=f"{said} Ask which are.", words=(said_of(rest),))
        named = (self.names.row(held[1]),) if found["row"] else ()
        return Query(want="search", words=said_of(rest), against=named)

    def _them(self, link: Link, before: Query | None) -> Link:
        if link.role != "THEM":
            return link
        if before is not None and before.against and all(one.field == "row" for one in before.against):
            names = [str(name) for one in before.against for name in one.values]
            return Link("ROW", link.said, tuple(self.rows.adata.obs_names.get_indexer(names).tolist()))
        rows = referred(before) if before is not None else None
        return Link("ROWS", link.said) if rows is None else Link("WHERE", link.said, rows)


def turned(links: Sequence[Link]) -> Sequence[Link]:
    """Put last what a question begins with: "In donor1, how many ...", "Without T cells, what ..."."""
    found = pattern(_FRONTED).match(letters(one.role for one in links))
    if found is None:
        return ()
    first = [one for one in links[: found.end()] if one.role != "COMMA"]
    if first[0].role == "LACKING":
        first = [replace(first[1], role="TRAIT", value=first[1].value.negated())]
    elif len(first) == 1 and first[0].role == "WHERE":
        first = [Link("IN", ""), *first]
    return [*links[found.end() :], *first]


def _is_term(held: Sequence[Link]) -> bool:
    """Whether it is asked what a type is, or whether a gene was measured."""
    roles = [one.role for one in held]
    asked = {"NOGENE"} <= set(roles) <= {"DO", "BE", "NOGENE", "SEEN"}
    return asked or (roles[:2] == ["WHAT", "BE"] and len(roles) == 3)

"""From linked words to a query: neighbours are joined, then all forms of the grammar that fit must say the same."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from itertools import chain, dropwhile, pairwise
from typing import TYPE_CHECKING, Protocol

from .accounting import hopeless
from .chunks import chunked
from .fill import condition, query_of
from .follow import BARE, followed, shortened
from .grammar import forms, letters, matches
from .pointing import check_pointed, counted, found_group, found_groups, genes_meant, rows_meant
from .query import FIELDS, Query, Refusal, RefusedError, UnreadError
from .refusals import TOLD, ambiguous, not_together, refuse_unknown
from .run import run
from .say import Speech
from .slots import KINDS
from .sorting import in_order
from .words import Link, closed_words, joined, pick, roles_of, said_of, without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .link import Names

# Of these alone the name of some rows is made.
_NOUNS = frozenset(["ROWS", "WHERE", "TRAIT", "IN", "OF", "ANY"])
# What says which rows are left.
_CONDITIONS = ("WHERE", "FIELD", "MEASURE", "PEOPLE", "TWICE", "RULE", "ROW", "NUM")
_FRONTED = (
    "(((IN|OF|AMONG)+ {NP}|TRAIT) COMMA?|WHERE COMMA?(?=COUNT)|LACKING WHERE COMMA)"
    "(?=COUNT|WHAT|WHICH|SHARE|LIST|BE|DO|STAT|HOW|COMPARE)"
)
# "Which molecules are antibiotics?", "is caffeine a stimulant?": words that nothing computes.
_SEARCH = (
    "(BE <row:ROW>|((WHICH|(?!WHAT BE)WHAT) (OF? (ROWS|THEM))? BE|LIST (OF? (ROWS|THEM))?)) <no:NOT>? "
    f"<words:{letters('?')}+>$"
)


class Reader(Protocol):
    """Reads a question into a query: by a grammar here, by a language model where one is put in its place."""

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; `before` is the query that a follow-up goes on from."""
        ...

    def settle(self, *, refused: bool) -> None:
        """Hear whether the question was answered in the end: what follows a refusal goes on from nothing."""
        ...


class Grammar:
    """Reads by :func:`scbioverse.ask.grammar.forms`: what one query alone accounts for is answered."""

    def __init__(self, names: Names) -> None:
        self.names, self.rows, self.speech = names, names.rows, Speech(names.rows)
        self._refused = False
        self._pointed: Sequence[Link] = ()

    def settle(self, *, refused: bool) -> None:
        """Hear whether the question was answered in the end; see :class:`Reader`."""
        self._refused = refused

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; see :class:`Reader`.

        What follows a question that was refused does not go on from the one before that.
        """
        known = None if self._refused else before
        try:
            self._pointed = self._meant(question, links, known, first=before is None and not self._refused)
            made = self._read(self._pointed, known)
            # A question of its own is read alike, whatever came before it.
            if self._refused and before is not None and made != self._read(self._pointed, before):
                raise UnreadError("The question before was not answered: ask in full.")
        except UnreadError as why:
            return why.refusal
        return made

    def _meant(self, question: str, links: Sequence[Link], before: Query | None, *, first: bool) -> Sequence[Link]:
        """Say what a word that points back means, or refuse it where there is nothing to point at."""
        here, left = pick(links, "HERE"), pick(links, "REMAIN")
        # Of patients that "are left in the trial" no data tell.
        if here and (left or (before is not None and before.conditions())):
            raise UnreadError(f"It is not clear whether {here[0].said!r} means all that the data hold.")
        if left and not pick(links, *_CONDITIONS, "THEM"):
            raise UnreadError(f"It is not clear after what {left[0].said!r} is meant: say which are counted.")
        links = without(links, "HERE")
        if self.rows.noun == "cell":
            links = genes_meant(links, before)
        if before is not None:
            return counted(question, links, before, self.names, self.speech)
        check_pointed(question, links, self.rows, first=first)
        return links

    def resolved(self, before: Query | None) -> Sequence[Link]:
        """Put rows that were asked about before in the place of the words of the last question that point at them."""
        return self._pointed if before is None or self._refused else self._named(self._pointed, before)

    def _read(self, links: Sequence[Link], before: Query | None) -> Query:
        if not links:
            raise UnreadError("Nothing was asked: no word of this asks for anything.")
        goes_on = links[0].role == "AND"
        held = chunked(links[goes_on:], self.names)
        number = before is not None and before.want in FIELDS
        if number and matches("WHAT BE THEM IN WHERE$", held) and held[2].key == "it":
            held = held[3:]  # "What is it in stim?": the number before
        held = self._named(held, before)
        searched = self._search(held)
        if searched is not None:
            return searched
        refuse_unknown(held, self.rows)
        roles = {*roles_of(links)}
        made = self._fragment(held, roles, before, goes_on=goes_on) if before is not None else None
        if made is not None:
            return made
        # After another question "B cells in donor1?" may go on from it; "B cells in ctrl and stim?" may ask for two.
        listed = any(one.value.op == "or" for one in pick(held, "WHERE"))
        alone = before is None and not self._refused and not listed
        if not alone and self.rows.noun == "cell" and _NOUNS.issuperset(roles_of(held)):
            raise not_together(held, self.rows)
        made = self.whole(held)
        return before.compared(made) if before is not None and "THEM" in roles else made

    def _fragment(self, held: Sequence[Link], roles: set[str], before: Query, *, goes_on: bool) -> Query | None:
        """Read what goes on from the query before; None where it is a question of its own."""
        pointing = "THEM" in roles
        made = None if pointing else shortened(held, before)
        if made is not None:
            return made
        # "Is it secreted?" after a number of it is a question of its own, and so is "What is cluster 7?".
        if pointing and held[0].role in ("BE", "DO"):
            return None
        if not goes_on and (len(held) > 3 or matches("WHAT BE WHERE$", held)):
            return None
        # "How many of these ...?" and "How many contain chlorine?" are whole questions; "And how many ...?" may not be.
        whole = pointing or not (goes_on or roles <= BARE)
        return None if whole and "COUNT" in roles else followed(held, before, self.names)

    def whole(self, held: Sequence[Link]) -> Query:
        """Read joined words as a question of its own."""
        by = [one.value if isinstance(one.value, tuple) else (one.value,) for one in pick(held, "BYCOL")]
        columns = list(chain.from_iterable(by))
        rest = trimmed(without(held, "BYCOL"))
        # "In most cells" may be a bound or a rank; "in the most cells" is a rank.
        bare = any((one.role, most.role, most.said) == ("IN", "TOP", "most") for one, most in pairwise(rest))
        rest = left_out(rest)
        ways = ((in_order(rest), "SORTED"), (rest, ""), (turned(rest), ""))
        found = next(filter(None, (self.readings(*way, columns) for way in ways)), [])
        if bare or not found:
            raise not_together(held, self.rows)
        if len(found) > 1 and not self._alike(found):
            raise ambiguous(map(self.speech.what, found))
        return found[0]

    def _alike(self, found: Sequence[Query]) -> bool:
        """Whether what is at the top is the same by all readings: "which cluster expresses LYZ most?"."""
        if {(one.show, one.by is None) for one in found} != {("rank", False)}:
            return False
        first, *others = [run(one, self.rows, self.speech).value for one in found]
        return all(one == first for one in others)

    def readings(self, held: Sequence[Link], kind: str, by: Sequence[str]) -> list[Query]:
        """Return the queries of all forms of a kind that fit, each once."""
        found: list[Query] = []
        for form in forms(kind) if held else ():
            parts = form.parts(held)
            if parts is not None:
                with suppress(RefusedError):
                    found.append(query_of(form.settled, parts, by, self.names))
        return list(dict.fromkeys(found))

    def _search(self, held: Sequence[Link]) -> Query | None:
        found = matches(_SEARCH, held) if self.rows.noun != "cell" else None
        if found is None:
            return None
        words = said_of(held[slice(*found.span("words"))])
        if found["no"]:
            said = f"{words!r} is nothing that can be computed: it is predicted, and who is none of them is not."
            raise UnreadError(f"{said} Ask which are.", words)
        return Query(want="search", words=words, against=tuple(map(self.names.row, held[1:2] if found["row"] else ())))

    def _named(self, links: Sequence[Link], before: Query | None) -> list[Link]:
        """Say which rows "these" and "them" are."""
        if before is None:
            return [Link("ROWS", one.said) if one.role == "THEM" else one for one in links]
        made = found_groups(links, before, self.names, self.speech)
        if made is not None:
            return made
        made = []
        for i, one in enumerate(links):
            group = found_group(links, i, before, self.names, self.speech) if one.role in ("THEM", "THAT") else None
            if group is not None:
                made.append(group)
            elif one.role == "THEM":
                made.append(rows_meant(one, before, self.names, self.speech))
            elif one.role != "COLUMN" or not made or made[-1].term != "found":  # "that cluster"
                made.append(one)
        return made


class Both:
    """The rules read; where words or their order are new to them, the language model proposes.

    What the rules refuse for another reason (two readings, a gene that was not measured) stays refused. `opened` makes
    the model's reader when it is needed first, or gives None where there is none.
    """

    def __init__(self, rules: Grammar, opened: Callable[[], Reader | None], names: Names) -> None:
        self.rules, self.names, self._opened = rules, names, opened

    @cached_property
    def model(self) -> Reader | None:
        """What proposes."""
        return self._opened()

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; see :class:`Reader`. Fragments are the rules' alone."""
        made = self.rules.read(question, links, before)
        if isinstance(made, Query) or not made.words or links[0].role == "AND":
            return made
        meant = self.rules.resolved(before)
        roles, pointing = roles_of(meant), pick(links, "THEM")
        # "For every cluster tell its size", "of the B cells, how many of them": its own, if nothing was asked before.
        first = roles.index("THEM") if "THEM" in roles else 0
        its = before is None and KINDS.keys() & {*roles[:first]}
        told = {*TOLD, *(() if its else ("THEM",))}
        if told.intersection([*roles, *roles_of(chunked(meant, self.names))]) or hopeless(meant) or self.model is None:
            return made
        proposed = self.model.read(question, meant)
        if isinstance(proposed, Refusal):
            return made
        # "What slice express CD3D?" after a number of B cells names no rows of its own.
        own = bool(pick(meant, "ROWS", "WHERE", "ROW", "COLUMN", "BYCOL", "PEOPLE"))
        if before is None:
            return proposed
        if before.conditions() and not own:
            return made
        return before.compared(proposed) if pointing else proposed

    def settle(self, *, refused: bool) -> None:
        """Hear whether the question was answered in the end; see :class:`Reader`."""
        self.rules.settle(refused=refused)


def left_out(links: list[Link]) -> list[Link]:
    """Read "what share would I lose if I drop B cells", "... if I keep only B cells" as of those that are left out."""
    if not pick(links, "LOST"):
        return links
    at = next((i for i, one in enumerate(links) if _says_what_stays(one)), len(links))
    stop = next((i for i in range(at, len(links)) if links[i].role == "COMMA"), len(links))
    where = condition(links[at:stop])
    rest = without([*links[:at], *links[stop:]], "LOST", "COMMA", "BE")
    return links if where is None else [*rest, joined(links[at:stop], "TRAIT", where.negated())]


def _says_what_stays(link: Link) -> bool:
    """Whether a word says which rows are kept: "keeping only", "if I drop B cells", "requiring LYZ"."""
    begins = [" ".join(words) for words, (role, _) in closed_words().items() if role == "OUT"]
    return link.key == "keeping only" or (
        link.role == "TRAIT" and ("requir" in link.key or link.key.startswith(tuple(begins)))
    )


def trimmed(links: list[Link]) -> list[Link]:
    """Leave out commas at both ends."""
    front = list(dropwhile(lambda one: one.role == "COMMA", links))
    return list(dropwhile(lambda one: one.role == "COMMA", front[::-1]))[::-1]


def turned(links: Sequence[Link]) -> Sequence[Link]:
    """Put last what a question begins with: "In donor1, how many ...", "Without T cells, what ..."."""
    found = matches(_FRONTED, links)
    if found is None:
        return ()
    first = without(links[: found.end()], "COMMA")
    if first[0].role == "LACKING":
        first = [first[1].but("TRAIT", value=first[1].value.negated())]
    elif roles_of(first) == ["WHERE"]:
        first = [Link("IN", ""), *first]
    return [*links[found.end() :], *first]

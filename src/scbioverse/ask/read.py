"""From linked words to a query: neighbours are joined, then all forms of the grammar that fit must say the same."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from .accounting import hopeless
from .chunks import chunked
from .fill import query_of
from .follow import BARE, followed, shortened
from .grammar import forms, letters, matches
from .pointing import counted, found_group, found_groups, genes_meant, never, pointed, rows_meant
from .query import FIELDS, Query, Refusal, RefusedError, Where, both
from .refusals import TOLD, ambiguous, not_together, refused
from .run import run
from .say import Speech
from .slots import KINDS
from .sorting import in_order
from .words import Link, closed_words, joined, pick, roles_of, said_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .link import Names

_ALSO = ("and", "what about", "how about")
_OWN = frozenset(["its", "their", "it"])
# Of these alone the name of some rows is made.
_NOUNS = frozenset(["ROWS", "WHERE", "TRAIT", "IN", "OF", "ANY"])
# What says which rows are left.
_CONDITIONS = ("WHERE", "FIELD", "MEASURE", "PEOPLE", "TWICE", "RULE", "ROW", "NUM")
# Terms that may be asked for though no cell is of them: what a type is, whether a gene was measured.
_TERMS = ("TOOFINE", "NOTYPES", "NOGENE")
_OF_TERMS = "WHAT BE (TOOFINE|NOTYPES|NOGENE)$"
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
        self._pointed: Sequence[Link] | Refusal = ()

    def settle(self, *, refused: bool) -> None:
        """Hear whether the question was answered in the end; see :class:`Reader`."""
        self._refused = refused

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; see :class:`Reader`.

        What follows a question that was refused does not go on from the one before that.
        """
        self._pointed = meant = self._meant(question, links, before)
        if isinstance(meant, Refusal):
            return meant
        links = meant
        made = self._read(links, None if self._refused else before)
        if self._refused and before is not None and isinstance(made, Query):
            # A question of its own is read alike, whatever came before it.
            alone = not pick(links, "THEM") and made == self._read(links, before)
            made = made if alone else Refusal(text="The question before was not answered: ask in full.")
        return made

    def _meant(self, question: str, links: Sequence[Link], before: Query | None) -> Sequence[Link] | Refusal:
        """Say what a word that points back means, or refuse it where there is nothing to point at."""
        here = pick(links, "HERE")
        narrowed = before is not None and any((before.where, before.among, before.against))
        if here and (narrowed or pick(links, "REMAIN")):  # of patients that "are left in the trial" no data tell
            return Refusal(text=f"It is not clear whether {here[0].said!r} means all that the data hold.")
        left = pick(links, "REMAIN")
        if left and not pick(links, *_CONDITIONS, "THEM"):
            return Refusal(text=f"It is not clear after what {left[0].said!r} is meant: say which are counted.")
        links = [one for one in links if one.role != "HERE"]
        if self.rows.noun == "cell":
            found = genes_meant(links, None if self._refused else before)
            if isinstance(found, Refusal):
                return found
            links = found
        if before is None or self._refused:
            return pointed(question, links, self.rows, first=before is None and not self._refused) or links
        return never(question, links) or counted(question, links, before, self.names, self.speech)

    def resolved(self, before: Query | None) -> Sequence[Link] | Refusal:
        """Put rows that were asked about before in the place of the words of the last question that point at them."""
        meant = self._pointed
        if isinstance(meant, Refusal) or before is None or self._refused:
            return meant
        return self._named(meant, before)

    def _read(self, links: Sequence[Link], before: Query | None) -> Query | Refusal:
        if not links:
            return Refusal(text="Nothing was asked: no word of this asks for anything.")
        held = chunked(links[1:] if links[0].role == "AND" else links, self.names)
        if (
            before is not None
            and before.want in FIELDS
            and matches("WHAT BE THEM IN WHERE$", held)
            and held[2].key == "it"
        ):
            held = held[3:]  # "What is it in stim?": the number before
        meant = self._named(held, before)
        if isinstance(meant, Refusal):
            return meant
        held = meant
        known = matches(_OF_TERMS, held) is not None
        bad = self._search(held) or refused([one for one in held if not (known and one.role in _TERMS)], self.rows)
        if bad is not None:
            return bad
        roles = {*roles_of(links)}
        goes_on = links[0].role == "AND" or links[0].key in _ALSO
        # "How many of these ...?" and "How many contain chlorine?" are whole questions; "And how many ...?" may not be.
        plain = "THEM" in roles or (not goes_on and len(roles) > 1 and not roles <= BARE)
        made = None
        # "Is it secreted?" after a number of it is a question of its own, and so is "What is cluster 7?".
        own = ("THEM" in roles and held[0].role in ("BE", "DO")) or (not goes_on and matches("WHAT BE WHERE$", held))
        if before is not None and "THEM" not in roles:
            made = shortened(held, before)
        if (
            made is None
            and before is not None
            and (goes_on or len(held) < 4)
            and not own
            and not ("COUNT" in roles and plain)
        ):
            made = followed(held, before, self.names)
        # After another question "B cells in donor1?" may go on from it; "B cells in ctrl and stim?" may ask for two.
        listed = any(one.value.op == "or" for one in pick(held, "WHERE"))
        alone = before is None and not self._refused and not listed
        if made is None and not alone and self.rows.noun == "cell" and _NOUNS.issuperset(roles_of(held)):
            return not_together(held, self.rows)
        made = made or self.whole(held)
        return before.compared(made) if before is not None and "THEM" in roles and isinstance(made, Query) else made

    def whole(self, held: Sequence[Link]) -> Query | Refusal:
        """Read joined words as a question of its own."""
        by = [one.value if isinstance(one.value, tuple) else (one.value,) for one in pick(held, "BYCOL")]
        columns = [name for names in by for name in names]
        rest = [one for one in held if one.role != "BYCOL"]
        while rest and "COMMA" in (rest[0].role, rest[-1].role):
            rest = rest[1:] if rest[0].role == "COMMA" else rest[:-1]
        # "In most cells" may be a bound or a rank; "in the most cells" is a rank.
        bare = any((one.role, most.role, most.said) == ("IN", "TOP", "most") for one, most in pairwise(rest))
        rest = left_out(rest)
        ways = ((in_order(rest), "SORTED"), (rest, ""), (turned(rest), ""))
        found = [] if bare else next(filter(None, (self.readings(*way, columns) for way in ways)), [])
        if len(found) > 1 and not self._alike(found):
            return ambiguous(map(Speech(self.rows).what, found))
        return found[0] if found else not_together(held, self.rows)

    def _alike(self, found: Sequence[Query]) -> bool:
        """Whether what is at the top is the same by all readings: "which cluster expresses LYZ most?"."""
        if any(one.show != "rank" or one.by is None or one.then for one in found):
            return False
        first = run(found[0], self.rows, self.speech).value
        return all(run(one, self.rows, self.speech).value == first for one in found[1:])

    def readings(self, held: Sequence[Link], kind: str, by: Sequence[str]) -> list[Query]:
        """Return the queries of all forms of a kind that fit, each once."""
        found: list[Query] = []
        for form in forms(kind) if held else ():
            parts = form.parts(held)
            if parts is not None:
                with suppress(RefusedError):
                    found.append(query_of(form.settled, parts, by, self.names))
        return [one for i, one in enumerate(found) if one not in found[:i]]

    def _search(self, held: Sequence[Link]) -> Query | Refusal | None:
        found = matches(_SEARCH, held) if self.rows.noun != "cell" else None
        if found is None:
            return None
        words = said_of(held[slice(*found.span("words"))])
        if found["no"]:
            said = f"{words!r} is nothing that can be computed: it is predicted, and who is none of them is not."
            return Refusal(text=f"{said} Ask which are.", words=(words,))
        return Query(want="search", words=words, against=tuple(map(self.names.row, held[1:2] if found["row"] else ())))

    def _named(self, links: Sequence[Link], before: Query | None) -> list[Link] | Refusal:
        """Say which rows "these" and "them" are."""
        made: list[Link] = []
        some = found_groups(links, before, self.names, self.speech) if before is not None else None
        if some is not None:
            return some
        for i, one in enumerate(links):
            named: Link | Refusal = Link("ROWS", one.said) if one.role == "THEM" else one
            if one.role in ("THEM", "THAT") and before is not None:
                group = found_group(links, i, before, self.names, self.speech)
                named = group or (rows_meant(one, before, self.names, self.speech) if one.role == "THEM" else one)
            elif one.role == "COLUMN" and made and made[-1].term == "found":
                continue  # "that cluster"
            if isinstance(named, Refusal):
                return named
            made.append(named)
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
        if isinstance(made, Query) or not made.words or not links or links[0].role == "AND":
            return made
        meant = self.rules.resolved(before)
        if isinstance(meant, Refusal):
            return made
        roles, pointing = roles_of(meant), pick(links, "THEM")
        first = roles.index("THEM") if "THEM" in roles else 0
        # "For every cluster tell its size": its own, if nothing was asked before.
        its = before is None and {one.key for one in pointing} <= _OWN and KINDS.keys() & {*roles[:first]}
        told = {*TOLD, *(() if its else ("THEM",))}
        if told.intersection([*roles, *roles_of(chunked(meant, self.names))]) or hopeless(meant) or self.model is None:
            return made
        proposed = self.model.read(question, meant)
        if isinstance(proposed, Refusal):
            return made
        # "What slice express CD3D?" after a number of B cells names no rows of its own.
        own = bool(pick(meant, "ROWS", "WHERE", "ROW", "COLUMN", "BYCOL", "PEOPLE"))
        if before is not None and not own and any((before.where, before.among, before.against)):
            return made
        return before.compared(proposed) if before is not None and pointing else proposed

    def settle(self, *, refused: bool) -> None:
        """Hear whether the question was answered in the end; see :class:`Reader`."""
        self.rules.settle(refused=refused)


def left_out(links: list[Link]) -> list[Link]:
    """Read "what share would I lose if I drop B cells", "... if I keep only B cells" as of those that are left out."""
    if not pick(links, "LOST"):
        return links
    at = next((i for i, one in enumerate(links) if _says_what_stays(one)), len(links))
    stop = next((i for i in range(at, len(links)) if links[i].role == "COMMA"), len(links))
    where = both(*(one.value for one in links[at:stop] if isinstance(one.value, Where)))
    rest = [one for one in (*links[:at], *links[stop:]) if one.role not in ("LOST", "COMMA", "BE")]
    return links if where is None else [*rest, joined(links[at:stop], "TRAIT", where.negated())]


def _says_what_stays(link: Link) -> bool:
    """Whether a word says which rows are kept: "keeping only", "if I drop B cells", "requiring LYZ"."""
    begins = [" ".join(words) for words, (role, _) in closed_words().items() if role == "OUT"]
    return link.key == "keeping only" or (
        link.role == "TRAIT" and ("requir" in link.key or link.key.startswith(tuple(begins)))
    )


def turned(links: Sequence[Link]) -> Sequence[Link]:
    """Put last what a question begins with: "In donor1, how many ...", "Without T cells, what ..."."""
    behind = matches("(?!WHICH|WHAT).+?<which:IN? (WHAT|WHICH) COLUMN>$", links)
    if behind is not None:  # "LYZ is expressed most often in which cluster"
        return [*links[behind.start("which") :], *links[: behind.start("which")]]
    found = matches(_FRONTED, links)
    if found is None:
        return ()
    first = [one for one in links[: found.end()] if one.role != "COMMA"]
    if first[0].role == "LACKING":
        first = [first[1].but("TRAIT", value=first[1].value.negated())]
    elif roles_of(first) == ["WHERE"]:
        first = [Link("IN", ""), *first]
    return [*links[found.end() :], *first]

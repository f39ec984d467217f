"""From a question to its answer: link, read, run."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from .._logging import bounded, listed
from ..errors import InputError
from ..llm.prompts import MAX_QUESTION_CHARS
from .answer import Answer
from .asides import without_aside
from .chunks import linked
from .grammar import matches
from .link import Names
from .query import Query, Refusal, RefusedError
from .read import Grammar
from .run import run
from .say import Speech
from .words import pick, without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .answer import Result
    from .nearest import Nearness
    from .read import Reader
    from .rows import Rows
    from .words import Link

# "How many female donors", "from how many different donors".
_COUNTS_GROUPS = "COUNT (OF|ALL|DIFF|BE|SEEN|TRAIT|WHERE|ROWS(?=COLUMN))* (COLUMN|PEOPLE)"
_NUMBER = "number"
_OF_GENES = frozenset(["genes", "expressed", "markers", "is marker", "differential"])


class Asked:
    """A data set that questions are asked about; its names are gathered once.

    `nearness` places rows for what only that tells; `reader` makes, of the names of the data, what reads questions.
    """

    def __init__(
        self, rows: Rows, nearness: Nearness | None = None, reader: Callable[[Names], Reader] = Grammar
    ) -> None:
        self.rows, self.nearness, self._reading = rows, nearness, reader
        self.speech = Speech(rows)

    @cached_property
    def names(self) -> Names:
        """Names that a question may use."""
        return Names(self.rows)

    @cached_property
    def reader(self) -> Reader:
        """What reads questions."""
        return self._reading(self.names)

    def link(self, text: str) -> list[Link]:
        """Say what each word of a question stands for."""
        return linked(text, self.names)

    def answer(self, question: str | Query, before: Query | None = None) -> Answer:
        """Answer a question, or run a query; raise an InputError where it is empty or no text."""
        found = self._answered(question, before)
        self.reader.settle(refused=not found.computed and (found.query is None or found.kind == "refusal"))
        return found

    def _answered(self, question: str | Query, before: Query | None) -> Answer:
        if isinstance(question, Query):
            return self.run(question, "")
        if not isinstance(question, str):
            raise InputError(f"question is one text; found a {type(question).__name__}. Ask one question a call.")
        text = bounded(question, MAX_QUESTION_CHARS)
        if not text:
            raise InputError(f"the question {question!r:.60} holds no readable character.")
        links, numbered = self.link(text), False
        if before is not None and _of_groups(before):
            numbered = before.words == _NUMBER
            before = before.but(words="")  # "which is the largest" asks for a group again
        query = self.reader.read(text, links, before)
        for aside, rest in without_aside(text, self.link) if isinstance(query, Refusal) else ():
            read = self.reader.read(text, rest, before)
            if isinstance(read, Query):
                note = f"Read without {aside!r}. {rest[0].note}".strip()
                query, links = read, [replace(rest[0], note=note), *rest[1:]]
                break
        if isinstance(query, Refusal):
            return Answer(f"{query.text}{self._without(text, links)}", text, "refusal", False)
        return self.run(_numbered(query, links, goes_on=numbered), text, links)

    def _without(self, text: str, links: Sequence[Link]) -> str:
        """Say how a question would be read without its words that stand for nothing."""
        lost, rest = pick(links, "?"), without(links, "?")
        made = Grammar(self.names).read(text, rest) if lost and rest else None
        if not isinstance(made, Query):
            return ""
        return f" Without {listed(repr(one.said) for one in lost)}: {self.speech.what(made)}."

    def run(self, query: Query, text: str, links: Sequence[Link] = ()) -> Answer:
        """Run a query that was read from a text."""
        try:
            found = self._found(query)
        except (InputError, RefusedError) as why:
            # Data that cannot be read as this question needs are no error of the call.
            said = f"That cannot be computed: {why}" if isinstance(why, InputError) else str(why)
            return Answer(said, text, "refusal", False, query=query)
        notes = [one.note for one in links if one.role == "WHERE" or one.note.startswith("Read ")]
        told = [found.text, *dict.fromkeys(one for one in notes if one not in found.text)]
        label = self.rows.slots.label
        if f"obs:{label}" in (f"obs:{query.by}", *query.fields()):
            told.append(self.rows.changed)
        if query.want in _OF_GENES or any(one.startswith("gene:") for one in query.fields()):
            told.append(self.rows.unmeasured)
        told.append(self._labels_read(query, found.text))
        said = " ".join(filter(None, told))
        return Answer(said, text, query.want, found.computed, found.table, query, found.value)

    def _labels_read(self, query: Query, text: str) -> str:
        """Name the column whose labels were counted, where the cells have labels in several."""
        types = self.rows.types
        asked = [one for one in types if f"obs:{one}" in query.fields() and one not in text]
        return f"Labels are those of obs[{asked[0]!r}]." if len(types) > 1 and len(asked) == 1 else ""

    def _found(self, query: Query) -> Result:
        texts = self.nearness is not None and bool(self.nearness.texts)
        told = query.want == "describe" and query.show == "value" and texts
        alike = query.want == "nearest" and query.words != "tanimoto"
        if not (alike or told or query.want == "search"):
            return run(query, self.rows, self.speech)
        if self.nearness is None:
            raise RefusedError(f"{self.rows.noun}s are not looked up by nearness here: see scbioverse.tl.retrieve.")
        return self.nearness.answer(query)


def _numbered(query: Query, links: Sequence[Link], *, goes_on: bool) -> Query:
    """Ask for the number of groups where the question does: "how many donors have more than 100 B cells".

    Or where it goes on from one that did.
    """
    if not _of_groups(query):
        return query
    sized = {"size", "sizes"}  # "the sizes of the clusters" are of each
    asked = [at for at, one in enumerate(links) if sized.isdisjoint(one.key.split())]
    said = [one.key for one in pick([links[at] for at in asked], "COUNT")]
    which = bool(pick(links, "LIST", "WHICH"))
    told = any(one.startswith("how many") or not which for one in said)
    counts = (query.want == "groups" and told) or any(matches(_COUNTS_GROUPS, links[at:]) for at in asked)
    return query.but(words=_NUMBER) if counts or (goes_on and not which) else query


def _of_groups(query: Query) -> bool:
    """Whether groups are asked for, all of a column or those that pass."""
    return "groups" in (query.want, query.show)

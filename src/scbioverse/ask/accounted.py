"""Reads what no form fits: where one query alone accounts for every word of a question, that one is meant."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from .choices import choices
from .grammar import forms, letters, pattern
from .join import chunked
from .query import Query, Refusal
from .read import Rules, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names
    from .words import Link

# Turns of speech that words by themselves do not tell, and how a question says the same.
_TURNS = (
    (re.compile(r"(?i)\b(please|thanks?( you)?|at all|by any chance|for me|right now|currently)(?![\w'])"), " "),
    (re.compile(r"(?i)\bhow (large|big|high|great) an? "), "what "),
    (re.compile(r"(?i)\bhow much "), "what "),
    (re.compile(r"(?i)^how (are|is|were|was)\b"), r"what \1"),
    (re.compile(r"(?i)^(can|could) (?!you\b|we\b|i\b)"), "do "),
    (re.compile(r"(?i)\bbreak (.{1,60}) down\b"), r"breakdown of \1"),
)
# More words, and what they do.
_WORDS = {
    word: role
    for role, words in {
        "BE": "sit sits reside resides come came form",
        "HAVE": "give gave supply supplied yield yielded",
        "SEEN": "sequenced exist exists",
        "COMPOSITION": "break",
        "COUNT": "tally headcount",
        "LIST": "print",
        "DO": "may",
    }.items()
    for word in words.split()
}
# By itself a question means by these what it speaks of.
_OWN = ("they", "their", "its", "it", "of them", "of these", "of those")

_SUBJECTS = ("WHERE", "ROWS", "THAT", "NOT", "COLUMN")


def joined(question: str, names: Names) -> list[Link]:
    """Link the words of a question, more of them than forms are written in, and join neighbours."""
    for turn, plain in _TURNS:
        question = turn.sub(plain, question)
    found = names.link(question.strip())
    links: list[Link] = []
    for i, one in enumerate(found):
        word = one.said.lower()
        role = _WORDS.get(word) if one.role == "?" else None
        if one.role == "THEM" and word in _OWN:
            role = "ROWS"
        if one.role == "LIST" and word in ("give", "show") and links and links[-1].role in _SUBJECTS:
            role = "HAVE"
        # A donor may give cells; of a gene that says nothing.
        if role == "HAVE" and word != "show" and found[i + 1 : i + 2] and found[i + 1].role == "FIELD":
            role = None
        links.append(one if role is None else replace(one, role=role, value=""))
    return chunked(links, names)


class Accounted(Rules):
    """Reads by forms, and what no form fits by :func:`scbioverse.ask.choices.choices`.

    A form that fits and gives no query can be read in two ways: that refusal stands. So does one of a question that
    goes on from another.
    """

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; see :class:`scbioverse.ask.read.Reader`."""
        self._question = question
        return super().read(question, links, before)

    def _read(self, links: Sequence[Link], before: Query | None) -> Query | Refusal:
        made = super()._read(links, before)
        roles = {one.role for one in links}
        follows = before is not None and ("THEM" in roles or len(links) < 5)
        if isinstance(made, Query) or follows or (links and links[0].role == "AND"):
            return made
        held = joined(self._question, self.names)
        if refused(held, self.rows) is not None:
            return made
        if any(pattern(form).fullmatch(letters(one.role for one in held)) for form, _ in forms()):
            again = self._form(held)
            return again if isinstance(again, Query) and not self._impossible(again.where) else made
        found = choices(held, lambda where: not self._impossible(where))
        return found[0] if len(found) == 1 else made

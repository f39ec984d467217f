"""What an asker says of himself before a question, and what is named first and then called "it"."""

from __future__ import annotations

import re
from itertools import dropwhile
from typing import TYPE_CHECKING

from .query import Where
from .words import pick, roles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .words import Link

# What an asker says of himself, before the question: it says nothing of what is looked at.
_ASIDE = re.compile(
    r"(?:i|we|my|our|hi|hey|hello|sorry|thanks|bit|just|stupid|silly|dumb|urgent|dear)(?:['\u2019](?:m|re|ve))?\b",
    re.IGNORECASE,
)
_ASIDE_ENDS = re.compile(
    r"[.!:;] +| [-\u2013\u2014] +|, (?=(?:how|what|which|who|where|is|are|do|does|can|could)\b)", re.IGNORECASE
)
_SCOPE = re.compile(
    r"\b(?:look|work(?:ing)? (?:on|with)\b|focus|consider|restrict|limit|want|need|interest"
    r"|car(?:e|ing)\b|tak|us(?:e|ing)\b|keep|kept|only|assum|suppos|if\b|given|exclud|ignor|filter|remov|drop|subset"
    r"|select|except|without|among|within|regard|concern|about|leav|left|discard|not\b|n['\u2019]t\b|no\b|never)",
    re.IGNORECASE,
)
# What a statement of the data ends with, before a question; and what makes it more than a statement.
_STATED = re.compile(
    r"[.;!] +(?=(?:and |but |so |now )?(?:how|what|which|who|where|is|are|do|does|did|can|could|in|into|of|from|give"
    r"|count|tell|show|list|compare|work)\b)",
    re.IGNORECASE,
)
_SUPPOSES = re.compile(
    r"\b(?:imagin|pretend|hypothe|twice|double|triple|half|instead|would|should|could|may\b|might|count|call\b|called\b"
    r"|defin|let\b|lets\b|mean|treat|regard|positive if|equal|threshold|cut|qc\b|qualit|gone|lost|die|dead)",
    re.IGNORECASE,
)
# Words that come before what is asked, and the roles that may stand among them: they say nothing of the data.
_OPENING = re.compile(
    r"^[^.,;:?!]{0,80}?\b(?:(?:to|i|we|you|please|kindly|could|can|would|should) (?:know|learn|hear|see|say|recall"
    r"|wonder|clarify|explain|understand|mention|report|state|(?:find|work|figure) out|establish|determine)"
    r"|(?:tell|telling|remind|reminds|ask|asks|asked|asking) (?:me|us|myself|ourselves)"
    r"|(?:grateful|thankful|looking|asked|asking|ask) for) "
    r"(?=(?:(?:in|for|of|by) )?(?:how|which|what|whether)\b"
    r"|the (?:number|share|fraction|percentage|proportion|mean|average|median|ratio)\b)",
    re.IGNORECASE,
)
_OPENS = frozenset(
    ["?", "-", "BE", "DO", "TO", "THAT", "LIST", "GIVE", "THEM", "HAVE", "OPENS", "IN", "OF", "AND", "SEEN"]
)
_COUNTED = ("ROWS", "ROW", "WHERE", "COLUMN", "FIELD", "MEASURE", "GENES", "PEOPLE")
_DENYING = ("NOT", "NO", "LACK", "LACKING", "OUT", "OUTED", "NEITHER", "ABSENT", "REST", "REMAIN")
_NAMING = frozenset(
    ["FIELD", "MEASURE", "COLUMN", "NUM", "HALF", "ROW", "DOUBLET", "LOWQ", "NOT", "NO", "ONLY", "NOGENE", "TOOFINE"]
)
# What may stand behind something that is named first, and the words that it is called by then.
_ASKING = frozenset(["WHICH", "WHAT", "COUNT", "SHARE", "STAT", "DO", "BE", "LIST", "IN", "HOWMUCH"])
_TOPIC = frozenset(["as for", "as to", "regarding", "concerning", "with regard to", "with respect to"])
_IT = frozenset(["it", "they", "them", "these", "those"])


def without_aside(text: str, link: Callable[[str], list[Link]]) -> Iterator[tuple[str, list[Link]]]:
    """Set apart what the asker says of himself before a question, and link the question.

    What names anything of the data that the question does not, or says what is looked at, is no aside.
    """
    for end in _ASIDE_ENDS.finditer(text) if _ASIDE.match(text) else ():
        aside, question = text[: end.end()].strip(" -\u2013\u2014"), text[end.end() :]
        links, asked = link(aside), link(question)
        said = {repr(one.value) for one in asked}
        names = [one for one in links if isinstance(one.value, Where | tuple) or one.role in _NAMING]
        if asked and not _SCOPE.search(aside) and {repr(one.value) for one in names} <= said:
            yield aside, asked
    opening = _OPENING.match(text)
    if opening is not None and {*roles_of(link(opening[0]))} <= _OPENS:
        yield opening[0].strip(), link(text[opening.end() :])
    for end in _STATED.finditer(text):
        stated, question = text[: end.end()].strip(), text[end.end() :]
        if "?" not in stated and not _SCOPE.search(stated) and not _SUPPOSES.search(stated):
            links, asked = link(stated), link(question)
            # "The cells come from donors; how many are there?": it is not said of what.
            if pick(asked, *_COUNTED) and _says_nothing_more(links, asked):
                yield stated, asked


def _says_nothing_more(links: list[Link], asked: list[Link]) -> bool:
    """Whether a statement names nothing that the question does not; a column by itself says no more."""
    named = [one for one in links if isinstance(one.value, Where | tuple) or one.role in _NAMING - {"COLUMN"}]
    said = {repr(one.value) for one in asked}
    return not pick(links, *_DENYING) and {repr(one.value) for one in named} <= said


def fronted(links: list[Link]) -> list[Link]:
    """Put what a question begins with in the place of "it": "LYZ: in how many cells is it detected?"."""
    # "As for FOXP3, how many cells express it?"
    named = links[1:] if links and links[0].key in _TOPIC else links
    size = 2 if roles_of(named[:2]) == ["COLUMN", "NUM"] else 1
    if size == 1 and not pick(named[:1], "FIELD", "WHERE", "ROW"):
        return links
    rest = list(dropwhile(lambda one: one.role == "COMMA", named[size:]))
    them = [i for i, one in enumerate(rest) if one.role == "THEM" and one.key in _IT]
    if len(them) != 1 or rest[0].role not in _ASKING:
        return links
    return [*rest[: them[0]], *named[:size], *rest[them[0] + 1 :]]

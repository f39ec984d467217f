"""The grammar of questions, over linked words: the forms that a whole question has, read from `data/forms.txt`.

A pattern is written in roles (see :mod:`scbioverse.ask.lexicon`), in the signs of regular expressions; `<x: ...>` names
a part, `{NP}` stands for one below. Every linked word is one letter to the expression, so that a form either takes the
whole question or none of it: nothing that was asked is passed over.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .words import Link

_PARTS = {
    # "B cells in donor1 that express CD3D"
    "NP": "(?:(?:IN |OF |ALL |ANY |AMONG )*(?:WHERE|TRAIT|ROWS|THEM))+",
    # "are in cluster 4 and express CD3D"
    "VP": "(?:AND? DO? (?:BE? PRED|BE (?:IN|OF|ALL|ANY)* {THING} (?:(?:IN|OF)* {THING})*))+",
    "THING": "(?:WHERE|TRAIT|ROWS)",
    "ANYP": "(?:(?:AND |DO |BE |HAVE |IN |OF |ALL |ANY )*(?:PRED|WHERE|TRAIT|ROWS|THEM))+",
    "END": "(?:BE|THERE|SEEN|HAVE|IN|DO|ROWS)*",
    "ASK": "(?:WHICH|WHAT|LIST|BE|IN|OF)*",
    "WHATIS": "(?:(?:WHAT|WHICH|LIST) )?(?:BE )?",
    "HAVES": "(?:HAVE|HAVING|DO|IN)*",
    "COUNTS": "(?:COUNT|OF)*",
    "TOPS": "(?:TOP|SIZETOP)",
    "MUCH": "(?:OFTEN|COUNT|SHARE|OF|IN|ROWS|SEEN)*",
}  # fmt: skip


def _settled(text: str) -> dict[str, Any]:
    """Read "count, check>0, show=check": what is wanted, and what else is settled."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(", ")):
        name, _, value = part.partition("=")
        bound = _CHECK.fullmatch(part)
        if bound is not None:
            found["check"] = (bound[1], float(bound[2]))
        elif value:
            found[name] = value
        else:
            found |= {part: True} if part in _FLAGS else {"want": part}
    return found


_CHECK = re.compile(r"check([<>=]+)([\d.]+)")
_FLAGS = frozenset(
    ["twice", "cells", "share", "pair", "owner", "single", "place", "same", "ahead", "either", "alone", "own"]
)


@cache
def forms() -> list[tuple[str, dict[str, Any]]]:
    """Forms of questions, each with what of the query it settles."""
    lines = (Path(__file__).parent / "data" / "forms.txt").read_text(encoding="utf-8").splitlines()
    cut = [line.partition("=>") for line in lines if line and not line.startswith("#")]
    return [(form.strip(), _settled(settled.strip())) for form, _, settled in cut]


_ROLE = re.compile(r"[A-Z][A-Z]+")
_LETTERS: dict[str, str] = {}


def letter(role: str) -> str:
    """Return the letter that stands for a role."""
    # Private characters: none of them means anything to a regular expression.
    return _LETTERS.setdefault(role, chr(0xE000 + len(_LETTERS)))


def letters(roles: Any) -> str:
    """Return the letters of some roles."""
    return "".join(letter(role) for role in roles)


@cache
def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern of roles."""
    while "{" in text:
        text = re.sub(r"\{([A-Z]+)\}", lambda found: f"(?:{_PARTS[found[1]]})", text)
    text = _ROLE.sub(lambda found: letter(found[0]), text).replace(" ", "")
    return re.compile(re.sub(r"<([a-z0-9]+):([^<>]*)>", r"(?P<\1>\2)", text))


def turned(links: Sequence[Link]) -> Sequence[Link]:
    """Put last what a question begins with: "In donor1, how many ...", "Without T cells, what ..."."""
    found = pattern(
        "(((IN|OF|AMONG)+ {NP}|TRAIT) COMMA?|LACKING WHERE COMMA)(?=COUNT|WHAT|WHICH|SHARE|LIST|BE|DO|STAT|HOW)"
    ).match(letters(one.role for one in links))
    if found is None:
        return ()
    first = [one for one in links[: found.end()] if one.role != "COMMA"]
    if first[0].role == "LACKING":
        first = [replace(first[1], role="TRAIT", value=first[1].value.negated())]
    return [*links[found.end() :], *first]

"""The grammar of questions over linked words, read from `data/forms.txt`.

A pattern is written in roles (see `data/words.txt`), in the signs of regular expressions; `<x: ...>` names a part,
`{NP}` stands for one of the file's. Every linked word is one letter to the expression, so that a form takes the whole
question or none of it: nothing that was asked is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PART = re.compile(r"\{([A-Z]+)\}")
_ROLE = re.compile(r"[A-Z][A-Z]+")
_CHECK = re.compile(r"check([<>=]+)([\d.]+)")
_WORDS = frozenset(["needs", "unlike", "share", "cells", "table", "pair"])
_LETTERS: dict[str, str] = {}


@cache
def read_lines(file: str) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]], list[tuple[str, str]]]:
    """Read parts, things of several kinds, and patterns of a file, the last two with what stands behind the arrow."""
    text = (Path(__file__).parent / "data" / file).read_text(encoding="utf-8")
    parts: dict[str, str] = {}
    kinds: dict[str, list[tuple[str, str]]] = {}
    whole = []
    for line in filter(lambda one: one and not one.startswith("#"), text.splitlines()):
        form, _, settled = (one.strip() for one in line.partition("=>"))
        part, kind = re.match(r"([A-Z]+) = (.*)", line), re.match(r"([A-Z]+): (.*)", form)
        if part:
            parts[part[1]] = f"(?:{part[2]})"
        elif kind:
            kinds.setdefault(kind[1], []).append((kind[2], settled))
        else:
            whole.append((form, settled))
    return parts, kinds, whole


def _settled(text: str) -> dict[str, Any]:
    """Read "count, check>0, show=check": what is wanted, and what else is settled."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(", ")):
        name, _, value = part.partition("=")
        if bound := _CHECK.fullmatch(part):
            found["check"] = (bound[1], float(bound[2]))
        else:
            found |= {name: value} if value else {part: True} if part in _WORDS else {"want": part}
    return found


@dataclass(frozen=True)
class Form:
    """A form of a question, in letters, and what of the query it settles; compiled where its roles allow a question."""

    text: str
    settled: dict[str, Any]

    @cached_property
    def _roles(self) -> frozenset[str]:
        return frozenset(self.text)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(self.text)

    def match(self, roles: str) -> re.Match[str] | None:
        """Match the letters of a whole question."""
        return self._expression.fullmatch(roles) if self._roles.issuperset(roles) else None


def _spelt_out(form: str, settled: dict[str, Any]) -> Iterator[Form]:
    """Put each of its kinds in the place of a thing that has several; what these settle goes first."""
    kinds = read_lines("forms.txt")[1]
    name = next((one for one in _PART.findall(form) if one in kinds), None)
    if name is None:
        yield Form(_in_letters(form), settled)
        return
    for kind, more in kinds[name]:
        yield from _spelt_out(form.replace(f"{{{name}}}", kind), settled | _settled(more))


@cache
def forms() -> list[Form]:
    """Forms of questions, each with what of the query it settles."""
    return [one for form, settled in read_lines("forms.txt")[2] for one in _spelt_out(form, _settled(settled))]


def letters(roles: Iterable[str]) -> str:
    """Return roles as letters, private characters that mean nothing to a regular expression."""
    return "".join(_LETTERS.setdefault(role, chr(0xE000 + len(_LETTERS))) for role in roles)


@cache
def pattern(text: str, parts: tuple[tuple[str, str], ...] = ()) -> re.Pattern[str]:
    """Compile a pattern of roles, with the parts of `forms.txt` and others."""
    return re.compile(_in_letters(text, parts))


def _in_letters(text: str, parts: tuple[tuple[str, str], ...] = ()) -> str:
    named = read_lines("forms.txt")[0] | dict(parts)
    while _PART.search(text):
        text = _PART.sub(lambda found: named[found[1]], text)
    text = _ROLE.sub(lambda found: letters([found[0]]), text).replace(" ", "")
    return re.sub(r"<([a-z0-9]+):([^<>]*)>", r"(?P<\1>\2)", text)

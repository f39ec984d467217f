"""Patterns of linked words, read from `data/forms.txt` and `data/joins.txt`.

A pattern is written in roles (see `data/words.txt`), in the signs of regular expressions; `<x: ...>` names a part,
`{NP}` stands for one of the file's. Every linked word is one letter to the expression, so that a form takes the whole
question or none of it: nothing that was asked is passed over.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from .words import lines_of, roles_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .words import Link

_PART = re.compile(r"\{([A-Z]+)\}")
_LINE = re.compile(r"(?:([A-Z]+) (= )|(?:([A-Z]+):)?) ?(.*?)(?: =>(.*))?")
_CHECK = re.compile(r"check([<>=]+)([\d.]+)")
_LETTERS: dict[str, str] = {}
# A role that cannot be written in a pattern.
_UNSAID = {"UNKNOWN": "?"}


@cache
def read_lines(file: str) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]], list[tuple[str, str]]]:
    """Read parts, things of several kinds, and patterns of a file, the last two with what stands behind the arrow."""
    parts: dict[str, str] = {}
    kinds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in lines_of(file):
        part, is_part, kind, form, settled = _LINE.fullmatch(line).groups()  # type: ignore[union-attr]
        if is_part:
            parts[part] = f"(?:{form})"
        else:
            kinds[kind or ""].append((form, (settled or "").strip()))
    return parts, kinds, kinds.pop("", [])


def settles(text: str) -> dict[str, Any]:
    """Read "want=count, check>0, show=check": what the form settles of the query, and what it asks for."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(", ")):
        name, _, value = part.partition("=")
        bound = _CHECK.fullmatch(part)
        found |= {"check": (bound[1], float(bound[2]))} if bound else {name: value} if value else {"want": name}
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

    def parts(self, links: Sequence[Link]) -> dict[str, Sequence[Link]] | None:
        """Return the words in each named part, where the form fits the whole question."""
        roles = letters(roles_of(links))
        found = self._expression.fullmatch(roles) if self._roles.issuperset(roles) else None
        if found is None:
            return None
        return {name: links[found.start(name) : found.end(name)] for name, one in found.groupdict().items() if one}


def _spelt_out(form: str, settled: dict[str, Any]) -> Iterator[Form]:
    """Put each of its kinds in the place of a thing that has several; what these settle goes first."""
    kinds = read_lines("forms.txt")[1]
    name = next((one for one in _PART.findall(form) if one in kinds), None)
    if name is None:
        yield Form(_in_letters(form), settled)
        return
    for kind, more in kinds[name]:
        yield from _spelt_out(form.replace(f"{{{name}}}", kind), settled | settles(more))


@cache
def forms(kind: str = "") -> list[Form]:
    """Forms of questions, or those of one kind, each with what of the query it settles."""
    _, kinds, lines = read_lines("forms.txt")
    lines = kinds[kind] if kind else lines
    return [one for form, settled in lines for one in _spelt_out(form, settles(settled))]


def letters(roles: Iterable[str]) -> str:
    """Return roles as letters, private characters that mean nothing to a regular expression."""
    return "".join(_LETTERS.setdefault(role, chr(0xE000 + len(_LETTERS))) for role in roles)


def spelt_out_parts(text: str, parts: Mapping[str, str]) -> str:
    """Put each part in the place of its name in braces."""
    while _PART.search(text):
        text = _PART.sub(lambda found: parts[found[1]], text)
    return text


@cache
def pattern(text: str, file: str = "forms.txt") -> re.Pattern[str]:
    """Compile a pattern of roles, with the parts of `forms.txt` and those of another file."""
    return re.compile(_in_letters(text, file))


def _in_letters(text: str, file: str = "forms.txt") -> str:
    text = spelt_out_parts(text, read_lines("forms.txt")[0] | read_lines(file)[0])
    text = re.sub(r"[A-Z][A-Z]+", lambda found: letters([_UNSAID.get(found[0], found[0])]), text).replace(" ", "")
    return re.sub(r"<([a-z0-9]+):([^<>]*)>", r"(?P<\1>\2)", text)


def matches(text: str, links: Iterable[Link]) -> re.Match[str] | None:
    """Match a pattern of roles at the beginning of some links."""
    return pattern(text).match(letters(roles_of(links)))

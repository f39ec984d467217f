"""A question cut into words, as the names of the data are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .lexicon import singular

_TOKEN = re.compile(
    r"(?P<quoted>\"[^\"]{1,200}\"|(?<![\w])'[^']{1,200}'(?!\w))|(?P<number>(?<![\w.])[-−+]?\d+(?:,\d{3}(?!\d))*(?:\.\d+)?(?![\w.]*[A-Za-z]))"
    r"|(?P<word>[^\W_]+(?:[.'\u2019][^\W_]+)*)|(?P<sign>[<>=≤≥]=?|\+|%|,|[-−](?=[\s,;.?!)]|$)|/|&|å²|²)"
)  # fmt: skip


@dataclass(frozen=True)
class Link:
    """Words of a question and what they stand for.

    Attributes
    ----------
    role
        What they do, see :mod:`scbioverse.ask.lexicon`; `"WHERE"` a condition, `"FIELD"` what a row may have
        (a gene, an element), `"MEASURE"` a number of a row, `"COLUMN"`, `"ROWS"`, `"ROW"` one by name, `"NUM"`, `"?"`
        what stands for nothing.
    said
        As written.
    value
        A :class:`Where`, a field, a column, a number, or the value of the closed word.
    items
        Of conditions that were listed: each by itself.
    note
        What an answer that rests on it must say.
    """

    role: str
    said: str
    value: Any = None
    items: tuple[Any, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Word:
    """A word: as written, its case folded, and in the singular."""

    text: str
    key: str
    one: str
    quoted: bool = False


_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_MANY = {"hundred": 100, "thousand": 1000}
_SPOKEN = {name: i + 1 for i, name in enumerate(_UNITS)} | {name: 10 * i + 20 for i, name in enumerate(_TENS)} | _MANY
_ANY = rf"(?:{'|'.join(_SPOKEN)})"
# "Fifty", "two hundred and five", "1.5 thousand"; "two" by itself is a word of questions.
_IN_WORDS = re.compile(
    rf"\b(?:(?:a|\d+(?:\.\d+)?|{_ANY})[ -])?(?:{_ANY}[ -])*(?:{'|'.join([*_TENS, *_MANY])})"
    rf"(?:[ -](?:(?<=hundred )and |(?<=thousand )and )?{_ANY})*\b",
    re.IGNORECASE,
)


def _in_digits(match: re.Match[str]) -> str:
    """Write a number that is said in words in digits."""
    whole, part = 0.0, 0.0
    for one in re.findall(r"[a-z]+|[\d.]+", match[0].lower().replace(" and ", " ")):
        value = float(_SPOKEN.get(one, 1)) if one.isalpha() else float(one)
        part = max(part, 1) * value if one in _MANY else part + value
        if value == 1000:
            whole, part = whole + part, 0.0
    return f"{whole + part:.12g}"


def words_of(text: str) -> list[Word]:
    """Cut a question into words; hyphens and underscores part them, signs of genes are words."""
    found = []
    text = _IN_WORDS.sub(_in_digits, re.sub(r"(?<=\d)k\b", " thousand", text))
    text = re.sub(r"(?<=\d)['\u2019]s\b", " ", text)
    text = re.sub(r"(?<=\d)\s*[-\u2013]\s*(?=\d)|(?<=[A-Za-z\d+]):(?=[A-Z])", " to ", text)
    for match in _TOKEN.finditer(re.sub(r"(\w+)n['\u2019]t\b", r"\1 not", text).replace("can not", "cannot")):
        said = match[0]
        if match["quoted"]:
            found.append(Word(said[1:-1], said[1:-1].casefold(), said[1:-1].casefold(), True))
            continue
        said = re.sub(r"['\u2019]s?$", "", said) if match["word"] else said
        key = said.replace(",", "").casefold() if match["number"] else said.casefold()
        found.append(Word(said, key, singular(key)))
    return found


def undoubled(word: str) -> str:
    """Return a word with each letter once where it stands twice."""
    return re.sub(r"(.)\1", r"\1", word)


def key_of(name: str) -> tuple[str, ...]:
    """Words of a name of the data, as a question's are cut."""
    return tuple(one.one for one in words_of(name))


def one_slip(first: str, second: str) -> bool:
    """Whether two words differ by one letter that is put in, left out, changed or swapped with its neighbour."""
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    a, b = first[at:], second[at:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])

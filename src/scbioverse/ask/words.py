"""The words of a question, and those of `data/words.txt`: what each does, and what groups, rows and columns are called.

A question is cut into words as the names of the data are; what a word or several stand for is a :class:`Link`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .query import Where

# Roles whose words the data may use as names of their own.
SOFT = frozenset([
    "MISSING", "TIMES", "ONLY", "SIZETOP", "DOUBLET", "LOWQ", "GROUPS", "REMAIN", "WHEN", "OUTED", "RAW", "TAKEN",
    "RISE", "FALL", "LOST", "REST", "PERCENTILE", "DONE",
])  # fmt: skip
_TOKEN = re.compile(
    r"(?P<quoted>\"[^\"]{1,200}\"|(?<![\w])'[^']{1,200}'(?!\w))|(?P<number>(?<![\w.])[-−+]?\d+(?:,\d{3}(?!\d))*(?:\.\d+)?(?![\w.]*[A-Za-z]))"
    r"|(?P<word>[^\W_]+(?:[.'\u2019][^\W_]+)*)|(?P<sign>[<>=≤≥]=?|\+|%|,|[-−](?=[\s,;.?!)]|$)|/|&|å²|²)"
)  # fmt: skip
# What a plural ends with, and the singular; the first that fits.
_ENDINGS = [
    (re.compile(pattern), ending)
    for pattern, ending in (
        # "Ins" and "ons" are no plurals of small words.
        (
            r"^(?!(?:has|was|its|yes|gas|bus|als|ros|les)$|(?:[aio]n|[aiu]s|at|by|[io]f|or|[dgnst]o|it|[bhmw]e|up|am)s$)"
            r"([^\W\d_]{2})s$",
            r"\1",
        ),
        (r"^.{0,3}$|(?:ss|us|(?<=...)is)$", r"\g<0>"),
        (r"(?<=..)ies$", "y"),
        (r"(?<=x)es$|(?<=[sc]h|ss)es$|s$", ""),
    )
]
UNITS = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_MANY = {"hundred": 100, "thousand": 1000}
_SPOKEN = {name: i for i, name in enumerate(UNITS)} | {name: 10 * i + 20 for i, name in enumerate(_TENS)} | _MANY
_ANY = rf"(?:{'|'.join(_SPOKEN)})"
# "Fifty", "two hundred and five", "1.5 thousand"; "two" by itself is a word of questions.
_IN_WORDS = re.compile(
    rf"\b(?:(?:a|\d+(?:\.\d+)?|{_ANY})[ -])?(?:{_ANY}[ -])*(?:{'|'.join([*_TENS, *_MANY])})"
    rf"(?:[ -](?:(?<=hundred )and |(?<=thousand )and )?{_ANY})*\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Word:
    """A word: as written, its case folded, and in the singular."""

    text: str
    key: str
    one: str
    quoted: bool = False


@dataclass(frozen=True)
class Link:
    """Words of a question and what they stand for.

    Attributes
    ----------
    role
        What they do, see `data/words.txt`; `"WHERE"` a condition, `"FIELD"` what a row may have (a gene, an element),
        `"MEASURE"` a number of a row, `"COLUMN"`, `"ROWS"`, `"ROW"` one by name, `"NUM"`; `"?"`: nothing.
    said
        As written.
    value
        A :class:`Where`, a field, a column, a number, or the value of the closed word.
    items
        Of conditions that were listed: each by itself.
    note
        What an answer that rests on it must say.
    term
        Id of the cell type that was named; `"numbered"` of a group by its number.
    """

    role: str
    said: str
    value: Any = None
    items: tuple[Where, ...] = ()
    note: str = ""
    term: str = ""

    @property
    def key(self) -> str:
        """Its words in small letters."""
        return self.said.lower()

    @property
    def each(self) -> tuple[Where, ...]:
        """Conditions that were listed, or the only one."""
        return self.items or (self.value,)

    def but(self, role: str, **changes: Any) -> Link:
        """Return it in another role."""
        return replace(self, role=role, **changes)


def said_of(links: Iterable[Link]) -> str:
    """Return the words of some links."""
    return " ".join(one.said for one in links)


def roles_of(links: Iterable[Link]) -> list[str]:
    """Return the roles of some links."""
    return [one.role for one in links]


def pick(links: Iterable[Link], *roles: str) -> list[Link]:
    """Return the links of some roles."""
    return [one for one in links if one.role in roles]


def without(links: Iterable[Link], *roles: str) -> list[Link]:
    """Return the links of all other roles."""
    return [one for one in links if one.role not in roles]


def joined(links: Sequence[Link], role: str, value: Any = None, items: tuple[Where, ...] = ()) -> Link:
    """Make one link of several."""
    return Link(role, said_of(links), value, items, " ".join(dict.fromkeys(one.note for one in links if one.note)))


# ---------------------------------------------------------------- cutting


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
    text = _IN_WORDS.sub(_in_digits, re.sub(r"(?<=\d)k\b", " thousand", text))
    for written, read in _spelling():
        text = written.sub(read, text)
    return [_word(match) for match in _TOKEN.finditer(text)]


def _word(match: re.Match[str]) -> Word:
    said = match[0]
    if match["quoted"]:
        return Word(said[1:-1], said[1:-1].casefold(), said[1:-1].casefold(), True)
    if match["word"]:
        said = re.sub(r"['\u2019]s?$", "", said)
    key = said.casefold().replace(",", "") if match["number"] else said.casefold()
    return Word(said, key, singular(key))


@lru_cache(maxsize=100_000)
def key_of(name: str) -> tuple[str, ...]:
    """Words of a name of the data, as a question's are cut."""
    return tuple(one.one for one in words_of(name))


def singular(word: str) -> str:
    """Return the singular of a word, the same for singular and plural."""
    for pattern, ending in _ENDINGS:
        made, fits = pattern.subn(ending, word)
        if fits:
            return made
    return word


def undoubled(word: str) -> str:
    """Return a word with each letter once where it stands twice."""
    return re.sub(r"(.)\1", r"\1", word)


def one_slip(first: str, second: str) -> bool:
    """Whether two words differ by one letter that is put in, left out, changed or swapped with its neighbour."""
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    a, b = first[at:], second[at:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


# ---------------------------------------------------------------- the table of words


@cache
def lines_of(file: str) -> list[str]:
    """Lines of a table in `data/`, without comments and empty ones."""
    text = (Path(__file__).parent / "data" / file).read_text(encoding="utf-8")
    return re.findall(r"^[^#\n].*$", text, re.MULTILINE)


@cache
def _spelling() -> list[tuple[re.Pattern[str], str]]:
    """Ways of writing, and what is read in their place."""
    lines = [line.split("\t") for line in lines_of("spelling.tsv")]
    return [(re.compile(written, re.IGNORECASE), read) for written, read in lines]


@cache
def read_table(file: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Role, value and phrases of each line of a table of words."""
    lines = (line.partition(": ") for line in lines_of(file))
    heads = ((*head.partition(" ")[::2], phrases) for head, _, phrases in lines)
    return [
        (role, value, tuple(one for phrase in phrases.split(" | ") for one in _spelt_out(phrase)))
        for role, value, phrases in heads
    ]


def _spelt_out(phrase: str) -> list[str]:
    """Put each alternative in its place: "(big|large) share" are two phrases, "of (all|)" too."""
    parts = [one.strip("()").split("|") for one in re.split(r"(\([^)]*\))", phrase)]
    return [" ".join("".join(some).split()) for some in product(*parts)]


@cache
def closed_words() -> dict[tuple[str, ...], tuple[str, str]]:
    """Role and value of each phrase, by its words."""
    found = {(name,): ("NUM", str(n)) for n, name in enumerate(UNITS)}
    for n, name in enumerate(_ORDINALS, 1):
        found |= dict.fromkeys([(name,), (f"{n}{name[-2:]}",)], ("ORD", str(n)))
    lines = [line for line in read_table("words.txt") if not line[0].startswith("@")]
    return found | {tuple(one.split()): (role, value) for role, value, phrases in lines for one in phrases}


@cache
def named(kind: str) -> dict[str, tuple[str, ...]]:
    """Return what the data may be called in questions, of one kind of name (`"@ROWS"`, `"@COLUMN"`), by its value."""
    found: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for _, values, phrases in [line for line in read_table("words.txt") if line[0] == kind]:
        for value in _spelt_out(values):
            found[value] += phrases
    return dict(found)

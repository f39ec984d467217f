"""The words of questions, and what groups, rows and columns are called, read from `data/words.txt`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

# Words that no name of a cell type holds, and those that make something else of one.
_NEVER_TYPES = (
    "and or of in not the with a an is are , / & than between to for from no"
    " but nor per by that which how many what most least more less all any each both"
)
NEVER_TYPES = frozenset(_NEVER_TYPES.split())
DEGREES = frozenset(["-", "−", "negative", "neg", "low", "lo", "dim", "high", "hi", "bright", "int", "mature"])


def singular(word: str) -> str:
    """Return the singular of a word, the same for singular and plural."""
    if (
        len(word) < 4
        or word.endswith(("ss", "us"))
        or (word.endswith("is") and len(word) > 4)
        or not word.endswith("s")
    ):
        return word[:-1] if len(word) == 3 and word.endswith("s") and word[:2].isalpha() and word not in _KEPT else word
    return (
        word[:-3] + "y"
        if word.endswith("ies") and len(word) > 4
        else re.sub(r"(?<=x)es$|(?<=[sc]h|ss)es$|s$", "", word)
    )


# Roles whose words the data may use as names of their own.
SOFT = frozenset(["MISSING", "TIMES", "ONLY", "SIZETOP", "DOUBLET", "LOWQ", "GROUPS", "REMAIN", "WHEN", "OUTED"])
_KEPT = frozenset(["has", "was", "its", "yes", "gas", "bus", "als", "ros", "les"])


@cache
def _lines() -> list[tuple[str, str, tuple[str, ...]]]:
    """Role, value and phrases of each line of the table of words."""
    found = []
    for line in (Path(__file__).parent / "data" / "words.txt").read_text(encoding="utf-8").splitlines():
        head, _, phrases = line.partition(": ")
        role, _, value = head.partition(" ")
        if role != "#":
            found.append((role, value, tuple(one.strip() for one in phrases.split(" | "))))
    return found


@cache
def closed_words() -> dict[tuple[str, ...], tuple[str, str]]:
    """Role and value of each phrase, by its words."""
    return {
        tuple(one.split()): (role, value)
        for role, value, phrases in _lines()
        if not role.startswith("@")
        for one in phrases
    }


@cache
def named(kind: str) -> dict[str, tuple[str, ...]]:
    """Return what the data may be called in questions, of one kind of name (`"@ROWS"`, `"@COLUMN"`), by its value."""
    found: dict[str, tuple[str, ...]] = {}
    for role, value, phrases in _lines():
        if role == kind:
            found[value] = (*found.get(value, ()), *phrases)
    return found

"""Questions in many phrasings, each with the line of its query, drawn by a grammar of its own.

`phrasings.tsv` holds it. There, `{a|b|}` is a choice and `<T>` a slot, filled once, `<T2>` a second: a type or group
(T), a group of another column (P), a gene or element (G), a column of numbers (M) or of groups (C), a number (N), a
share (H), "second" (O), a row (R), words such as "heavier", "lighter" (U, D), "heaviest", "lightest" (X, Y). `$np` is a
noun with traits, `$ty` a type, `$vp` a predicate, each of which stands in the line as its condition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

_CHOICE = re.compile(r"\{([^{}]*)\}")
SLOT = re.compile(r"<([A-Z]\d?)>")
_TRAITS = (0.6, 0.33, 0.07)  # how often a noun has none, one, two
_TYPED = 0.6


@cache
def section(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the lines of a section of the table, cut into columns."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in (Path(__file__).parent / "phrasings.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            now = found.setdefault(line[1 : line.index("]")], [])
        elif line and not line.startswith("#"):
            now.append(tuple(line.split("\t")))
    return tuple(found[name])


@dataclass
class Drawn:
    """What is drawn for one question: its slots, and the names of a schema that fill them."""

    rng: np.random.Generator
    pools: dict[str, list[str]]
    filled: dict[str, str] = field(default_factory=dict)

    def choose(self, text: str) -> str:
        """Choose one of each set of ways, innermost first."""
        while found := _CHOICE.search(text):
            ways = found[1].split("|")
            text = text[: found.start()] + ways[self.rng.integers(len(ways))] + text[found.end() :]
        return text

    def one_of(self, name: str) -> tuple[str, ...]:
        """Draw a line of a section, by its weight where it has one."""
        some = section(name)
        weights = np.array([float(one[0]) if re.fullmatch(r"[\d.]+", one[0]) else 1.0 for one in some])
        return some[self.rng.choice(len(some), p=weights / weights.sum())]

    def fresh(self, template: str, line: str) -> tuple[str, str]:
        """Choose the ways of a template, and give its slots new numbers and names."""
        text, names = self.choose(template), {}
        for name in dict.fromkeys(SLOT.findall(text + line)):
            names[name] = f"{name[0]}{sum(one[0] == name[0] for one in self.filled) + 1}"
            # Two groups are of one column: they are compared, or one of them is meant.
            kin = self.pools.get(self.filled.get(names.get("P", ""), ""), self.pools[name[0]]) if name == "P2" else None
            pool = [one for one in kin or self.pools[name[0]] if one not in self.filled.values()]
            self.filled[names[name]] = pool[self.rng.integers(len(pool))]
        text, line = (SLOT.sub(lambda found: f"<{names[found[1]]}>", one) for one in (text, line))
        return text, line

    def noun(self) -> tuple[str, str]:
        """Draw a noun phrase with its traits: its words, and its condition."""
        if self.rng.random() < _TYPED:
            said, first = self.fresh("<T>{ cells||}", "<T>")
            conditions = [first]
        else:
            said, conditions = self.choose("{cells|cells|cells|single cells|all cells|the cells}"), []
        for _ in range(int(self.rng.choice(len(_TRAITS), p=_TRAITS))):
            before = self.rng.random() < 0.15
            text, line = self.fresh(*self.one_of("before" if before else "behind"))
            said = f"{text} {said}" if before else f"{said} {text}"
            conditions.append(line)
        return said, " and ".join(conditions)

    def predicate(self) -> tuple[str, str]:
        """Draw a verb phrase: "express CD3D"."""
        verb, rest, line = self.one_of("said")
        return self.fresh(f"{verb} {rest}", line)

    def question(self, name: str) -> tuple[str, str]:
        """Draw a question of a section, and its line.

        Raises
        ------
        KeyError
            The schema has none of what a slot needs.
        ValueError
            The line holds a slot that is not said.
        """
        _, text, line = self.one_of(name)
        for word, ways in sorted(section("words"), key=lambda one: -len(one[0])):
            text = text.replace("${" + word[1:] + "}", f"{ways} ").replace(word, ways)
        text, line = self.fresh(text, line)
        if not set(SLOT.findall(line)) <= set(SLOT.findall(text)):
            raise ValueError("a slot is not said")
        for macro in ("$np", "$ty", "$vp"):
            if macro in text:
                drawn = {"$np": self.noun, "$vp": self.predicate, "$ty": lambda: self.fresh("<T>{ cells||}", "<T>")}
                said, where = drawn[macro]()
                text, line = text.replace(macro, said, 1), line.replace(macro, where)
        return text, tidied(line)


def tidied(line: str) -> str:
    """Take out sections that a noun without a condition left empty."""
    sections = r"(?= (?:among|by|check|filter|rank|sides|difference|ratio|top)\b|$)"
    line = re.sub(r" and" + sections, "", " ".join(line.split()))
    line = line.replace("where and ", "where ").replace("among and ", "among ")
    return re.sub(r" (where|among)" + sections, "", line)

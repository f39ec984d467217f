"""Names of classes of drugs, and the ways in which roles and classes of ChEBI say them."""

from __future__ import annotations

import re
from functools import lru_cache

from ._read import read_table

# A name is replaced at most twice, so that "COX inhibitor" leads to "prostaglandin-endoperoxide synthase inhibitor".
_ROUNDS, _MOST = 2, 40
_ASIDE = re.compile(r"\s*\([^)]*\)")


def ways_to_say(words: str) -> list[str]:
    """Return ways to say the name of a class of molecules, such as `"beta blockers"`, the given one first."""
    said = _ASIDE.sub("", " ".join(words.lower().split()))
    plain = singular(said)
    wholes, parts = _table()
    # "SSRIs" end like "analysis".
    found = dict.fromkeys([plain, *(wholes.get(plain) or wholes.get(said.removesuffix("s")) or [])])
    for _ in range(_ROUNDS):
        for way in list(found):
            for pattern, meant in parts:
                if pattern.search(way):
                    found |= dict.fromkeys(pattern.sub(lambda _, one=one: one, way) for one in meant)  # type: ignore[misc]
    return list(found)[:_MOST]


def singular(name: str) -> str:
    """Take the plural off the last word."""
    if name.endswith("ies") and len(name) > 5:
        return f"{name[:-3]}y"
    return name[:-1] if re.search(r"[a-z]{2}[^siu]s$", name) else name


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, list[str]], list[tuple[re.Pattern[str], list[str]]]]:
    wholes, parts = {}, []
    for said, meant in read_table("drug_words.tsv"):
        ways = [one.lower() for one in meant.split("|")]
        if said.startswith("* "):
            parts.append((re.compile(rf"\b{re.escape(said[2:])}s?\b"), ways))
        else:
            wholes[said] = ways
    return wholes, parts

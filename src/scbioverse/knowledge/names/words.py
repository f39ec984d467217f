"""The word lists behind the reading of names, kept in `data/words.tsv` so that they can be edited as a table."""

from __future__ import annotations

from functools import lru_cache

from .._read import read_table


@lru_cache(maxsize=1)
def _all() -> dict[str, dict[str, str]]:
    kinds: dict[str, dict[str, str]] = {}
    for kind, word, means in read_table("words.tsv"):
        kinds.setdefault(kind, {})[word] = means
    return kinds


def meanings(kind: str) -> dict[str, str]:
    """Words of one kind and what they mean."""
    return _all()[kind]


@lru_cache(maxsize=16)
def word_set(kind: str) -> frozenset[str]:
    """Words of one kind."""
    return frozenset(_all()[kind])

"""Slips of the pen: the one known word that an unknown one is a letter away from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..knowledge import load_ontology
from .type_names import words_of_type
from .words import SOFT, Link, Word, one_slip, undoubled

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# Shorter words are spelt anew only where letters are swapped, or one should stand twice: "dose" is no "does".
_LEAST_SPELT = 6
# Shorter words of questions are not spelt anew at all: "form" is no "from".
LEAST_SWAPPED = 4


def spellings(
    held: Mapping[tuple[str, ...], list[Link]], closed: Collection[tuple[str, ...]], ids: set[str]
) -> dict[str, bool]:
    """Words that may be misspelt, and whether it is a word of questions: of these the ending is not guessed at."""
    known: dict[str, bool] = {}
    for key, links in held.items():
        # A part of a gene's name is not meant, nor what data may use as a name of their own.
        meant = links[0].role not in SOFT and not str(links[0].value).startswith("gene:")
        for word in key if meant else ():
            known[word] = known.get(word, True) and key in closed
    above = ids.union(*map(load_ontology().ancestors, ids))
    known |= dict.fromkeys((word for cl_id in above for word in words_of_type(cl_id)), False)
    return {word: closed for word, closed in known.items() if word.isalpha() and len(word) > 3}


def spelt_anew(word: Word, known: Mapping[str, bool]) -> Word:
    """Return the one word of these data, of their types or of questions that is one slip of the pen away."""
    if not word.key.isalpha() or len(word.key) < 4 or word.one in known:
        return word
    ways = {word.one, word.key}
    near = [one for one in known if one[0] == word.key[0] and any(one_slip(way, one) for way in ways)]
    near = [one for one in near if _is_meant(one, word, ways, closed=known[one])]
    return Word(near[0], near[0], near[0]) if len(near) == 1 else word


def _is_meant(one: str, word: Word, ways: set[str], *, closed: bool) -> bool:
    """Whether a word that is a letter away may be meant; of words of questions the ending is not guessed at."""
    # Letters that are swapped or stand twice leave no doubt of any word's ending: "whcih", "expres".
    if _sorted(one) in map(_sorted, ways) or undoubled(one) in map(undoubled, ways):
        return not closed or len(word.key) > LEAST_SWAPPED
    return len(word.key) >= _LEAST_SPELT and (not closed or one[-2:] == word.one[-2:])


def _sorted(word: str) -> str:
    return "".join(sorted(word))

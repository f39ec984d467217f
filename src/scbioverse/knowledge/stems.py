"""Words of a text as a search compares them: without endings, words that say one thing made one."""

from __future__ import annotations

import re
from functools import lru_cache

from ._read import read_table

_SUFFIXES = (
    "ations ation ators ator ating ated ates ate ities ity osis otic otically ically ical ics ic ions ion ings ing "
    "ivity ively ive ile ories ory ors or ers er ally als al ies ied ously ous edly ed es s e y"
)
# The longest first; what is left keeps four letters, so that short words stay as they are.
_ENDINGS = sorted(_SUFFIXES.split(), key=lambda ending: (-len(ending), ending))
_LEAST = 4
_WORD = re.compile(r"[a-z0-9]+(?:['\u2019]s\b)?")
# Words that say nothing of a cell by themselves.
_COMMON = (
    "a an and or the of in on to for with by from that which who whose is are be been being it its this these those "
    "their they as at any all some into also has have having had can may such other very when where than while within "
    "between through during under over up out off one two more most much many both each every only own same so too we "
    "i me my our us you your he his she her find show list give please found "
    "cell cells type types kind kinds capable able "
    "involved responsible important role function functions act acts acting use used using"
)
_STOP = frozenset(_COMMON.split())


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Take the endings off a word in small letters, two at most: "antibodies" and "antibody" give "antibod"."""
    for _ in range(2):
        ending = next((one for one in _ENDINGS if word.endswith(one) and len(word) - len(one) >= _LEAST), "")
        word = word.removesuffix(ending)
    return word


def stems(text: str) -> list[str]:
    """Stems of the words of a text that say something, in order, with repetitions."""
    found = (re.split("['\u2019]", one)[0] for one in _WORD.findall(text.lower()))
    same = _same()
    return [same.get(made, made) for made in (stem(word) for word in found if word not in _STOP)]


@lru_cache(maxsize=1)
def _same() -> dict[str, str]:
    return {stem(word): concept for concept, words in read_table("search_words.tsv") for word in words.split()}

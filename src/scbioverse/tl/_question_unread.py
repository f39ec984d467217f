"""Words of a question about numbers of cells that were not understood: an answer without them would be another's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._sequence_names import PLAIN

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a question about cells says beside the groups and genes that it names.
_OF_CELLS = frozenset(
    re.findall(
        r"\w+",
        "abundance abundant annotated annotation assigned barcode barcodes cell cells class classes cluster "
        "clustered clusters common composition detect detectable detected detecting detects experiment express "
        "expressed expresses expressing expression frequency frequent identified identity label labeled labelled "
        "labels level levels marked measured observed ok okay population populations positive predicted present "
        "rare really respectively say sample seen state subset subsets tissue type types us",
    )
)
# They turn a condition round or bound it; none is computed, so none may be passed over.
_TURNS = frozenset(
    re.findall(
        r"\w+",
        "above below except excluding lack lacking less lower higher fewer more negative neither no non none nor not "
        "over under without high low",
    )
)
_WORD = re.compile(r"\d+(?:[.,]\d+)?|[<>=≤≥]+|[^\W\d_][\w'-]*")


def unread_of_cells(rest: str, genes: Iterable[str], columns: Iterable[str]) -> tuple[str, ...]:
    """Return the words that stand for neither a group nor a gene and change what is to be counted, in order.

    Parameters
    ----------
    rest
        The question without the names of groups.
    genes
        What it calls the genes that it names.
    columns
        Columns of `obs` that may be named.
    """
    for said in genes:
        rest = re.sub(rf"(?<!\w){re.escape(said)}(?!\w)", " ", rest)
    known = PLAIN | _OF_CELLS | {part for one in columns for part in (one.lower(), *re.split(r"[\W_]+", one.lower()))}
    words = [(one, one.lower().removesuffix("'s")) for one in _WORD.findall(rest)]
    # "Does not" and "doesn't" are one; "not" alone is in the plain words of other questions.
    found = [one for one, low in words if _turns(low) or low not in known]
    return tuple(dict.fromkeys(found))


def bounds_or_negates(words: Iterable[str]) -> bool:
    """Whether some words are numbers, comparisons or negations, without which the answer is another question's."""
    return any(_turns(one.lower()) for one in words)


def _turns(word: str) -> bool:
    return word in _TURNS or word.endswith("n't") or not word[0].isalpha()

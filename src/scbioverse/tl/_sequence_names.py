"""Names of rows in a question, and the words that stand for nothing in the data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ._sequence_words import AMINO_ACIDS, ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._asked_sequences import AskedSequences

MOST_ROWS = 20  # rows that one question names


def lowered(text: str) -> str:
    """Lower case, each character staying one: positions are those of the text."""
    return "".join(small if len(small := one.lower()) == 1 else one for one in text)


def find_rows(text: str, data: AskedSequences, longer: Sequence[tuple[int, int]] = ()) -> tuple[list[int], str, str]:
    """Find the rows that a text names: they, the text with a null character for each, and a name that is not there.

    `longer` are the places of other names: "dopamine" in "dopamine receptor agonist" names no row.
    """
    small = lowered(text)
    taken = [False] * len(text)
    found: list[tuple[int, int, list[int]]] = []
    lost = ""
    numbered = re.compile(rf"\b(?:rows?|{data.noun}|compound|drug|sequence)\s+(?:no\.?\s*|number\s*|#\s*)?(\d+)\b")
    for match in numbered.finditer(small):
        rows = data.names.get(match[1])
        lost = lost or ("" if rows else match[1])
        if rows:
            found.append((*match.span(), rows))
            taken[match.start() : match.end()] = [True] * (match.end() - match.start())
    for name, rows in data.names.items():
        at = small.find(name)
        while at >= 0 and len(found) < MOST_ROWS:
            end = at + len(name)
            inside = any(first <= at and end <= last and last - first > len(name) for first, last in longer)
            if not inside and not any(taken[at:end]) and _stands_alone(text, at, end, name):
                found.append((at, end, rows))
                taken[at:end] = [True] * (end - at)
            at = small.find(name, end)
    rest, done = [], 0
    rows_in_order: list[int] = []
    for start, end, rows in sorted(found):
        rest += [text[done:start], "\0"]
        done = end
        rows_in_order += [row for row in rows if row not in rows_in_order]
    return rows_in_order[:MOST_ROWS], "".join([*rest, text[done:]]), lost


def _stands_alone(text: str, start: int, end: int, name: str) -> bool:
    """Whether a name is a whole word there, and not a part of a longer chemical name, nor plain English."""
    before, after = text[:start], text[end:]
    if before[-1:] in ("'", '"', "`", "“") and after[:1] in ("'", '"', "`", "”"):
        return True
    # "Contain nitrogen" means the element, of whatever is called so.
    if len(name) < 2 or name in ELEMENTS or name in AMINO_ACIDS or re.fullmatch(r"[-+]?\d+(?:[.,]\d+)?", name):
        return False
    if re.search(r"\w$|[\w\])]-$|\d,$", before) or re.match(r"\w|-\w", after):
        return False
    # "SET" is a protein, "set" a word.
    return name not in PLAIN or (text[start:end] != text[start:end].lower() and start > 0)


def unread_words(text: str) -> list[str]:
    """Words that carry a question and were not understood, in order."""
    return [word for word in re.findall(r"[^\W\d_][\w+'-]*", text) if word.lower().removesuffix("'s") not in PLAIN]


# Words of a question that stand for nothing in the data.
PLAIN = frozenset(
    re.findall(
        r"[\w'-]+",
        "act acts belong belongs play plays serve serves main important mean means "
        "a about acid acids after alike all also amino an analog analogs analogue analogues and and's another any "
        "are as at atom atoms average be been best between big bigger biggest bind both but by called can carry "
        "chemical closely closest column compare compared compound compounds contain containing contains contrast "
        "content could count data dataset describe did differ difference different dissimilar distribution do does "
        "down drug drugs each either every exactly explain few fewer fewest find first five follow follows for four "
        "fraction free from fulfil fulfill function functions give good great greater greatest group groups had "
        "has have having heavier heaviest here high higher highest histogram how i if in include includes "
        "including inside into is it its just kind know lack lacking large larger largest least less light lighter "
        "lightest like list long longer longest look low lower lowest make many max maximum me mean median min "
        "minimum molecule molecules more most much my name named names nearest neighbor neighbors neighbour "
        "neighbours no none nor not now number numbers obey obeys of on one ones only or other others our out over "
        "overall pair pass per percent percentage please proportion protein proteins range related resemble "
        "resembles residue residues role roles row rows rule rules same satisfy search select selected selection "
        "sequence sequences set share short shorter shortest show similar similarity size small smaller smallest "
        "so some species spread still structure such table tanimoto tell ten than that the their them then there "
        "these they thing things this those three to together top total two typical under up use used using value "
        "values versus very vs was we weigh weighs well were what what's when where whether which who whole "
        "whose why will with within without would you your",
    )
)

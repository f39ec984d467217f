"""The closed words of questions, read from `data/words.txt`, and what groups, rows and columns are called."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

# What a column, a group and a row are called.
COLUMN_WORDS = {
    "cluster": ("cluster", "clustering"), "group": ("group",),
    "type": ("cell type", "celltype", "type", "label", "annotation", "cell population", "population", "type of cell",
             "kind of cell", "sort of cell", "cell label", "cell identity", "identity", "subset", "cell subset"),
}  # fmt: skip
# What is asked for under other words than the column's name, in tables of drugs and of proteins.
OTHER_NAMES = {
    "moa": ("mechanism of action", "mode of action", "mechanism"), "mechanism": ("mechanism of action", "moa"),
    "mechanism of action": ("moa", "mechanism"), "disease area": ("therapeutic area",),
    "ec": ("enzyme class", "ec number"), "clinical phase": ("phase", "stage of development"),
}  # fmt: skip
SHORT_FORMS = {
    "stim": "stimulated", "ctrl": "control", "ctl": "control", "con": "control", "treat": "treated", "trt": "treated",
    "wt": "wild type", "ko": "knockout", "f": "female", "m": "male", "unstim": "unstimulated", "hc": "healthy control",
    "mono": "monocyte", "dis": "diseased", "inf": "infected",
}  # fmt: skip
# Other words for a group of that name.
SAME: dict[tuple[str, ...], tuple[str, ...]] = {
    ("female",): ("woman", "women"), ("male",): ("man", "men"), ("normal",): ("healthy",), ("f",): ("woman", "women"),
    ("m",): ("man", "men"),
}  # fmt: skip
# Columns that hold the same under one name or another.
SAME_COLUMN = (
    {"donor", "patient", "subject", "individual", "participant", "person"}, {"sex", "gender"},
    {"assay", "technology", "platform", "chemistry"}, {"disease", "diagnosis"},
)  # fmt: skip
ROW_WORDS = {
    "cell": ("cell", "barcode", "single cell", "row", "everything"),
    "molecule": ("molecule", "compound", "drug", "structure", "row", "substance", "chemical", "medicine"),
    "protein": ("protein", "sequence", "peptide", "row", "polypeptide"),
}
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
SOFT = frozenset(["MISSING", "TIMES", "ONLY", "SIZETOP", "DOUBLET", "LOWQ", "GROUPS"])
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
        tuple(one.split()): (role, value) for role, value, phrases in _lines() if role != "USUAL" for one in phrases
    }


def usual_names(standard: str) -> list[str]:
    """Return what one of the usual columns of quality is called in questions."""
    return [one for role, value, phrases in _lines() if (role, value) == ("USUAL", standard) for one in phrases]

"""What a few words mean of cells: types with their kinds, genes, "and", "or" and "not", or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .._logging import and_more
from .genes import load_genes
from .names.resolver import resolve_label
from .ontology import ROOT, load_ontology
from .said_of_terms import stems, term_texts

# Least share of a description that must be said of a type, and how much less than the best type has may be enough.
# Chosen on 40 descriptions of functions, of which 32 are linked so; of the everyday sentences in `general.txt` at most
# 0.26 is said of any type.
LEAST, OF_BEST = 0.5, 0.7
MOST_KINDS, OF_OTHERS, CLEAR = 0.5, 0.68, 0.9
_SURE = 0.9
_GENE = r"[A-Za-z][A-Za-z0-9.-]*[A-Za-z0-9]"
_AND_OR = re.compile(
    r"\s*(?:,\s*(?:and|or)?|;|/|&|\band/or\b|\bor\b|\band\b|\bas well as\b|\bplus\b)\s+", re.IGNORECASE
)
_NOT = re.compile(
    r"\s*,?\s*\b(?:but not|and not|but no|except(?: for)?|excluding|other than|without|(?:that|which) (?:are|is) not|"
    r"not)\s+(?=\S)",
    re.IGNORECASE,
)
_EXPRESS = re.compile(
    r"^(?P<who>.*?)\s*\b(?:that |which )?(?P<no>(?:do|does|did) not |not |lacking |never )?"
    r"(?:co-?)?(?:express\w*|positive for|with|high in|transcrib\w*|rich in)\s+"
    rf"(?P<genes>{_GENE}(?:(?:\s*,\s*|\s+and\s+|\s+or\s+){_GENE})*)"
    r"(?:\s+(?:expression|transcripts?|m?RNA))?$",
    re.IGNORECASE,
)
_SIGNED = re.compile(rf"^(?P<gene>{_GENE}?)(?P<sign>\+|-positive|-expressing|-negative|\u2212|-)\s+(?P<rest>.+)$")
_NEITHER = re.compile(r"(?:.*\b)?neither (.+?) nor (.+)", re.IGNORECASE)
_DENIED = (
    re.compile(r"(?:all|everything|anything|any cells?|cells?)(?: cells?)? (?:but|except|other than) (.+)", re.I),
    re.compile(r"(?:cells? )?(?:that |which )?(?:are |is )?not (?:any )?(.+)", re.IGNORECASE),
    re.compile(r"non[- ](.+)", re.IGNORECASE),
)
# Names that people use for several types; the ontology has none, or means one by it: its helper T cell is no kind of
# CD4 T cell, nor the other way round, and neither are classical and CD14 monocytes.
_HELPER, _ADAPTIVE = ("CL:0000912", "CL:0000624"), ("CL:0000084", "CL:0000236")
_CLASSICAL = ("CL:0000860", "CL:0001054")
_EVERYDAY = {
    "helper t": _HELPER, "t helper": _HELPER, "adaptive immune": _ADAPTIVE, "acquired immune": _ADAPTIVE,
    "classical monocyte": _CLASSICAL, "classical monocytes": _CLASSICAL,
}  # fmt: skip
_IN_WORDS = re.compile(r"(?:cells? of the )?(?P<name>.+?)(?: system| cells?)*", re.IGNORECASE)
# Without such a word most names of types are also words ("club", "heart").
_NOUN = re.compile(r"(?:cell|cyte|blast|clast|phage|phil|neuron|platelet|glia|killer|treg)s?$", re.IGNORECASE)
_ANY = re.compile(
    r"^(?:(?:all|any|the|these|those|of|which|what|find|show)\s+)*(?:cells?|everything|anything|ones)?$", re.I
)


@dataclass(frozen=True)
class Meaning:
    """What words mean: cell types, cells that express a gene, or `parts` that are joined."""

    op: Literal["terms", "gene", "and", "or", "not", "nothing"]
    # Ids of types to how far the words are said of them, 0 to 1; all of their kinds are meant.
    terms: dict[str, float] = field(default_factory=dict)
    gene: str = ""  # approved symbol
    parts: tuple[Meaning, ...] = ()
    how: str = ""  # by what the words were linked: "name", "description" or "gene"
    left: str = ""  # words that were not needed
    # Of a description: its words, the share of them that is said of the best type, and of what types there are some.
    text: str = ""
    best: float = 1.0
    within: str = ROOT

    def __str__(self) -> str:
        """In words, for a record."""
        if self.op == "nothing":
            return ""
        if self.op == "terms":
            best = sorted(self.terms, key=lambda one: (-self.terms[one], one))
            names = [load_ontology().term(one).label for one in best]
            return "any cell" if names == ["cell"] else and_more(names, 6)
        if self.op == "gene":
            return f"cells that express {self.gene}"
        if self.op == "not":
            return f"not ({self.parts[0]})"
        return f" {self.op} ".join(f"({one})" for one in self.parts)

    def left_out(self) -> str:
        """Words of all parts that were not needed."""
        return " ".join(one.left for one in self.all_parts() if one.left)

    def all_parts(self) -> list[Meaning]:
        """Return itself and all that it is made of."""
        return [self, *(inner for one in self.parts for inner in one.all_parts())]


NOTHING = Meaning("nothing")
ANY = Meaning("terms", {ROOT: 1.0}, how="name")


def meaning_of(text: str) -> Meaning:
    """Link a few words to cell types, genes and what joins them: `"B cells or NK cells"`, `"CD14+ but not FCGR3A+"`.

    Names are looked up first, then genes, then descriptions, such as `"cells that secrete antibodies"`: types of whose
    definition, or of whose markers' summaries, enough of the words are said
    (:class:`scbioverse.knowledge.said_of_terms.TermTexts`). `op` is `"nothing"` where the words, or a part of them,
    link to nothing.
    """
    said = " ".join(text.replace("\u2019", "'").split()).strip(' .?!"')
    return _read(said)


def _read(text: str) -> Meaning:
    if neither := _NEITHER.fullmatch(text):
        return _not(_join("or", [_read(neither[1]), _read(neither[2])]))
    denied = next(filter(None, (one.fullmatch(text) for one in _DENIED)), None)
    # A non-classical monocyte is a type.
    if denied and not _EXPRESS.match(text) and not (text.lower().startswith("non") and _named(text)):
        return _not(_read(denied[1]))
    if (expressed := _expressed(text)) is not None:
        return expressed
    found = _NOT.split(text)
    if len(found) > 1:
        first = ANY if _ANY.match(found[0]) else _read(found[0])
        return _join("and", [first, *(_not(_read(one)) for one in found[1:])])
    return _listed(text) or _atom(text)


def _join(op: Literal["and", "or"], parts: list[Meaning]) -> Meaning:
    # A part that means nothing makes the whole say something else than was asked.
    if any(one.op == "nothing" for one in parts):
        return NOTHING
    return parts[0] if len(parts) == 1 else Meaning(op, parts=tuple(parts))


def _not(part: Meaning) -> Meaning:
    return part.parts[0] if part.op == "not" else NOTHING if part.op == "nothing" else Meaning("not", parts=(part,))


def _listed(text: str) -> Meaning | None:
    """Names or genes side by side: "B cells and NK cells" are cells of one or the other."""
    parts = [one for one in _AND_OR.split(text) if one]
    if len(parts) < 2:
        return None
    # "CD4 and CD8 T cells": the last word is of both.
    last = parts[-1].split()
    tail = " ".join(last[1:]) if len(last) > 1 else ""
    found = [_named(one) or (tail and _named(f"{one} {tail}")) or _symbol(one) for one in parts]
    return _join("or", [one for one in found if one]) if all(found) else None


def _expressed(text: str) -> Meaning | None:
    found = _EXPRESS.match(text)
    if found is not None:
        several = re.split(r"\s*,\s*|\s+and\s+|\s+or\s+", found["genes"])
        genes = list(map(_symbol, several))
        if all(genes):
            how: Literal["and", "or"] = "or" if re.search(r"\sor\s", found["genes"]) else "and"
            held = _join(how, [one for one in genes if one])
            held = _not(held) if found["no"] else held
            return held if _ANY.match(found["who"]) else _join("and", [_read(found["who"]), held])
    signed = _SIGNED.match(text)
    if signed is not None and _ANY.match(signed["rest"]):
        gene = _symbol(signed["gene"])
        return gene and (_not(gene) if signed["sign"] in ("-", "-negative", "\u2212") else gene)
    return None


def _symbol(word: str) -> Meaning | None:
    """Read a gene's name: in capitals, so that words are not taken for genes."""
    word = word.strip().removesuffix("+")
    if len(word) < 2 or sum(one.isupper() or one.isdigit() for one in word) < 2 or " " in word:
        return None
    symbol = load_genes().symbol(word)
    return Meaning("gene", gene=symbol, how="gene") if symbol else None


def _named(text: str) -> Meaning | None:
    """Read the name of a type, beyond doubt."""
    if len(text) > 80 or not stems(text):
        return None
    plain = _IN_WORDS.fullmatch(text.lower())
    if plain is not None and plain["name"] in _EVERYDAY:
        return Meaning("terms", dict.fromkeys(_EVERYDAY[plain["name"]], 1.0), how="name")
    hit = resolve_label(text)
    if hit.cl_id is None or hit.score < _SURE or hit.how == "marker":
        return None
    return Meaning("terms", {hit.cl_id: 1.0}, how="name")


def _atom(text: str) -> Meaning:
    if _ANY.match(text):
        return ANY
    found = _named(text) or _symbol(text)
    if found is not None:
        return found
    described, headed = _described(text), _headed(text)
    if headed is None or described is None:
        return headed or described or NOTHING
    # "Stem cells of the blood" are those stem cells of which the rest is said; "macrophages of a tumour" are
    # macrophages, of which no table says it.
    return replace(described, within=next(iter(headed.terms))) if described.best >= CLEAR else headed


def _described(text: str) -> Meaning | None:
    """Find types of which enough of the words are said."""
    index = term_texts()
    scores = index.scores(text, index.ids)
    best = float(scores.max())
    if best < LEAST:
        return None
    held = {index.ids[i]: float(scores[i] / best) for i in (scores >= OF_BEST * best).nonzero()[0]}
    return Meaning("terms", held, how="description", text=text, best=best)


def described_labels(meaning: Meaning, labels: Sequence[str]) -> NDArray[np.float64]:
    """How far the words of a description are said of labels, beside the label of which most is said, 0 to 1.

    A label of which less than :data:`OF_BEST` of that is said has 0, unless most of its kinds are among the types that
    are meant: those stand for it. `labels` are ids of terms.
    """
    said = term_texts().scores(meaning.text, labels)
    ontology = load_ontology()
    for i, label in enumerate(labels):
        kinds = [one for one in ontology.descendants(label) if one.startswith("CL:")]
        held = [meaning.terms[one] for one in kinds if one in meaning.terms]
        if len(held) > MOST_KINDS * len(kinds):
            said[i] = max(said[i], meaning.best * sum(held) / len(held))
    inside = np.array([ontology.is_within(one, meaning.within) for one in labels])
    said = np.where(inside, said, 0.0) if meaning.within != ROOT and said[inside].any() else said
    if said.max() < OF_OTHERS * meaning.best:
        return np.zeros(len(labels))
    relative = said / said.max()
    return np.where(relative >= OF_BEST, relative, 0.0)


def _headed(text: str) -> Meaning | None:
    """Read a name with words behind or before it that nothing says of a type: "macrophages of my patients"."""
    words = text.split()
    for n in range(len(words) - 1, 0, -1):
        for some, rest in ((words[:n], words[n:]), (words[-n:], words[:-n])):
            found = _named(" ".join(some)) if _NOUN.search(some[-1]) else None
            if found is not None:
                return Meaning("terms", found.terms, how="name", left=" ".join(rest))
    return None

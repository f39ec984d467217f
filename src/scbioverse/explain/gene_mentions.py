"""Where a free text names genes: symbols, older names, families and surface proteins, but neither words nor labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import pandas as pd

from ..knowledge.genes import load_genes
from ..knowledge.names.tokens import meanings
from ..knowledge.ontology import canonical_phrase, fold, load_ontology

if TYPE_CHECKING:
    from .support import Direction

_WORD = re.compile(r"[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*")
_NAME_PART = re.compile(r"[A-Za-z0-9]+\+?")
# Longest cell type name looked for, in parts.
_PARTS = 8
_SUFFIX: dict[str, Direction] = {
    "positive": "high", "pos": "high", "high": "high", "hi": "high", "bright": "high", "expressing": "high",
    "expressed": "high", "rich": "high", "enriched": "high", "low": "low", "lo": "low", "dim": "low", "int": "low",
    "negative": "absent", "neg": "absent", "deficient": "absent", "null": "absent", "depleted": "low",
}  # fmt: skip
_GLUED = re.compile(r"^(CD\d+[A-Za-z]?)(high|hi|bright|pos|low|lo|dim|int|neg)$")
_SIGN = re.compile(r"(\+{1,3}|⁺)|([⁻−]|-(?=$|[\s,;.)/]))")
_PERCENT = re.compile(r"\s*\(\s*(?:in\s+)?[<>~]?\s*\d+(?:\.\d+)?\s*%")
# What is written like a gene that no table knows; a reason that names one cannot be checked and so must not pass.
_LIKE_A_GENE = re.compile(r"[A-Z][A-Z0-9]*\d[A-Z0-9]*|[A-Z]{2,}[A-Z0-9]*-[A-Z0-9]+")
_NUMBERED = re.compile(
    r"(?:TH|TC|TR|TFH|TREG|ILC|M?DC|[CP]DC|NKT?|UMAP|TSNE|PC|MHC|COVID|SARS|HSC|V|GSE|GSM|SCP|CL|CLUSTER|GROUP|DAY|TYPE"
    r"|FIG|TABLE|LAYER|COV|[A-Z])-?(?:\d+[A-Z]?|[IVX]+)|G\d?M|H\dAD|[A-Z]+-(?:CELLS?|TYPE|LIKE|SEQ|COV)"
)
_NEVER = frozenset(["cell", "cells", "gene", "genes", "marker", "markers"])
_MEMBER = re.compile(r"(CD\d+)[A-Z]|(HLA-D[MOPQR])[AB]\d?")
# Families whose members' symbols do not begin with the family's name.
_BY_HAND = {"CD16": ("FCGR3A", "FCGR3B")}


@dataclass(frozen=True)
class Mention:
    """One gene in a text."""

    start: int  # where it stands, its sign included
    end: int
    said: str  # as it is written, without the sign
    genes: tuple[str, ...]  # approved symbols: one, several for a family ("CD3"), none where no table knows the name
    sign: Direction | None = None  # direction by a sign or suffix of its own ("CD3+", "CD56dim")
    sure: bool = True  # False where the name is an everyday word, too, or in no table


def gene_mentions(text: str, *, names: Iterable[str] = ()) -> list[Mention]:
    """Find what may be the names of genes in a text, in its order, without overlaps.

    Names of cell types (`"CD4 T cell"`, and `names`, such as the labels of the data) are no mentions. Of words that are
    also names of genes (`"CAT"`, `"WAS"`, `"REST"`), and of words in capitals that no table knows, those written in
    capitals are mentions that are not `sure`: whether they are genes is for the words around them to say.
    """
    hidden = name_spans(text, names)
    words = [
        one for one in _WORD.finditer(text) if all(one.end() <= start or end <= one.start() for start, end in hidden)
    ]
    found = [mention for word in words for mention in _read(text, word.start(), word[0])]
    return [one for one in found if one.sure or (len(one.said) > 1 and one.said.isupper())]


def name_spans(text: str, names: Iterable[str] = ()) -> list[tuple[int, int]]:
    """Where a text names cell types, longest first from each place; single words only where they need not be a gene."""
    known = _term_names()
    given = {fold(name) for name in names if " " in name.strip() or not gene_of(name.strip())[1]}
    spans: list[tuple[int, int]] = []
    # A label may hold signs that the parts of a name do not: it is looked for as it stands.
    for name in sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True):
        if fold(name) in given:
            spans += [one.span() for one in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
    parts = list(_NAME_PART.finditer(text))
    i = 0
    while i < len(parts):
        for n in range(min(_PARTS, len(parts) - i), 1, -1):
            start, end = parts[i].start(), parts[i + n - 1].end()
            said = fold(text[start:end])
            if any(said.removesuffix("s").replace("+ ", by) in known or said in given for by in ("+ ", " ")):
                spans.append((start, end))
                i += n - 1
                break
        i += 1
    return spans


@lru_cache(maxsize=1)
def _term_names() -> frozenset[str]:
    ontology = load_ontology()
    every = {*ontology.names(), *(fold(canonical_phrase(one)) for one in ontology)}
    return frozenset(name for name in every if " " in name)


@lru_cache(maxsize=1)
def _everyday() -> frozenset[str]:
    text = files("scbioverse.knowledge").joinpath("data").joinpath("gene_words.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


@lru_cache(maxsize=1)
def _families() -> dict[str, tuple[str, ...]]:
    """Names of families that are no symbols themselves, and their members."""
    table = load_genes()
    named = [(_MEMBER.fullmatch(symbol), symbol) for symbol in table.symbols]
    members = pd.Series({symbol: match[1] or match[2] for match, symbol in named if match})
    groups = members.groupby(members).groups
    several = {str(name): tuple(some) for name, some in groups.items() if len(some) > 1 and name not in table}
    return several | _BY_HAND


@lru_cache(maxsize=16384)
def gene_of(word: str) -> tuple[tuple[str, ...], bool]:
    """Symbols that a word stands for, and whether it can mean nothing else; no symbols where no table knows it."""
    table, upper = load_genes(), word.upper()
    known = _families().get(upper) or tuple(filter(None, [meanings("surface").get(upper)]))
    if known:
        return known, True
    numbered = any(map(str.isdigit, word))
    hit = table.lookup(word) or (table.lookup(word.replace("-", "")) if numbered else None)
    if hit is not None:
        plain = word.lower() in _everyday() or len(word) < 3
        # Older names without a digit are words more often than not ("not", "flower", "IV").
        return (hit[0],), not plain and (hit[1] != "alias" or numbered)
    # Mouse spelling ("Cd3e") and lower case; without a digit it may be any word.
    hit = table.lookup(upper) if len(word) > 2 else None
    return ((hit[0],), len(word) > 3 and numbered) if hit else ((), False)


def _read(text: str, start: int, word: str) -> list[Mention]:
    """Mentions in one word: whole, without a suffix ("CD3-positive"), or in its pieces ("CD3D-CD3E")."""
    word = word.rstrip(".-")
    end = start + len(word)
    glued = _GLUED.match(word)
    if glued:
        return [Mention(start, end, glued[1], gene_of(glued[1])[0], _SUFFIX[glued[2]])]
    genes, sure = gene_of(word)
    if genes:
        return [_signed(text, Mention(start, end, word, genes, None, sure))]
    pieces = list(re.finditer(r"[^.-]+", word))
    for n in range(len(pieces) - 1, 0, -1):
        head, rest = word[: pieces[n - 1].end()], word[pieces[n].start() :]
        genes, sure = gene_of(head)
        if not genes:
            continue
        suffix = rest.lower()
        if suffix in _SUFFIX:
            return [Mention(start, end, head, genes, _SUFFIX[suffix], True)]
        first = Mention(start, start + len(head), head, genes, None, sure)
        if head.startswith("CD") and rest.startswith("CD") and "+" in (text[end : end + 1], text[start - 1 : start]):
            # "CD3+CD4-CD8+": the hyphen is a sign among signs.
            first = replace(first, sign="absent")
        return [first, *_read(text, start + pieces[n].start(), rest)]
    if len(word) < 3 or word.lower() in _NEVER or word.isdigit():
        return []
    capitals, numbered = word.isupper(), any(map(str.isdigit, word))
    strange = len(word) > 3 and _LIKE_A_GENE.fullmatch(word) and not _NUMBERED.fullmatch(word)
    percent = (capitals or numbered) and _PERCENT.match(text, end)
    if strange or percent or (capitals and word.isalpha()):
        # A word of capitals is meant as a gene only in the place of one ("express ZORBLAX").
        return [_signed(text, Mention(start, end, word, (), None, bool(strange or percent)))]
    return []


def _signed(text: str, mention: Mention) -> Mention:
    sign = _SIGN.match(text, mention.end)
    if not sign:
        return replace(mention, sure=mention.sure or bool(_PERCENT.match(text, mention.end)))
    return replace(mention, end=sign.end(), sign="high" if sign[1] else "absent", sure=True)

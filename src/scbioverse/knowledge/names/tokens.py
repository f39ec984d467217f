"""Cell type names as sets of tokens, so that word order, plurals, signs and gene synonyms do not matter.

`"FCGR3A+ Monocytes"`, `"CD16 Mono"` and `"CD16-positive monocyte"` all become `{"+FCGR3A", "monocyte"}`. The word lists
behind this are kept in `data/words.tsv`, so that they can be edited as a table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from .._read import read_table
from ..genes import load_genes


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


_GREEK = str.maketrans({
    "α": " alpha ", "β": " beta ", "γ": " gamma ", "δ": " delta ", "ε": " epsilon ", "ζ": " zeta ", "θ": " theta ",
    "κ": " kappa ", "λ": " lambda ", "μ": " mu ", "ω": " omega ",
})  # fmt: skip


class _Rules:
    """Patterns with their replacements, and one pattern that matches where any of them does."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.each = [(re.compile(pattern), by) for pattern, by in pairs]
        self.any = re.compile("|".join(f"(?:{pattern})" for pattern, _ in pairs))


# Whole names of several words first: replaced before the name is cut into tokens.
_SPELLING = _Rules(
    (r"\b([tb])[\s-]*(?:lymphocyte|cell)s?\b", r"\1 cell"),
    (r"\bt[\s-]*reg(?:ulatory)?s?\b", "regulatory t"),
    (r"\bt\s*\(?h\)?-?(1|2|9|17|22)\b", r"t helper \1"),
    (r"\bhelper[\s-]?(1|2|9|17|22)\b", r"helper \1"),
    (r"\bhelper t(?: cell)?s?\b", "t helper"),
    (r"\bha?emato?poiei?tic\b|\bhaematopoietic\b|\bhemopoietic\b", "hematopoietic"),
    (r"\bleucocyte", "leukocyte"),
    (r"\boeso", "eso"),
    (r"tumour", "tumor"),
    (r"neurone\b", "neuron"),
    # German: "Monozyt", "B-Zellen", "Mastzelle".
    (r"zyt(?:en|e)?\b", "cyte"),
    (r"[\s-]*zellen?\b", " cell"),
    (r"\bnaïve\b", "naive"),
    (r"\bnon[\s-]+", "non"),
    (r"\bendothelium\b|\bendothelia\b", "endothelial"),
    (r"\b(meso|epi|uro)theli(?:um|a)\b", r"\1thelial"),
    (r"\bvasculature\b|\bvessels?\b", "vascular"),
    (r"\blymphatics?\b|\blymph\b", "lymphatic"),
    (r"\bmicroglias?\b", "microglial"),
    (r"\b(radial |entero|)glias?\b", r"\1glial"),
    (r"\bcortico?thym", "thym"),
    (r"\bgamma[\s/-]*delta\b|\bgammadelta\b", "gammadelta"),
    (r"\balpha[\s/-]*beta\b", "alphabeta"),
    (r"\bdouble[\s-]+(negative|positive)\b", r"double\1"),
    (r"\btriple[\s-]+negative\b", "triplenegative"),
    (r"\bigs?([adegm])\b", r"ig\1"),
    (r"\btype[\s-]+i\b", "type 1"),
    (r"\bcd(\d+)[\s-]+(?=[a-z])", r"cd\1 "),
    (r"\bcd8[\s-]*(?:aa|alpha[\s/]*alpha)\b", "cd8aa"),
    (r"\b(cd[48]a?)[\s.-]+t?(cm|em)\b", r"\1 t\2"),
)

_CD = re.compile(r"^CD\d+[A-Z]*\d?$")
_SIGNS = _Rules(
    (r"(?<=[a-z0-9])[\s-]*(?:\+{1,3}|⁺|(?<=[\s-])positive\b|(?<=[\s-])pos\b|pos\b(?=[\s,/]|$))", " ⊕ "),
    (
        r"(?<=[a-z0-9])(?:⁻|−|-(?=$|[\s/,_;)])|(?<=cd\d)-(?=cd\d)|(?<=cd\d\d)-(?=cd\d)|[\s-]negative\b|[\s-]?neg\b)",
        " ⊖ ",
    ),
    (r"(?<=[a-z0-9])[\s-]?(bright|dim|low|high|hi|lo|int)\b", r" ⊙\1 "),
)
# Behind a word: it is there, it is lacking, it is there at some level.
_MARKS = "⊕⊖⊙"
_CUT = re.compile(r"[^a-z0-9⊕⊖⊙']+")
_LEVEL = {"hi": "high", "bright": "high", "lo": "low", "dim": "low"}
# "mPhi" and words that a capital letter inside sets apart ("ChoroidPlexus", "tipEC", "preB").
_CAMEL = _Rules(
    (r"\bAM[\s-]?[φϕΦøØ]", " alveolar macrophage "),
    (r"\bM[\s-]?[φϕΦøØ]", " macrophage "),
    (r"(?<=[a-z]{3})(?=[A-Z])", " "),
    (r"\b([Pp]r[eo])(?=[BT]\b)", r"\1 "),
    (r"\b(CD[48])(?=T|naive|mem|eff|exh|act|cyc|prol)", r"\1 "),
    (r"\b(EC|NK)(?=[a-z]{3})", r"\1 "),
    (r"\bMuSCs?(?=\d|\b)", "skeletal muscle satellite cell"),
)


def gene_token(word: str, *, signed: bool) -> str | None:
    """Approved symbol of a word that names a gene or surface protein, else None.

    Unsigned words count only as CD numbers or as approved symbols of three characters or more, so that
    abbreviations of cell types (`"PC"`, `"TH"`) stay words.
    """
    upper, table = word.upper(), load_genes()
    if surface := meanings("surface").get(upper):
        return surface
    if _CD.match(upper):
        return table.symbol(upper) or upper
    if signed:
        known = word in table or upper in table
        return upper if known else table.symbol(word) or table.symbol(upper) or upper
    if len(word) < 3 or word.lower() in _abbreviations():
        return None
    if word in table:
        return upper
    return table.symbol(word) if "orf" in word.lower() else None


@lru_cache(maxsize=1)
def _abbreviations() -> frozenset[str]:
    """Words of the curated shorthand that carry no sign: `"RPE"` is a cell there, although it is a gene too."""
    names = (row[0] for row in read_table("shorthand.tsv") if row[3] == "name")
    return frozenset(word.lower() for name in names for word in re.findall(r"[A-Za-z0-9]+\b(?![+])", name))


# The first ending that a word has: endings of singulars, and of plurals with what takes their place.
_ENDINGS = (("ss", "ss"), ("us", "us"), ("is", "is"), ("ies", "y"), ("s", ""), ("", ""))


def _singular(word: str) -> str:
    ending, by = next(pair for pair in _ENDINGS if word.endswith(pair[0]))
    return word if len(word) <= 3 else word[: len(word) - len(ending)] + by


def _apply(rules: _Rules, text: str) -> str:
    # One search over all patterns spares most names the single passes.
    if rules.any.search(text):
        for pattern, by in rules.each:
            text = pattern.sub(by, text)
    return text


@lru_cache(maxsize=65536)
def tokens(name: str) -> tuple[str, ...]:
    """Tokens of a name in order: words in lower case, and genes as `+SYMBOL`, `-SYMBOL` or `+SYMBOLhigh`.

    Stop words are left out, repeated ones stay.
    """
    raw = name.replace("'", "").replace("\u2019", "").replace("_", " ")
    if not raw.isascii():
        raw = "".join(c for c in unicodedata.normalize("NFKD", raw) if not unicodedata.combining(c))
    raw = _apply(_CAMEL, raw)
    capitals = {word for word in re.findall(r"[A-Za-z0-9]+(?:orf\d+)?", raw) if word.upper() == word or "orf" in word}
    text = _apply(_SPELLING, _apply(_SIGNS, raw.lower().translate(_GREEK)))
    parts = list(filter(None, _CUT.split(text.replace("⊕", " ⊕ ").replace("⊖", " ⊖ "))))
    short, stop, surface = meanings("short"), word_set("stop"), meanings("surface")
    found: list[str] = []
    for part, behind in zip(parts, [*parts, " "][1:], strict=True):
        if part[0] in _MARKS:
            continue
        sign, level = (behind[0], _LEVEL.get(behind[1:], behind[1:])) if behind[0] in _MARKS else ("", "")
        known = part.upper() if part.upper() in capitals or _CD.match(part.upper()) else part
        shorthand = part in short and sign in ("", "⊖")
        gene = None if shorthand else gene_token(known, signed=bool(sign))
        if gene and (sign or known != part or _CD.match(gene) or part.upper() in surface):
            found.append(("-" if sign == "⊖" else "+") + gene + level)
            continue
        word = short.get(part) or _singular(part)
        found += [level, *(piece for piece in (short.get(word) or word).split() if piece not in stop)]
    return tuple(filter(None, found))


def strict_key(found: Iterable[str]) -> frozenset[str]:
    """Set of tokens as they are."""
    return frozenset(found)


def loosen(token: str) -> str:
    """One token with an organ's adjective made its noun; empty for fillers and for what a cell lacks."""
    if token.startswith("-") or (token.startswith("+") and token.endswith("low")):
        return ""
    return meanings("loose").get(token, token.removesuffix("high") if token.startswith("+") else token)


def loose_key(found: Iterable[str]) -> frozenset[str]:
    """Set of loosened tokens."""
    return frozenset(word for token in found if (word := loosen(token)))


def is_gene(token: str) -> bool:
    """Whether a token stands for a gene or surface protein."""
    return token[:1] in "+-"

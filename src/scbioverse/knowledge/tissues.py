"""Tissues as people write them, which cell types are listed for which, and how strange a type is in one.

A type is usual in a tissue if it, a kind of it, or, where no table lists it, what it is a kind of is listed there.
Types that live in all organs are usual in all. What is named after another organ is not, whatever it is a kind of.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache

from .._logging import shown_name
from ..errors import InputError
from ._read import read_table, read_text
from .ontology import load_ontology

_ID = re.compile(r"^UBERON[:_](\d{7})$", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_SHOWN = 5
PLACENTA = "UBERON:0001987"
# Words of the longest name that is looked for within a phrase.
_LONGEST = 4


@dataclass(frozen=True)
class Tissue:
    """A tissue for which cell types are listed."""

    id: str  # UBERON id, such as "UBERON:0002048"
    name: str  # plain name, such as "lung"
    within: str = ""  # id of the tissue that it is part of, "" for none


@dataclass(frozen=True)
class _Book:
    tissues: dict[str, Tissue]
    words: dict[str, str]  # folded plain word or name of an UBERON term, to a tissue's id
    ids: dict[str, str]  # UBERON id of a tissue or of what is below it, to the tissue's id


@lru_cache(maxsize=1)
def load_words() -> _Book:
    """Load tissues and the words for them."""
    tissues, words, ids = {}, {}, {}
    for ident, name, listed in read_table("tissues.tsv.gz"):
        ids[ident] = listed
        words[_fold(name)] = listed
    for ident, name, within, said, also, _ in read_table("tissue_names.tsv"):
        tissues[ident] = Tissue(ident, name, within)
        words.update(dict.fromkeys([_fold(one) for one in (name, *said.split("|")) if one], ident))
        ids.update(dict.fromkeys([one for one in (ident, *also.split("|")) if one], ident))
    return _Book(tissues, words, ids)


@lru_cache(maxsize=1)
def _words() -> dict[str, frozenset[str]]:
    """Words by use.

    `shared`: many organs have parts of this name; beside the name of an organ, that counts ("kidney cortex").
    `beside`: how the sample was come by and what ails it, not where it is from.
    `early`: it is of an embryo or fetus, or grown as one.
    """
    rows = read_table("tissue_words.tsv")
    return {use: frozenset(word for word, found in rows if found == use) for use in ("shared", "beside", "early")}


def _fold(text: str) -> str:
    return " ".join(_WORD.findall(text)).casefold()


@lru_cache(maxsize=1)
def load_tissues() -> dict[str, Tissue]:
    """Tissues for which cell types are listed, by id, in the order of the table."""
    return load_words().tissues


def read_tissue(text: str) -> Tissue:
    """Tissue that an UBERON id, or a name in any case, stands for; an :class:`InputError` for none or several.

    What is part of a listed tissue is read as that tissue: "caecum" as large intestine, "PBMC" as blood. Names of
    tumours are read as the tissue that they are of: "breast cancer" as breast. Words beside the name of an organ are
    passed over.
    """
    found = [load_tissues()[one] for one in _read(str(text).strip())]
    if len(found) == 1:
        return found[0]
    if found:
        several = " and ".join(one.name for one in found)
        raise InputError(f"tissue={shown_name(text)!r} names {several}; give one of them.")
    if _ID.match(str(text).strip()):
        raise InputError(f"tissue={shown_name(text)!r} is no UBERON id of a tissue whose cell types are listed here.")
    near = difflib.get_close_matches(_fold(str(text)), load_words().words, n=_SHOWN, cutoff=0.6)
    named = ", ".join(map(repr, near or [one.name for one in load_tissues().values()]))
    raise InputError(f"tissue={shown_name(text)!r} is no tissue known here. {'Near' if near else 'Known'}: {named}.")


def is_early(text: str) -> bool:
    """Whether a name of a tissue says that it is of an embryo or fetus: "fetal liver", "placenta", "cord blood"."""
    words = _fold(text)
    early = bool({*words.split()} & _words()["early"]) or any(one in words for one in ("cord blood", "umbilical"))
    return early or PLACENTA in _read(str(text).strip())


def named_tissues(text: str, *, shared: bool = True) -> list[str]:
    """Ids of the tissues that a phrase names, such as the name of a cell type; other words need not be known.

    With `shared`, words such as "cortical" or "alveolar" are taken for what they mean most often where nothing else is
    named.
    """
    found = _phrases(_fold(text).split())
    return _specific(found) if shared or found.keys() - _words()["shared"] else []


def _read(text: str) -> list[str]:
    book, match = load_words(), _ID.match(text)
    hit = book.ids.get(f"UBERON:{match[1]}") if match else book.words.get(_fold(text))
    if hit or match:
        return [hit] if hit else []
    words = _fold(text).split()
    found = _phrases(words)
    if found.keys() - _words()["shared"]:
        return _specific(found)
    # "Cortex" alone is read; beside a word that is not known, it may be of any organ ("otic vesicle artery").
    beside = _words()["beside"]
    known = {word for phrase in found for word in phrase.split()}
    return _specific(found) if all(word in known or word in beside or word.isdigit() for word in words) else []


def _phrases(words: list[str]) -> dict[str, str]:
    """Longest runs of words that name tissues."""
    book, found, at = load_words(), {}, 0
    while at < len(words):
        for n in range(min(_LONGEST, len(words) - at), 0, -1):
            run = " ".join(words[at : at + n])
            if hit := book.words.get(run) or book.words.get(run.removesuffix("s")):
                found[run] = hit
                break
        at += n
    return found


def _specific(found: dict[str, str]) -> list[str]:
    """Ids without those of shared words, and without what another one is part of."""
    book = load_words()
    own = {hit for run, hit in found.items() if run not in _words()["shared"]} or set(found.values())
    return sorted(own - {book.tissues[one].within for one in own})


@lru_cache(maxsize=1)
def listed_types() -> dict[str, dict[str, str]]:
    """Which sources list a type for a tissue: tissue id to Cell Ontology id to the sources' codes.

    Sources are named in `knowledge/data/README.md`; `N` is the type's own name.
    """
    found: dict[str, dict[str, str]] = {ident: {} for ident in load_tissues()}
    for ident, cl_id, sources in read_table("tissue_types.tsv.gz"):
        found[ident][cl_id] = sources
    return found


@lru_cache(maxsize=1)
def usual_shares() -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
    """Which share of cells broad classes have in a tissue: names of the classes; tissue id (`""` others) to shares.

    Round numbers of textbooks, kept by hand; the last class is what other organs do not have.
    """
    header, *rows = [line.split("\t") for line in read_text("tissue_mix.tsv").splitlines()]
    return tuple(header[2:]), {row[1]: tuple(map(float, row[2:])) for row in rows}


# ------------------------------------------------------------------ where types live

# How strange a type is with near kin in a tissue, of a neighbouring one, of many organs or of none that is known.
PARTLY = 0.25
# Roots of types that all organs have: leukocyte, endothelial cell, fibroblast, pericyte, smooth muscle cell,
# myofibroblast, Schwann cell, adipocyte, erythrocyte, platelet, neoplastic cell.
EVERYWHERE = (
    "CL:0000738", "CL:0000115", "CL:0000057", "CL:0000669", "CL:0000192", "CL:0000186", "CL:0002573", "CL:0000136",
    "CL:0000232", "CL:0000233", "CL:0001063",
)  # fmt: skip
LEUKOCYTE = "CL:0000738"
# Leukocytes of one organ each: tissue-resident macrophages, thymocytes.
OF_ONE_ORGAN = ("CL:0000864", "CL:0000893")
# A kind of stromal or vessel cell that so many organs list is one of all.
IN_MANY = 4
# A type that so many organs list, of whatever kind, is partly one of all.
IN_MOST = 6
# Terms with more kinds say too little of where a kind of them lives, and of where their kin do.
BROAD, KIN = 100, 30


@dataclass(frozen=True)
class Home:
    """Where a type lives, as far as the tables say: ids of tissues."""

    named: frozenset[str]
    listed: frozenset[str]
    kin: frozenset[str]
    everywhere: bool
    organs: int


@lru_cache(maxsize=1)
def _listed() -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    """Tissues that list a term itself, those that list it or a kind of it, and those that its name is of."""
    ontology = load_ontology()
    own, below, named = (defaultdict[str, set[str]](set) for _ in range(3))
    for tissue, types in listed_types().items():
        for cl_id, sources in types.items():
            own[cl_id].add(tissue)
            for one in (cl_id, *ontology.ancestors(cl_id)):
                below[one].add(tissue)
            if "N" in sources:
                named[cl_id].add(tissue)
    return own, below, named


def _nearest(cl_id: str, found: dict[str, set[str]]) -> frozenset[str]:
    """Tissues of a term, else of the nearest terms above it that have some and are not broad."""
    ontology, layer = load_ontology(), {cl_id}
    while layer:
        hits = [found[one] for one in layer if one in found]
        if hits:
            return frozenset().union(*hits)
        layer = {up for one in layer for up in ontology.parents(one) if len(ontology.descendants(up)) <= BROAD}
    return frozenset()


@cache
def home_of(cl_id: str) -> Home:
    """Return where a type lives."""
    ontology, (own, below, of_name) = load_ontology(), _listed()
    above = {cl_id, *ontology.ancestors(cl_id)}
    named = _nearest(cl_id, of_name)
    kin = [below.get(one, ()) for one in ontology.parents(cl_id) if len(ontology.descendants(one)) <= KIN]
    organs = len({load_tissues()[one].within or one for one in own.get(cl_id, ())})
    loose = LEUKOCYTE in above or organs >= IN_MANY or cl_id not in own or cl_id in EVERYWHERE
    everywhere = bool(above & set(EVERYWHERE)) and not above & set(OF_ONE_ORGAN) and loose
    return Home(named, _nearest(cl_id, below), frozenset().union(*kin), everywhere and not named, organs)


@cache
def with_parts(ident: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return a tissue with its parts, and the same of what it is part of."""
    within = {one.id: one.within for one in load_tissues().values()}
    whole = within[ident] or ident
    parts = {one for one, of in within.items() if of == ident}
    beside = {one for one, of in within.items() if of == whole}
    return frozenset({ident, *parts}), frozenset({whole, *beside})


@lru_cache(maxsize=1 << 15)
def strangeness(cl_id: str, ident: str) -> float:
    """How far a type is from being usual in a tissue: 0, :data:`PARTLY` or 1."""
    home, (inside, around) = home_of(cl_id), with_parts(ident)
    whole = load_tissues()[ident].within
    if (home.named | home.listed) & (inside | {whole}) or home.everywhere:
        return 0.0
    if home.named:
        return PARTLY if (home.named | home.listed) & around else 1.0
    partly = not home.listed or home.listed & around or home.kin & inside or home.organs >= IN_MOST
    return PARTLY if partly else 1.0

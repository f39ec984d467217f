"""Tissues as people write them, and which cell types are listed for which tissue."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

from .._shown import shown_name
from ..errors import InputError
from ._read import read_table, read_text

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


def list_tissues() -> tuple[Tissue, ...]:
    """Tissues for which cell types are listed, in the order of the table."""
    return tuple(load_words().tissues.values())


def tissue_of(ident: str) -> Tissue:
    """Tissue of an id out of :func:`list_tissues`."""
    return load_words().tissues[ident]


def read_tissue(text: str) -> Tissue:
    """Tissue that an UBERON id, or a name in any case, stands for; an :class:`InputError` for none or several.

    What is part of a listed tissue is read as that tissue: "caecum" as large intestine, "PBMC" as blood. Names of
    tumours are read as the tissue that they are of: "breast cancer" as breast. Words beside the name of an organ are
    passed over.
    """
    found = [tissue_of(one) for one in _read(str(text).strip())]
    if len(found) == 1:
        return found[0]
    if found:
        several = " and ".join(one.name for one in found)
        raise InputError(f"tissue={shown_name(text)!r} names {several}; give one of them.")
    if _ID.match(str(text).strip()):
        raise InputError(f"tissue={shown_name(text)!r} is no UBERON id of a tissue whose cell types are listed here.")
    near = difflib.get_close_matches(_fold(str(text)), load_words().words, n=_SHOWN, cutoff=0.6)
    named = ", ".join(repr(one) for one in near or [one.name for one in list_tissues()])
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
    found: dict[str, dict[str, str]] = {one.id: {} for one in list_tissues()}
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

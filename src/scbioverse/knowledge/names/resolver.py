"""From a label as people write it to a Cell Ontology term.

The whole name is looked up first: as a label, as known shorthand, as a synonym. Where it leads nowhere, ever shorter
readings of it are tried: without parentheses, without gene names, states, places and numbers. The last resort is the
heaviest known name that stands inside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..ontology import ROOT, fold, load_ontology
from .counted import are_counted, cuts, in_doubt
from .index import Hit, How, NameIndex, load_index
from .joined import nearest_common, parts_of, topmost
from .readings import ADJECTIVES, best_part, contradicts, readings, without_restated
from .short_names import abbreviated, prefixed, readings_in, shorthand_for
from .tokens import is_gene, loose_key, meanings, strict_key, tokens, word_set


@dataclass(frozen=True)
class Resolution:
    """What a name was resolved to."""

    name: str  # as given
    cl_id: str | None
    term_label: str  # the ontology's label of that id, or the name itself
    # "id" (the name was an id), "exact" (a label), "synonym" (a synonym or known shorthand), "rule" (after dropping or
    # reading parts of the name), "marker" (the name was only a gene), "none".
    how: How
    score: float  # trust from 0 to 1; a rank of the rules, not a probability
    because: str = ""  # names in the same list that decided between several readings, and where they are from
    # Ids of the types that a name joins ("B/Plasma"), of which it is any; empty for all others. `cl_id` is then what
    # the words say together, or the nearest term that holds all.
    parts: tuple[str, ...] = ()


_ID = re.compile(r"^CL[:_](\d{7})$", re.IGNORECASE)
_NUMBER = re.compile(
    r"^(?:(?:cluster|clust|leiden|louvain|seurat|group|c|k)[\s_.:#-]*)?(?:\d+(?:\.\d+)?(?:[,_]\d+)*)$", re.IGNORECASE
)
_NO_TYPE = re.compile(
    r"\b(unknowns?|unassigned|ungated|unclassified|unidentified|undefined|undetermined|unspecified|unannotated|doublets?"
    r"|dbl?ts?|ambient|dying|unk|multiplets?|low[\s_-]*quality|debris|ambiguous|nan|none|n/?a|null|empty|artifacts?"
    r"|contamina\w+|cell[\s-]*lines?"
    r"|^not?\b(?=[\s-])|junk|outliers?|filtered|removed?|to be removed|not assigned|no label)\b",
    re.IGNORECASE,
)
# Below this score a name was read by a part of it.
_WEAK = 0.6
# A reading that is a guess says nothing of where a list is from, and a name is not cut to reach one.
SURE = 0.75
_MALIGNANT_ID = "CL:0001064"
_DIVIDING = frozenset({"cycling", "proliferating", "dividing", "mitotic", "cyc", "+MKI67"})
_SAID_MALIGNANT = frozenset({"malignant", "cancer", "neoplastic"})
# A number behind a plural or an underscore counts clusters ("B cells 1", "NK_2"); the one in "B-1" does not.
_CLUSTER = re.compile(r"(?:(?<=cell)|(?<=cells)|(?<=s))[\s_-]+\d+$|_\d+$", re.IGNORECASE)
# So does the one in "stromal cell type 2a"; types known by number ("alveolar cell type 2") are looked up first.
_TYPE = re.compile(r"(?<=\w)[\s_-]+type[\s_-]*(?:\d+[a-z]?|[a-z]|[ivx]+)$", re.IGNORECASE)
# The code of a cluster between what it was cut from and what it is: "Myeloid_c10_Macrophage_1".
_CODE = re.compile(r"(?:^|(?<=[\s._-]))c(?:l|luster)?[\s_-]?\d{1,3}(?:[\s._:-]+|$)", re.IGNORECASE)
# "AT2-like tumor" is malignant, and no AT2.
_LIKE_A_TUMOR = re.compile(r"[\s_-]like[\s_-]+tumou?rs?\b", re.IGNORECASE)
# What a cell was derived from is not what it is: "MBC-derived IgG+ PC".
_DERIVED = re.compile(r"^\S+-derived\s+(?=\S)", re.IGNORECASE)
# A code of letters and a number, with the name in brackets: "cTNI05 (CD4+ IL17A+)".
_CODE_BEFORE = re.compile(r"^(?:[A-Za-z]{1,4}-?\d{2,3}|c[A-Z]{1,4}\d)\s*\(([^()]+)\)$")
# A letter for human or mouse before a name: "hPericyte", "hcDC2B".
_SPECIES = re.compile(r"[hm](?=[a-z]{0,2}[A-Z])")
_BRACKETED = re.compile(r"\([^)]*\)?")
_SPLIT = re.compile(r"\s*(?:/|\bor\b|\band\b|&|;)\s*", re.IGNORECASE)


def resolve_label(name: str, *, context: str | None = None) -> Resolution:
    """Resolve one label, such as `"FCGR3A+ Monocytes"`, `"Tregs"`, `"CD4 T"` or `"CL:0000236"`.

    `context` is free text that names the organ, such as `"pancreas"`; it decides where a name means different cells in
    different organs, and prefers the organ's own term where there is one (`"fibroblast"` in `"lung"`). `cl_id` is None
    for numbers, for words such as "unassigned", and where nothing fits.
    """
    return _resolve(str(name), (context or "").strip().lower())


def resolve_by_rules(name: str) -> Resolution:
    """Resolve one label without the bundled crosswalks, to see what ontology, shorthand and rules alone can do."""
    return _resolve(str(name), "", crosswalk=False, abbreviations=False)


def resolve_table_entry(name: str) -> Resolution:
    """Resolve a name of a published table, in which abbreviations stand for what its authors say, not for a guess."""
    return _resolve(str(name), "", abbreviations=False)


@lru_cache(maxsize=65536)
def _resolve(name: str, context: str, crosswalk: bool = True, abbreviations: bool = True) -> Resolution:
    text = " ".join(name.split())
    parts: tuple[str, ...] = ()
    hit: Hit | None = None
    if match := _ID.match(text):
        cl_id = f"CL:{match[1]}"
        hit = (cl_id, "id", 1.0) if cl_id in load_ontology() else None
    elif text and not says_no_type(text) and not (abbreviations and in_doubt(text)):
        # Published tables are read as they stand: their names carry no clusters, and one row is of one type.
        if abbreviations and (bare := without_count(text)) != text:
            found = _resolve(bare, context, crosswalk)
            hit = _as_rule((str(found.cl_id), found.how, found.score), min(found.score, 0.9)) if found.cl_id else None
            parts = found.parts
        else:
            hit = _read(text, context, crosswalk, abbreviations)
            parts = _joined(text, hit, crosswalk) if abbreviations else ()
    if parts and hit and not _holds_all(hit[0], parts) and hit[0] not in parts and (shared := nearest_common(parts)):
        hit = (shared, "rule", 0.8)
    if hit is None or (hit[0] == ROOT and hit[1] != "id"):
        return Resolution(name, None, name, "none", 0.0, "", parts)
    cl_id, how, score = hit
    return Resolution(name, cl_id, load_ontology().term(cl_id).label, how, round(score, 3), "", parts)


def _joined(text: str, hit: Hit | None, crosswalk: bool) -> tuple[str, ...]:
    """Ids of the types that a name joins, where each part is the name of a type by itself and the whole is of none."""
    written = parts_of(text)
    if not written or any(one.lower() in ADJECTIVES or says_no_type(one) for one in written):
        return ()
    read = [_resolve(one, "", crosswalk) for one in written]
    if any(one.cl_id is None or one.how not in ("exact", "synonym") or one.score < SURE for one in read):
        return ()
    parts = topmost([str(one.cl_id) for one in read])
    known = fold(text) in load_ontology().names() or _as_spelt(text, True) or abbreviated(text)
    # A name that is known, and is no more than a term for all of them, says no less.
    return parts if len(parts) > 1 and (not known or (hit is not None and _holds_all(hit[0], parts))) else ()


def _holds_all(cl_id: str, parts: tuple[str, ...]) -> bool:
    return all(load_ontology().is_ancestor(cl_id, one) for one in parts)


def _read(text: str, context: str, crosswalk: bool, abbreviations: bool) -> Hit | None:
    index, found = load_index(crosswalk=crosswalk), tokens(text)
    return _in_context(text, found, context, index) or _as_written(text, index, abbreviations)


def _as_written(text: str, index: NameIndex, abbreviations: bool) -> Hit | None:
    """Read a name, or what is left of one, by itself."""
    found = tokens(text)
    hit = _as_spelt(text, abbreviations)
    # A letter alone, but for B and T, is a cell only where other names or the organ say so.
    if hit is None and len(text) > 1 and not is_place(text, found):
        # What is a gene's name, too, is read as a cell only beside other names of cells: see `company.py`.
        short = abbreviations and not all(map(is_gene, found))
        hit = (short and _abbreviated(text, 0.95)) or _search(text, found, index, abbreviations)
        if short and (hit is None or hit[2] < _WEAK):
            hit = _abbreviated(text, 0.75, loosely=True) or hit
        if abbreviations and hit is None and _SPECIES.match(text):
            bare = _as_written(text[1:], index, abbreviations)
            hit = _as_rule(bare, 0.75) if bare and bare[2] >= SURE else None
    return hit


def without_count(name: str, beside: Collection[str] = ()) -> str:
    """Return a name without the number of its cluster: "1: B cell" is "B cell"; names known with a number stay.

    `beside` are the names of the same list, which tell what "B 2" is: "B" where others are numbered, too.
    """
    text = " ".join(name.split())
    if in_doubt(text):
        return "B" if are_counted(beside) else name
    if not any(map(str.isdigit, text)) or _as_spelt(text, True) or abbreviated(text):
        return name
    return next((bare for bare, only in cuts(text) if not only or _is_a_name(bare)), name)


def _is_a_name(text: str) -> bool:
    return bool(readings_in(text)) or _resolve(text, "").score >= SURE


def says_no_type(text: str) -> bool:
    """Whether a name is a number, or says that it is of no type: "Doublets T", "3"."""
    return bool(_NUMBER.match(text) or _NO_TYPE.search(text.replace("_", " ")))


def _as_spelt(text: str, abbreviations: bool) -> Hit | None:
    if label := load_ontology().find_label(text):
        return label, "exact", 1.0
    known = (abbreviations and prefixed(text)) or shorthand_for(text)
    return (known, "synonym", 0.95) if known else None


def _abbreviated(text: str, score: float, *, loosely: bool = False) -> Hit | None:
    known = abbreviated(text, loosely=loosely)
    return (known, "rule" if loosely else "synonym", score) if known else None


def is_place(text: str, found: tuple[str, ...]) -> bool:
    """Whether a name says where cells were or in what state, and not that they are cells: "adult heart"."""
    # Words that are names of cells by hand ("muscle", "tumor") are looked up as they stand.
    named = frozenset(found) in load_index(crosswalk=False).curated
    said = set(re.findall(r"[^\W_]+", text.lower()))
    return bool(found) and not named and said <= (word_set("organ") | word_set("state")) - {"cells"}


def organs_in(context: str) -> list[str]:
    """Organs that free text names; a word is enough: "adult human lung" is lung."""
    context = context.strip().lower()
    said = set(re.findall(r"[a-z]+", context))
    return [organ for organ, words in meanings("context").items() if organ == context or said & set(words.split())]


def _in_context(text: str, found: tuple[str, ...], context: str, index: NameIndex) -> Hit | None:
    if not context or not found:
        return None
    organs = organs_in(context)
    tries = ((found, 0.95), *readings(found, index)) if organs else ()
    short = readings_in(text)
    if known := next((short[organ] for organ in organs if organ in short), None):
        return known, "synonym", 0.95
    for organ in organs:
        for reading, score in tries:
            by_hand = index.by_context.get((organ, strict_key(reading)))
            own = index.loose.get(loose_key((*reading, *organ.split())))
            if by_hand or own:
                return (by_hand, "synonym", score) if by_hand else (str(own), "rule", min(score, 0.9))
    return None


def _search(text: str, found: tuple[str, ...], index: NameIndex, abbreviations: bool) -> Hit | None:
    return next((hit for hit in _ways(text, without_restated(found), index, abbreviations) if hit), None)


def _ways(text: str, found: tuple[str, ...], index: NameIndex, abbreviations: bool) -> Iterator[Hit | None]:
    """Try the whole name, then readings of it that keep less and less; what leads nowhere is None."""
    if strict_key(found) not in index.curated and _CLUSTER.search(text):
        yield _as_rule(index.get(without_restated(tokens(_CLUSTER.sub("", text)))), 0.85)
    if _DIVIDING & set(found):
        # The ontology's name for a type that divides, where it has one.
        yield _as_rule(index.get(["cycling", *(token for token in found if token not in _DIVIDING)]), 0.9)
    if abbreviations and (derived := _DERIVED.match(text)) and not index.knows(found):
        yield _shorter(text[derived.end() :], index, abbreviations)
    yield index.get(found) if found else None
    if found and all(map(is_gene, found)):
        yield _by_genes(found, index)
        return
    if _TYPE.search(text):
        yield _shorter(_TYPE.sub("", text), index, abbreviations)
        return
    if code := _CODE.search(text):
        # What stands behind the code; with what stands before it, where that alone says which cell; or that alone.
        before, behind = text[: code.start()].strip(" ._-"), text[code.end() :]
        both = (f"{before} {behind}", behind) if all(map(is_gene, tokens(before))) else (behind, f"{before} {behind}")
        yield next(filter(None, (_shorter(part, index, abbreviations) for part in (*both, before))), None)
        return
    like_a_tumor = abbreviations and _LIKE_A_TUMOR.search(text)
    if like_a_tumor or any(set(tokens(part)) & _SAID_MALIGNANT for part in _BRACKETED.findall(text)):
        yield _MALIGNANT_ID, "rule", 0.8
    yield _outside_and_inside(text, index)
    if abbreviations and (inside := _CODE_BEFORE.match(text)):
        yield _shorter(inside[1], index, abbreviations)
    if word_set("malignant") & set(found):
        # Which cell it once was is not what it is: "malignant B cell" is not a B cell for a reference of healthy ones.
        yield _MALIGNANT_ID, "rule", 0.6
    yield _either(text, index)
    divides = ("cycling",) if abbreviations and _DIVIDING & set(found) else ()
    for reading, score in readings(found, index):
        of_dividing = divides and index.get((*divides, *(token for token in reading if token not in _DIVIDING)))
        hit = of_dividing or index.get(reading)
        yield None if hit is None or hit[0] == ROOT or contradicts(found, hit[0]) else _as_rule(hit, score)
    yield best_part(text, found, index)


def _as_rule(hit: Hit | None, score: float) -> Hit | None:
    return hit and (hit[0], "rule", score)


def _shorter(text: str, index: NameIndex, abbreviations: bool) -> Hit | None:
    """Read what is left of a name without a code or a count."""
    known = _abbreviated(text, 0.75, loosely=True) if abbreviations else None
    hit = known or _as_written(text, index, abbreviations)
    return hit and (hit[0], "rule", min(hit[2], 0.8))


def _by_genes(found: tuple[str, ...], index: NameIndex) -> Hit | None:
    keys = [strict_key(found[:size]) for size in range(len(found), 0, -1)]
    known = (table[key] for key in keys for table in (index.marker, index.curated) if key in table)
    return next(((cl_id, "marker", 0.6) for cl_id in known), None)


def _outside_and_inside(text: str, index: NameIndex) -> Hit | None:
    """Resolve "A (B)" to A, or to B where B is a kind of A ("immune cell (B cells)")."""
    if "(" not in text:
        return None
    outside = index.get(tokens(_BRACKETED.sub(" ", text)))
    inside = [hit for part in re.findall(r"\(([^)]*)\)", text) if part.strip() and (hit := index.get(tokens(part)))]
    ontology = load_ontology()
    if outside and outside[0] != ROOT:
        below = [hit for hit in inside if ontology.is_ancestor(outside[0], hit[0])]
        return (below[0] if below else outside)[0], "rule", 0.85
    return (inside[0][0], "rule", 0.8) if inside else None


def _either(text: str, index: NameIndex) -> Hit | None:
    """Resolve "A/B" to the broader of two related types, or to their nearest common ancestor if that is specific."""
    parts = [tokens(part) for part in _SPLIT.split(_BRACKETED.sub(" ", text)) if part.strip()]
    if len(parts) < 2 or any(all(map(is_gene, found)) for found in parts):
        return None
    hits = [index.get(found) or index.get(set(found) - word_set("state")) for found in parts]
    if None in hits:
        return None
    ids, ontology = [hit[0] for hit in hits if hit], load_ontology()
    shared = set.intersection(*({one, *ontology.ancestors(one)} for one in ids))
    specific = [one for one in shared if one in ids or len(ontology.descendants(one)) <= 200]
    # The deepest shared term; the id breaks ties so that the order of the parts does not matter.
    best = max(specific, key=lambda one: (ontology.depth(one), one), default=None)
    return (best, "rule", 0.7) if best else None

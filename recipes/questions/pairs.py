"""Pairs of a question and the line of its query, with the names of made-up data sets linked and replaced.

A question is drawn with names of a schema, linked as a user's is (:class:`scbioverse.ask.link.Names`), and its names
are replaced. Where linking reads other names than were meant, the pair is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

import scbioverse as sb
from recipes.questions.phrasings import SLOT, Drawn, section
from scbioverse.ask.accounting import hopeless, unaccounted
from scbioverse.ask.chunks import linked
from scbioverse.ask.linear import NONE, query_of
from scbioverse.ask.link import Names
from scbioverse.ask.slots import slots_of
from scbioverse.tl._ask import asked_rows

_AS = dict(zip("TPGMCNHORUDXY", "TTGMCNNNRMMMM", strict=True))
JUNK = section("junk")[0][0].split("|")
# How often a question has an answer that no query can give, by what it asks or by one word; how often rows are named.
_IMPOSSIBLE, _NAMED = 0.07, 0.7
_CELLS = 240
_SECTIONS = (
    "where",
    "among",
    "by",
    "sides",
    "rank",
    "check",
    "filter",
    "any",
    "ratio",
    "difference",
    "rows",
    "of",
    "top",
)
_MEASURED = ["UMIs", "mitochondrial percentage", "UMI count", "n_genes", "genes detected", "mitochondrial reads"]
_WEIGHED = {
    "molecules": [
        "molecular weight",
        "logP",
        "polar surface area",
        "mass",
        "formal charge",
        "lipophilicity",
        "TPSA",
        "mw",
    ],
    "proteins": ["length", "mass", "molecular weight", "isoelectric point"],
}
_RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
_KINDS = ("cells 1", "cells 2", "cells 3", "molecules", "proteins")


@dataclass(frozen=True)
class Schema:
    """Names of made-up data, linked, and the pools that slots are filled from."""

    names: Names
    pools: dict[str, list[str]]
    noun: str


@dataclass(frozen=True)
class Pair:
    """A question with placeholders, and its line."""

    text: str
    line: str
    asked: str


def schemas(seed: int = 0, kinds: Sequence[str] = _KINDS) -> list[Schema]:
    """Make the data sets that questions are about: cells of made-up studies, molecules, proteins."""
    rng = np.random.default_rng(seed)
    return [_table(one, rng) if one in _WEIGHED else _cells(one, rng) for one in kinds]


def _pools(name: str) -> dict[str, list[str]]:
    return {key: names.split("|") for key, names in section(name)}


def _cells(name: str, rng: np.random.Generator) -> Schema:
    columns, common = _pools(name), _pools("pools")
    measures = columns.pop("numbers")
    obs = pd.DataFrame({one: pd.Categorical(np.resize(groups, _CELLS)) for one, groups in columns.items()})
    obs[measures] = rng.random((_CELLS, len(measures))) * 100
    obs.index = [f"barcode{i}" for i in range(_CELLS)]
    matrix = sparse.csr_matrix(rng.poisson(0.8, (_CELLS, len(common["G"]))).astype(np.float32))
    adata = ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=common["G"]))
    types, clusters, *_ = columns
    groups = [[f"cluster {one}" if one.isdigit() else one for one in columns[column]] for column in list(columns)[1:]]
    pools = _kin(groups) | {
        "T": [said for one in columns[types] for said in (one, f"{one}s")],
        "C": [*columns, *(f"{one}s" for one in columns), "cluster", "clusters", "cell type", "cell types"],
        "M": [*measures, *_MEASURED],
    }
    return Schema(Names(_rows(adata, "cell", clusters)), common | pools, "cells")


def _table(kind: str, rng: np.random.Generator) -> Schema:
    """Make a table of molecules or of proteins; the first of its columns says what each is."""
    pools = _pools(kind)
    if kind == "molecules":
        table = pd.DataFrame(section("drugs"), columns=["name", "smiles"])
    else:
        sequences = ["".join(rng.choice(list(_RESIDUES), 60)) for _ in pools["names"]]
        table = pd.DataFrame({"name": pools.pop("names"), "sequence": sequences})
    table = table.set_index("name")
    columns = {name: pools.pop(name) for name in [one for one in pools if len(one) > 1]}
    for name, groups in columns.items():
        table[name] = np.resize(groups, len(table))
    first, *others = columns
    pools |= _kin([columns[name] for name in others]) | {
        "T": [said for one in columns[first] for said in (one, f"{one}s")], "C": list(columns), "M": _WEIGHED[kind],
        "R": list(table.index),
    }  # fmt: skip
    read = sb.pp.molecules(table) if kind == "molecules" else sb.pp.proteins(table)
    return Schema(Names(_rows(read, kind[:-1], None)), _pools("pools") | pools, kind)


def _kin(columns: list[list[str]]) -> dict[str, list[str]]:
    """Pool the groups of some columns, and by each group those of its column."""
    return {"P": [one for groups in columns for one in groups]} | {one: groups for groups in columns for one in groups}


def _rows(adata: Any, modality: str, groupby: str | None) -> Any:
    return asked_rows(
        adata, modality=modality, reference=None, text_key="text", model="none", device="cpu", key=None, layer=None,
        groupby=groupby, cells=None, key_added="bioverse",
    ).rows  # fmt: skip


def draw(rng: np.random.Generator, schema: Schema) -> Pair | None:
    """Draw one pair; None where what was drawn cannot be meant, or is linked otherwise."""
    drawn = Drawn(rng, schema.pools)
    of_rows = schema.noun != "cells"
    try:
        if rng.random() < _IMPOSSIBLE:
            text, line = drawn.fresh(drawn.one_of("impossible")[1], "")[0], NONE
        else:
            text, line = drawn.question("named" if of_rows and rng.random() < _NAMED else "any")
    except (KeyError, ValueError):
        return None
    places = [found.start() for found in re.finditer(r"<[TPC]|\bcells?\b", text)]
    if line != NONE and places and rng.random() < _IMPOSSIBLE:
        at = places[rng.integers(len(places))]
        text, line = f"{text[:at]}{JUNK[rng.integers(len(JUNK))]} {text[at:]}", NONE
    said = SLOT.sub(lambda found: drawn.filled[found[1]], text)
    if of_rows:
        nouns = ["molecule", "compound", "drug"] if schema.noun == "molecules" else ["protein", "protein", "sequence"]
        said = re.sub(r"\bcell(s?)\b", rf"{nouns[rng.integers(3)]}\1", said)
    return _linked(_sloppy(rng, said), line, SLOT.findall(text), schema)


def _sloppy(rng: np.random.Generator, text: str) -> str:
    """Write as people do: with or without a question mark, a capital, polite words, articles."""
    text = re.sub(r"\s+([,:?])", r"\1", " ".join(text.split())).strip(" ,")
    if rng.random() < 0.2:
        polite = [
            "please, ",
            "hi, ",
            "can you tell me ",
            "i would like to know: ",
            "i need to know ",
            "so, ",
            "ok: ",
            "hey, ",
            "quick question: ",
        ]
        text = polite[rng.integers(len(polite))] + text
    if rng.random() < 0.12:
        tails = [
            " please",
            " in total",
            " here",
            " for me",
            ", thanks",
            " exactly",
            " right now",
            " in this experiment",
            " in this dataset",
        ]
        text += tails[rng.integers(len(tails))]
    if rng.random() < 0.15:
        text = re.sub(r"\b(the|a|an|of the) ", "", text, count=1)
    return text + ("?" if rng.random() < 0.6 else "")


def _linked(asked: str, line: str, slots: list[str], schema: Schema) -> Pair | None:
    """Link what was drawn, and replace its slots by the placeholders of what was linked."""
    # "In this experiment" is the rules' to read.
    links = [one for one in linked(asked, schema.names) if one.role != "HERE"]
    held = slots_of(links, schema.names)
    # What holds a word that no line can say is never shown to the model, and what is not accounted for never taken.
    if held is None or hopeless(links):
        return None
    found = [name for _, name in held.links if name]
    if [one[0] for one in found] != [_AS[one[0]] for one in slots]:
        return None
    place = dict(zip(slots, found, strict=True))
    line = SLOT.sub(lambda slot: place[slot[1]], line)
    if line != NONE:
        line = in_order(line, list(held.held))
        try:
            query_of(line.split(), held.held, schema.names)
        except (ValueError, KeyError, IndexError, TypeError):
            return None
        if unaccounted(held, line.split()):
            return None
    return Pair(held.text, line, asked)


def in_order(line: str, names: list[str]) -> str:
    """Put what is joined by "and" or "or" in the order of the question, so that each query has one line."""

    def place(part: str) -> int:
        return min((names.index(one) for one in part.split() if one in names), default=0)

    def ordered(text: str) -> str:
        clauses = [" or ".join(sorted(one.split(" or "), key=place)) for one in text.split(" and ")]
        return " and ".join(sorted(clauses, key=place))

    parts = re.split(rf"( ?\b(?:{'|'.join(_SECTIONS)})\b ?| to )", line)
    joint = any(one in line for one in (" and ", " or "))
    return "".join(ordered(one) if " and " in one or " or " in one else one for one in parts) if joint else line


def pairs(n: int, seed: int, some: list[Schema]) -> list[Pair]:
    """Draw so many pairs, no question twice."""
    rng = np.random.default_rng(seed)
    found: dict[str, Pair] = {}
    while len(found) < n:
        schema = some[int(rng.integers(len(some)))]
        one = draw(rng, schema)
        if one is not None:
            found.setdefault(one.text, one)
    return list(found.values())

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
from scbioverse.ask.linear import NONE, query_of
from scbioverse.ask.link import Names
from scbioverse.ask.slots import slots_of
from scbioverse.tl._ask import asked_rows

_AS = dict(zip("TPGMCNHORUDXY", "TTGMCNNNRMMMM", strict=True))
JUNK = section("junk")[0][0].split("|")
# How often a question has an answer that no query can give, by what it asks or by one word; how often rows are named.
_IMPOSSIBLE, _NAMED = 0.07, 0.7
_CELLS = 240
_MEASURED = ["UMIs", "mitochondrial percentage", "UMI count", "n_genes", "genes detected", "mitochondrial reads"]
_WEIGHED = ["molecular weight", "logP", "polar surface area", "mass", "formal charge", "lipophilicity"]


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


def schemas(seed: int = 0, kinds: Sequence[str] = ("cells 1", "cells 2", "cells 3", "molecules")) -> list[Schema]:
    """Make the data sets that questions are about: cells of made-up studies, and molecules."""
    rng = np.random.default_rng(seed)
    return [_molecules() if one == "molecules" else _cells(one, rng) for one in kinds]


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
    groups = [one for column in list(columns)[1:] for one in columns[column]]
    pools = {
        "T": [said for one in columns[types] for said in (one, f"{one}s")],
        "P": [f"cluster {one}" if one.isdigit() else one for one in groups],
        "C": [*columns, *(f"{one}s" for one in columns), "cluster", "clusters", "cell type", "cell types"],
        "M": [*measures, *_MEASURED],
    }
    return Schema(Names(_rows(adata, "cell", clusters)), common | pools, "cells")


def _molecules() -> Schema:
    table = pd.DataFrame(section("drugs"), columns=["name", "smiles"]).set_index("name")
    pools = _pools("molecules")
    columns = {name: pools.pop(name) for name in ("family", "status", "vendor")}
    for name, groups in columns.items():
        table[name] = np.resize(groups, len(table))
    pools |= {
        "T": [said for one in columns["family"] for said in (one, f"{one}s")], "C": list(columns), "M": _WEIGHED,
        "P": [*columns["status"], *columns["vendor"]], "R": list(table.index),
    }  # fmt: skip
    return Schema(Names(_rows(sb.pp.molecules(table), "molecule", None)), _pools("pools") | pools, "molecules")


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
        said = re.sub(r"\bcell(s?)\b", [r"molecule\1", r"compound\1", r"drug\1"][rng.integers(3)], said)
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
    held = slots_of(schema.names.link(asked), schema.names)
    if held is None:
        return None
    found = [name for _, name in held.links if name]
    if [one[0] for one in found] != [_AS[one[0]] for one in slots]:
        return None
    place = dict(zip(slots, found, strict=True))
    line = SLOT.sub(lambda slot: place[slot[1]], line)
    if line != NONE:
        try:
            query_of(line.split(), held.held, schema.names)
        except (ValueError, KeyError, IndexError, TypeError):
            return None
    return Pair(held.text, line, asked)


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

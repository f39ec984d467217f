"""Pairs of a molecule and a caption: what trains, what tunes, what tests.

ChEBI's definitions, roles and classes (CC BY 4.0) are written as captions in the style of ChEBI-20 (Edwards et al.
2021, doi:10.18653/v1/2021.emnlp-main.47); the real captions that are openly to be had come beside them: they are of
ChEBI-20's validation molecules, most of which train here and some of which are put aside for development. A molecule is
known by its canonical SMILES, stereo included, of the whole and of its largest part alone: no training molecule is one
of development or test in either form.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pandas as pd

from scbioverse.datasets import fetch
from scbioverse.pp._smiles import parse_smiles

REBUILT, REAL = "chebi_smiles_definitions", "chebi20_open"
COLUMNS = ["smiles", "canonical", "parent", "text", "source", "row", "split"]
# Real captions put aside to choose settings by; the open test molecules are for the last look alone.
N_DEVELOPMENT = 300
# In the order of Unicode, where sigma stands twice.
_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"),
    *("lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma"),
    *("tau", "upsilon", "phi", "chi", "psi", "omega"),
)
_SPELT = str.maketrans(
    {chr(0x3B1 + i): name for i, name in enumerate(_GREEK)}
    | {chr(0x391 + i): name.title() for i, name in enumerate(_GREEK)}
)
_AN = re.compile(r"[aeio]|u(?!ni)", re.IGNORECASE)
# Class names that end in s and are no plural.
_SINGULAR = re.compile(r"(ss|us|is|os|as)$")


def article(name: str) -> str:
    """Put the article before a class or role; classes named in the plural become "member of"."""
    if name.endswith("s") and not _SINGULAR.search(name):
        return f"a member of {name}"
    # By the first character, as the real captions have it: "a 17-oxo steroid", "a eugenol".
    return f"{'an' if _AN.match(name) and not name.startswith('eu') else 'a'} {name}"


def listed(names: list[str]) -> str:
    """Join names with articles by commas and a last "and"."""
    items = [article(name) for name in names]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def caption(definition: str, roles: list[str], classes: list[str]) -> str:
    """Write definition, roles and classes in ChEBI-20's style."""
    # The real captions spell Greek letters.
    first = " ".join(definition.translate(_SPELT).split()).rstrip(".")
    if re.match(r"(an?|the|any|one)\b", first, re.IGNORECASE):
        first = first[0].lower() + first[1:]
    sentences = [f"The molecule is {first}."]
    if roles:
        sentences.append(f"It has a role as {listed(roles)}.")
    if classes:
        sentences.append(f"It is {listed(classes)}.")
    return " ".join(sentences)


def _parsed(smiles: pd.Series) -> pd.DataFrame:
    canonical = pd.Series([one.canonical for one in parse_smiles(smiles, salts="keep")], index=smiles.index)
    parent = canonical.copy()
    mixed = canonical.str.contains(".", regex=False)
    parent[mixed] = [one.canonical for one in parse_smiles(canonical[mixed], salts="largest")]
    return pd.DataFrame({"canonical": canonical, "parent": parent})


@cache
def molecules() -> pd.DataFrame:
    """All pairs of both files, each with its split.

    Returns
    -------
    One row a pair: `smiles` as given, `canonical`, `parent` (canonical SMILES of the largest part), `text`, `source`
    (name in the registry), `row` (ChEBI or PubChem id: where the text comes from), `split`. Splits are `"train"`,
    `"dev"`, `"test"` and `"left out"`: rebuilt captions of development and test molecules, and training molecules
    equal to one of these in either form.
    """
    rebuilt = pd.read_csv(fetch(REBUILT), sep="\t", dtype=str).fillna("")
    real = pd.read_csv(fetch(REAL), sep="\t", dtype=str).fillna("")
    texts = [
        caption(row.definition, [x for x in row.has_role.split("|") if x], [x for x in row.is_a.split("|") if x])
        if row.definition
        else row.caption
        for row in rebuilt.itertuples()
    ]
    parts = [
        pd.DataFrame(
            {"smiles": rebuilt["smiles"], "text": texts, "source": REBUILT, "row": rebuilt["chebi_id"],
             "split": rebuilt["split_chebi20"].where(rebuilt["split_chebi20"] == "train", "left out")}
        ),
        pd.DataFrame(
            {"smiles": real["SMILES"], "text": real["description"], "source": REAL, "row": "CID:" + real["CID"],
             "split": real["split"]}
        ),
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    table = table.join(_parsed(table["smiles"]))
    held_for_choice = np.flatnonzero((table["source"] == REAL) & (table["split"] == "train"))
    chosen = np.random.default_rng(0).choice(held_for_choice, N_DEVELOPMENT, replace=False)
    table.loc[chosen, "split"] = "dev"
    _leave_out(table, rebuilt["split_chebi20"].eq("test"))
    return table[COLUMNS]


def _leave_out(table: pd.DataFrame, rebuilt_test: pd.Series) -> None:
    """Take out of training, and out of development where the test holds it, whatever equals a held-out molecule."""
    tested = table["split"].eq("test") | rebuilt_test.reindex(table.index, fill_value=False)
    for mine, theirs in (("dev", tested), ("train", tested | table["split"].eq("dev"))):
        for form in ("canonical", "parent"):
            equal = table["split"].eq(mine) & table[form].isin(set(table.loc[theirs, form]))
            table.loc[equal, "split"] = "left out"


def pairs(split: str) -> pd.DataFrame:
    """Pairs of one split, see :func:`molecules`; repeated (molecule, text) pairs once."""
    table = molecules()
    return table[table["split"] == split].drop_duplicates(["canonical", "text"]).reset_index(drop=True)


def named_pairs() -> pd.DataFrame:
    """Training pairs with `name`, that of the molecule in ChEBI or `""`; names of test molecules are read nowhere."""
    train = pairs("train")
    held = pd.read_csv(fetch(REBUILT), sep="\t", dtype=str).fillna("")
    held = held[held["split_chebi20"] != "test"]
    by_id, by_form = (dict(zip(held[one], held["name"], strict=True)) for one in ("chebi_id", "canonical_smiles"))
    train["name"] = [
        by_id.get(row) or by_form.get(form, "") for row, form in zip(train["row"], train["canonical"], strict=True)
    ]
    return train

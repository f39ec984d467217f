"""Pairs of a protein and a text: names, functions, enzyme classes, places and GO terms as sentences, split by families.

Each text is drawn by a seed of its own row, so that it can be traced to the row and made again alone. Rows whose source
is for research only (`ship == 0`) are marked: shipped weights are trained without them.
"""

from __future__ import annotations

import re
import zlib
from functools import cache

import numpy as np
import pandas as pd

from recipes.bioverse_small.protein_clusters import families, split_families
from scbioverse.datasets import fetch

SOURCE = "proteins_with_text"
DEV, TEST = 0.08, 0.08
# GO terms that say nothing about a protein, or repeat the ontology's name.
VAGUE = frozenset(
    {"molecular_function", "biological_process", "cellular_component", "binding", "protein binding", "organelle",
     "catalytic activity", "intracellular organelle", "membrane-bounded organelle", "non-membrane-bounded organelle",
     "intracellular membrane-bounded organelle", "intracellular non-membrane-bounded organelle", "cell", "cell part",
     "intracellular", "intracellular anatomical structure", "protein-containing complex", "identical protein binding",
     "cellular process", "metabolic process"}
)  # fmt: skip
_UNKNOWN = re.compile(
    r"unknown function|dubious|unlikely to encode|uncharacteri[sz]ed|hypothetical protein", re.IGNORECASE
)
_MAX_FUNCTION = 320  # characters; longer descriptions end with a whole sentence
EC_CLASSES = {
    "1": "oxidoreductase", "2": "transferase", "3": "hydrolase", "4": "lyase", "5": "isomerase", "6": "ligase",
    "7": "translocase",
}  # fmt: skip
TEMPLATES: dict[str, tuple[str, ...]] = {
    "name": ("The protein is {}.", "This protein is called {}.", "It is {}.", "Name: {}."),
    "function": ("Function: {}", "What it does: {}", "{}"),
    "ec": (
        "It is {article} {group}, EC {ec} ({name}).",
        "It catalyses the reaction EC {ec}: {name}.",
        "Enzyme class {ec}, {name}, {article} {group}.",
    ),
    "ec_number": ("It is {article} {group}, EC {ec}.", "Enzyme class {ec}, {article} {group}."),
    "location": ("It is found in the {}.", "Location: {}.", "The protein works in the {}."),
    "membrane": ("It is a {} protein.",),
    "go_mf": ("Molecular function: {}.", "Its activities: {}."),
    "go_cc": ("Cellular component: {}.", "It belongs to: {}."),
    "go_bp": ("It takes part in {}.", "Biological process: {}."),
}
PLACES = {"Extracellular": "extracellular space", "Cell membrane": "cell membrane", "Mitochondrion": "mitochondrion"}


def terms(text: str, counts: dict[str, int], n: int = 3) -> list[str]:
    """Pick the `n` rarest of the GO terms of a row: a list holds each term's ancestors, which are commoner."""
    known = [term for term in dict.fromkeys(text.split("; ")) if term and term not in VAGUE]
    kept: list[str] = []
    for term in sorted(known, key=lambda term: (counts.get(term, 0), term)):
        # "hydrolase activity" says nothing beside "hydrolase activity, acting on ester bonds".
        if len(kept) < n and not any(term in other for other in kept):
            kept.append(term)
    return kept


def function_text(text: str) -> str:
    """Shorten a description to whole sentences; "" where it says that nothing is known."""
    text = re.sub(r"\s+", " ", re.sub(r"\[[^\]]*\]", "", text)).strip()
    if not text or _UNKNOWN.search(text):
        return ""
    if len(text) > _MAX_FUNCTION:
        cut = max(text.rfind(". ", 0, _MAX_FUNCTION), text.rfind("; ", 0, _MAX_FUNCTION))
        text = text[: cut if cut > 0 else text.rfind(" ", 0, _MAX_FUNCTION)]
    return text.rstrip(" .;,") + "."


def sentences(row: dict[str, str], counts: dict[str, dict[str, int]], rng: np.random.Generator) -> dict[str, str]:
    """Write a sentence for each thing that a row of the table knows."""
    found: dict[str, str] = {}

    def say(field: str, value: str) -> None:
        template = TEMPLATES[field][int(rng.integers(len(TEMPLATES[field])))]
        found[field] = template.format(value)

    if row["name"] and not _UNKNOWN.search(row["name"]):
        say("name", row["name"])
    if text := function_text(row["function"]):
        say("function", text)
    group = EC_CLASSES.get(row["ec"][:1])
    if group:
        options = TEMPLATES["ec" if row["ec_name"] else "ec_number"]
        template = options[int(rng.integers(len(options)))]
        article = "an" if group[0] in "oi" else "a"
        found["ec"] = template.format(article=article, group=group, ec=row["ec"], name=row["ec_name"])
    if row["location"]:
        say("location", PLACES.get(row["location"], row["location"][0].lower() + row["location"][1:]))
    if row["membrane"]:
        say("membrane", row["membrane"])
    for field in ("go_mf", "go_cc", "go_bp"):
        if kept := terms(row[field], counts[field]):
            say(field, "; ".join(kept))
    return found


@cache
def proteins() -> pd.DataFrame:
    """Every informative row of the table with its family, split and sentences.

    Returns
    -------
    The table's columns and `row` (its line, from 0), `family`, `split` (`"train"`, `"dev"`, `"test"`, by families) and
    `shippable` (whether shipped weights may be trained on it). The families are those of all rows together, so that the
    split is the same whatever is left out afterwards.
    """
    table = pd.read_csv(fetch(SOURCE), sep="\t", dtype=str).fillna("")
    table.insert(0, "row", np.arange(len(table)))
    table["family"] = families(table["sequence"].tolist())
    table["split"] = split_families(table["family"].to_numpy(), dev=DEV, test=TEST, seed=0)
    table["shippable"] = table["ship"] == "1"
    return table[table["informative"] == "1"].reset_index(drop=True)


@cache
def term_counts() -> dict[str, dict[str, int]]:
    """How often each GO term occurs among training rows."""
    train = proteins().query("split == 'train'")
    return {
        field: train[field].str.split("; ").explode().value_counts().to_dict() for field in ("go_mf", "go_cc", "go_bp")
    }


def pairs(split: str, *, shipped: bool = True, seed: int = 0, variants: int = 1) -> pd.DataFrame:
    """Write the pairs of one split.

    Parameters
    ----------
    split
        `"train"`, `"dev"` or `"test"`.
    shipped
        Leave out rows that shipped weights may not be trained on.
    seed
        Seed of the wording.
    variants
        Wordings of each row.

    Returns
    -------
    One row a pair: `accession`, `sequence`, `text`, `fields` (what the text tells, in order, joined by commas), `row`,
    `variant`, `family`, `verified`. Rows about which nothing is known are left out.
    """
    table = proteins()
    table = table[(table["split"] == split) & (table["shippable"] | (not shipped))]
    rows = []
    for record in table.to_dict("records"):
        for variant in range(variants):
            rng = np.random.default_rng([seed, variant, zlib.crc32(record["sequence"].encode())])
            found = sentences(record, term_counts(), rng)
            # The name first, where there is one; the rest in any order.
            order = [field for field in found if field == "name"]
            order += [field for field in rng.permutation(list(found)) if field != "name"]
            if order:
                text = " ".join(found[field] for field in order)
                kept = {name: record[name] for name in ("accession", "sequence", "row", "family", "verified")}
                rows.append({**kept, "text": text, "fields": ",".join(order), "variant": variant})
    columns = ["accession", "sequence", "text", "fields", "row", "variant", "family", "verified"]
    return pd.DataFrame(rows, columns=columns)

"""Words of drug classes against the Repurposing Hub: average precision over its drugs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

import scbioverse as sb
from recipes.bioverse_small.molecules import REBUILT, caption, pairs
from scbioverse._slots import Slots
from scbioverse.datasets import fetch
from scbioverse.pp._smiles import parse_smiles
from scbioverse.predict.embedding import represent_rows
from scbioverse.predict.molecules_meant import Known, MoleculesMeant, words_of
from scbioverse.predict.retrieval import known_rows_near

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

WORDS = Path(__file__).parent / "molecules.tsv"
LEAST = 10
# A fused skeleton of three six-membered rings and one of five, whatever its bonds.
STEROID = "[#6]1~[#6]~[#6]~[#6]2~[#6](~[#6]~1)~[#6]~[#6]~[#6]1~[#6]~2~[#6]~[#6]~[#6]2~[#6]~[#6]~[#6]~[#6]~2~1"


def drugs(most: int, seed: int) -> pd.DataFrame:
    """Read drugs with a mechanism: all, or a random part."""
    table = pd.read_csv(fetch("repurposing_hub_2020"), sep="\t", dtype=str).fillna("")
    table = table[(table["moa"] != "") & (table["canonical_smiles"] != "")].drop_duplicates("canonical_smiles")
    return table.sample(min(most, len(table)), random_state=seed).sort_index().reset_index(drop=True)


def training_texts() -> AnnData:
    """Read ChEBI's molecules of the training split that have a role, with captions made of definition and roles."""
    table = pd.read_csv(fetch(REBUILT), sep="\t", dtype=str).fillna("")
    table = table[(table["split_chebi20"] == "train") & (table["has_role"] != "")]
    made = sb.pp.molecules(pd.DataFrame({"smiles": table["canonical_smiles"].to_numpy()}, index=table["chebi_id"]))
    parts = zip(table["definition"], table["has_role"], table["is_a"], strict=True)
    made.obs["text"] = [
        caption(said, [x for x in roles.split("|") if x], [x for x in kinds.split("|") if x])
        for said, roles, kinds in parts
    ]
    return made


def skeletons(smiles: pd.Series) -> list[str]:
    """First block of the InChIKey of each largest part: atoms and bonds, whatever salt, charge, isotope or stereo."""
    from rdkit.Chem.inchi import MolToInchiKey
    from rdkit.RDLogger import DisableLog

    DisableLog("rdApp.*")  # InChI warns of every charge and every stereo centre that is not given
    return [MolToInchiKey(one.mol)[:14] if one.mol is not None else "" for one in parse_smiles(smiles, salts="largest")]


def classes(table: pd.DataFrame) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Words, where they come from, and the drugs that they mean; of classes with ten members or more."""
    from rdkit.Chem import MolFromSmarts, MolFromSmiles

    own = [{one.strip() for one in text.split("|")} for text in table["moa"]]
    names = pd.Series([one for some in own for one in some if one]).value_counts()
    found = [
        (f"{name}s" if not name.endswith("s") else name, "mechanism", np.array([name in some for some in own]))
        for name in sorted(names.index[names >= LEAST])
    ]
    mols = [MolFromSmiles(one) for one in table["canonical_smiles"]]
    for row in pd.read_csv(WORDS, sep="\t", dtype=str).itertuples():
        if row.column == "smiles":
            pattern = MolFromSmarts(STEROID if row.query == "steroids" else row.pattern)
            held = np.array([mol is not None and mol.HasSubstructMatch(pattern) for mol in mols])
            found.append((row.query, "structure", held))
            continue
        columns = ["pert_iname" if one == "name" else one for one in row.column.split("+")]
        text = table[columns].agg(" | ".join, axis=1)
        found.append((row.query, "by hand", np.array([bool(re.search(row.pattern, one)) for one in text])))
    return [one for one in found if one[2].sum() >= LEAST]


def plain_vote(known: Known, query: str, words: list[frozenset[str]]) -> NDArray[np.float64]:
    """Vote of the same neighbours by whether the words of their texts are all of the query's: a Tanimoto kNN."""
    asked = set(words_of(query))
    holds = np.array([*(asked <= one for one in words), False])
    weight = np.nan_to_num(known.near.similarity, nan=0.0)
    return (weight * holds[known.near.rows]).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)


def measured(model: Any, most: int, seed: int) -> dict[str, Any]:
    """Measure every class, over all drugs and over those that no training caption is of."""
    table, slots, rng = drugs(most, seed), Slots(), np.random.default_rng(seed)
    rows = sb.pp.molecules(pd.DataFrame({"smiles": table["canonical_smiles"].to_numpy()}))
    reference = training_texts()
    # The head learned from all training captions, of which the reference is those with a role.
    learned = {*skeletons(pairs("train")["parent"]), *skeletons(reference.obs["canonical_smiles"])}
    seen = np.isin(skeletons(table["canonical_smiles"]), sorted(learned - {""}))
    embedded = represent_rows(rows, model, modality="molecule", slots=slots)
    known = known_rows_near(rows, reference, "text", model, modality="molecule", key=None, layer=None, slots=slots)
    head = MoleculesMeant(embedded.values, model, "molecule", None)
    none = MoleculesMeant(embedded.values, model, "molecule", known)
    none.__dict__["_head"] = None  # the vote alone
    both = MoleculesMeant(embedded.values, model, "molecule", known)
    asked = classes(table)
    cosine = model.coordinates(np.nan_to_num(embedded.values), "molecule") @ (
        model.text_coordinates([query for query, _, _ in asked]).T
    )
    words = [frozenset(words_of(text)) for text in known.texts]
    out = []
    for at, (query, kind, right) in enumerate(asked):
        values = {
            "both": both.scores(query), "head": head.scores(query), "vote": none.scores(query),
            "plain Tanimoto vote": plain_vote(known, query, words),
            "cosine": cosine[:, at], "random": rng.random(len(right)),
        }  # fmt: skip
        row: dict[str, Any] = {
            "query": query,
            "kind": kind,
            "n": int(right.sum()),
            "linked": values["both"] is not None,
        }
        for name, scores in values.items():
            held = np.zeros(len(right)) if scores is None else np.nan_to_num(scores, nan=-1.0)
            row[name] = float(average_precision_score(right, held))
            if right[~seen].sum() >= LEAST // 2:
                row[f"{name}, unseen"] = float(average_precision_score(right[~seen], held[~seen]))
        out.append(row)
    return {
        "n_drugs": len(table),
        "n_in_training_captions": int(seen.sum()),
        "n_reference": reference.n_obs,
        "rows": out,
    }


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """Print and return mean average precisions."""
    table = pd.DataFrame(found["rows"])
    names = ["both", "head", "vote", "plain Tanimoto vote", "cosine", "random"]
    means = {}
    print(f"\n{found['n_drugs']} drugs, {found['n_in_training_captions']} of them in the training captions")
    for kind, some in [*table.groupby("kind"), ("words that are linked", table[table["linked"]]), ("all", table)]:
        part = {"classes": len(some), "linked": int(some["linked"].sum())}
        part |= {one: float(some[one].mean()) for one in names}
        part |= {f"{one}, unseen": float(some[f"{one}, unseen"].mean()) for one in names}
        means[str(kind)] = part
    print(pd.DataFrame(means).round(3).to_string())
    return means

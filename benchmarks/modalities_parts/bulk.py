"""How long many rows take, and whether memory stays flat: embedded and described, offline."""

from __future__ import annotations

import resource
import time
from typing import Any

import anndata as ad
import pandas as pd

import scbioverse as sb
from benchmarks.modalities_parts.captions import tables
from recipes.bioverse_small import proteins
from scbioverse.datasets import fetch


def drugs(n: int, seed: int) -> ad.AnnData:
    """Structures of L1000 compounds, none of them a caption's."""
    table = pd.read_csv(fetch("l1000_compounds"), sep="\t", dtype=str).fillna("")
    column = next(one for one in table if "smiles" in one.lower())
    found = table[table[column].str.len() > 1].drop_duplicates(column)[column].sample(n, random_state=seed)
    return sb.pp.molecules(found.tolist())


def bulk(model: Any, n_drugs: int, n_proteins: int, seed: int) -> dict[str, Any]:
    """Embed and describe each table in halves: the second half must not need more memory than the first."""
    table = proteins.proteins()
    known = table[(table["split"] == "train") & (table["function"] != "") & table["shippable"]]
    chains = sb.pp.proteins(table[table["split"] == "test"]["sequence"].sample(n_proteins, random_state=seed).tolist())
    told = ad.AnnData(obs=known[["sequence"]].assign(text=known["function"]).reset_index(drop=True).rename(index=str))
    found = {}
    for modality, rows, reference in (
        ("molecule", drugs(n_drugs, seed), tables(8, seed)[0]),
        ("protein", chains, told),
    ):
        peaks, start = [], time.process_time()
        for part in (rows[: rows.n_obs // 2].copy(), rows[rows.n_obs // 2 :].copy()):
            sb.tl.embed(part, model=model, modality=modality, invalid="skip")
            sb.tl.describe(part, model=model, modality=modality, reference=reference)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        found[modality] = {
            "rows": rows.n_obs, "reference": reference.n_obs, "processor seconds": time.process_time() - start,
            "peak GiB, first half": peaks[0], "peak GiB, both": peaks[1],
        }  # fmt: skip
    return found

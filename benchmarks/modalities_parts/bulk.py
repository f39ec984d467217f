"""How long many rows take, and whether memory stays flat: embedded and described, offline, with progress bars."""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import Any

import anndata as ad
import pandas as pd

import scbioverse as sb
from benchmarks.modalities_parts.captions import known_molecules
from recipes.bioverse_small import proteins
from scbioverse.datasets import fetch


def drugs(n: int, seed: int) -> ad.AnnData:
    """Up to `n` different structures of the Repurposing Hub and of DrugCentral."""
    found = []
    for name in ("repurposing_hub_2020", "drugcentral_2023"):
        table = pd.read_csv(fetch(name), sep="\t", dtype=str)
        column = next(one for one in table if "smiles" in one.lower())
        found.append(table[column].dropna().str.strip())
    known = pd.concat(found).drop_duplicates()
    known = known[known.str.len() > 1]
    return sb.pp.molecules(known.sample(min(n, len(known)), random_state=seed).tolist())


def chains(n: int, seed: int) -> tuple[ad.AnnData, ad.AnnData]:
    """Test proteins, and training proteins with a description of their function."""
    table = proteins.proteins()
    known = table[(table["split"] == "train") & (table["function"] != "") & table["shippable"]]
    told = known[["sequence"]].assign(text=known["function"]).reset_index(drop=True).rename(index=str)
    asked = table[table["split"] == "test"]["sequence"].sample(n, random_state=seed)
    return sb.pp.proteins(asked.tolist()), ad.AnnData(obs=told)


def measured(model: str, modality: str, n: int, seed: int) -> dict[str, Any]:
    """Embed and describe a table in halves: the second half must not need more memory than the first."""
    sb.settings.progress = True
    loaded = sb.models.load(model)
    rows, reference = (drugs(n, seed), known_molecules(loaded)) if modality == "molecule" else chains(n, seed)
    peaks, start = [], time.process_time()
    for part in (rows[: rows.n_obs // 2].copy(), rows[rows.n_obs // 2 :].copy()):
        sb.tl.embed(part, model=loaded, modality=modality, invalid="skip")
        sb.tl.describe(part, model=loaded, modality=modality, reference=reference)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    return {
        "rows": rows.n_obs, "reference": reference.n_obs, "processor seconds": time.process_time() - start,
        "peak GiB, first half": peaks[0], "peak GiB, both": peaks[1],
    }  # fmt: skip


def bulk(model: str, n_drugs: int, n_proteins: int, seed: int) -> dict[str, Any]:
    """Measure both modalities, each in a process of its own: a peak is one of the whole process."""
    wanted = {"molecule": n_drugs, "protein": n_proteins}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = pool.starmap(measured, [(model, kind, n, seed) for kind, n in wanted.items()], chunksize=1)
    return dict(zip(wanted, found, strict=True))

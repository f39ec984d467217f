"""A question that no modality answers alone.

"Does this compound act on this cell?" Rows are cells with surface proteins (CITE-seq), each with a compound; the answer
is yes where a target of the compound is detected in that very cell. Neither the compound's targets nor the target genes
of the cell are shown: the compound is known by its structure, through the targets of similar drugs
(`sb.tl.retrieve(direction="similar", modality="molecule")`), the cell by its other genes or by its surface proteins,
through the share of similar cells of another data set in which a gene is detected. Each modality is then taken away
(its mean over all drugs, over all cells) or dealt to other rows. Area under the ROC curve over all rows, with a
bootstrap over compounds.

The second table puts a cell and its compound into one prompt, read through projectors that were trained apart, and asks
how often the language model still names the cell as it does without the compound.
"""

from __future__ import annotations

import re

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

import scbioverse as sb
from recipes.datasets.surface_sequences import surface_sequences
from scbioverse.datasets import fetch
from scbioverse.llm.prefix import PrefixCache
from scbioverse.llm.score import LabelTrie, score_labels
from scbioverse.models import BioVerse, join
from scbioverse.models.edit import only
from scbioverse.pp._smiles import parse_smiles

CELLS, REFERENCE, DRUGS = "citeseq_pbmc5k_200cells", "citeseq_pbmc10k_4000g", "repurposing_hub_2020"
TYPES = (
    "CD4 T cell",
    "CD8 T cell",
    "CD14 monocyte",
    "CD16 monocyte",
    "NK cell",
    "B cell",
    "dendritic cell",
    "platelet",
)


def drug_table(genes: pd.Index) -> ad.AnnData:
    """Drugs with a readable structure and a target among `genes`: `obs["smiles"]`, `obs["targets"]`."""
    table = pd.read_csv(fetch(DRUGS), sep="\t", dtype=str).fillna("")
    parsed = parse_smiles(
        table["canonical_smiles"].where(table["canonical_smiles"] != "", table["smiles"]), salts="largest"
    )
    table = table.assign(smiles=[one.canonical for one in parsed])
    known = set(genes)
    table["targets"] = ["|".join(t for t in one.split("|") if t in known) for one in table["target"]]
    table = table[(table["smiles"] != "") & (table["targets"] != "")].drop_duplicates("smiles")
    return ad.AnnData(obs=table[["smiles", "targets", "moa"]].set_index(pd.Index(table["pert_iname"], name="drug")))


def same_proteins(cells: ad.AnnData, reference: ad.AnnData) -> None:
    """Keep the surface proteins that both measured, under one name."""
    tables = []
    for one in (cells, reference):
        held = one.obsm["protein_expression"]
        names = held.columns if isinstance(held, pd.DataFrame) else one.uns["protein_names"]
        plain = [re.sub("_TotalSeqB$", "", str(name)) for name in names]
        tables.append(pd.DataFrame(np.asarray(held), index=one.obs_names, columns=plain))
    shared = [name for name in tables[1] if name in tables[0]]
    for one, table in zip((cells, reference), tables, strict=True):
        one.obsm["protein_expression"] = table[shared]


def detected(adata: ad.AnnData) -> np.ndarray:
    """Whether each gene is detected in each cell."""
    return (adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)) > 0


def shares(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Share of each cell's neighbours in which each gene is detected; those without neighbours are alike."""
    missing = rows[:, 0] < 0
    out = np.empty((len(rows), reference.shape[1]))
    out[~missing] = reference[rows[~missing]].mean(axis=1)
    out[missing] = np.nan
    return out


def hit(share: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Probability that a drug meets one of its targets: cells (n, genes), drugs' targets (m, genes), to (n, m)."""
    return 1 - np.exp(np.log1p(-np.clip(share, 0, 1 - 1e-6)) @ members.T)


def figures(truth: np.ndarray, score: np.ndarray, drug: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Areas under both curves, and the standard error of the first over compounds drawn with replacement."""
    by_drug = [np.flatnonzero(drug == one) for one in np.unique(drug)]
    draws = []
    for _ in range(50):
        rows = np.concatenate([by_drug[i] for i in rng.integers(len(by_drug), size=len(by_drug))])
        draws.append(roc_auc_score(truth[rows], score[rows]))
    return {
        "auroc": float(roc_auc_score(truth, score)),
        "standard_error": float(np.std(draws)),
        "average_precision": float(average_precision_score(truth, score)),
    }


def question(model: BioVerse, n_compounds: int, per_cell: int, seed: int) -> tuple[dict, ad.AnnData]:
    """Ask the question of every row, with everything and with each modality taken away."""
    rng = np.random.default_rng(seed)
    cells, reference = ad.read_h5ad(fetch(CELLS)), ad.read_h5ad(fetch(REFERENCE))
    genes = reference.var_names[reference.var_names.isin(cells.var_names)]
    drugs = drug_table(genes)
    target_genes = sorted({one for held in drugs.obs["targets"] for one in held.split("|")})
    asked = np.zeros(drugs.n_obs, dtype=bool)
    asked[rng.permutation(drugs.n_obs)[:n_compounds]] = True
    known, compounds = drugs[~asked].copy(), drugs[asked].copy()
    same_proteins(cells, reference)
    seen, truth = detected(reference[:, target_genes]), detected(cells[:, target_genes])
    blind = [one[:, ~one.var_names.isin(target_genes)].copy() for one in (cells, reference)]

    # Neighbours of cells: by genes that are nobody's target, and by surface proteins.
    sb.tl.retrieve(blind[0], blind[1], direction="similar", model=model, top_k=30, name="rna")
    for one in blind:
        sb.tl.embed(one, modality="protein", model="kmer", sequences=surface_sequences(), key_added="surface")
    rep = "X_surface_protein"
    sb.tl.retrieve(blind[0], blind[1], direction="similar", model=model, top_k=30, name="protein", use_rep=rep)
    everywhere = seen.mean(axis=0)
    silent = ~np.isfinite(blind[1].obsm[rep]).all(axis=1)
    by_protein = shares(blind[0].obsm["bioverse_retrieve_protein_rows"], seen)
    by_protein[np.isnan(by_protein[:, 0])] = seen[silent].mean(axis=0) if silent.any() else everywhere
    by_rna = shares(blind[0].obsm["bioverse_retrieve_rna_rows"], seen)

    # One AnnData: each row a cell with its proteins and a compound.
    cell = np.repeat(np.arange(cells.n_obs), per_cell)
    drug = np.concatenate([rng.permutation(compounds.n_obs)[:per_cell] for _ in range(cells.n_obs)])
    rows = blind[0][cell].copy()
    rows.obs_names_make_unique()
    rows.obs["smiles"] = compounds.obs["smiles"].to_numpy()[drug]
    sb.tl.retrieve(rows, known, direction="similar", modality="molecule", model=model, top_k=5, name="drug")
    near, weight = rows.obsm["bioverse_retrieve_drug_rows"], rows.obsm["bioverse_retrieve_drug"].astype(float)
    weight = np.exp((weight - weight.max(axis=1, keepdims=True)) / 0.1)
    weight /= weight.sum(axis=1, keepdims=True)

    def members(table: ad.AnnData) -> np.ndarray:
        return np.array([[g in held.split("|") for g in target_genes] for held in table.obs["targets"]], dtype=float)

    own = members(compounds)[drug]
    answer = (truth[cell] & (own > 0)).any(axis=1)
    has = members(known)
    chances = {"rna": hit(by_rna, has), "protein": hit(by_protein, has), "none": hit(everywhere[None], has)}
    other = rng.permutation(cells.n_obs)

    def score(kind: str, drugs_used: str = "own", order: np.ndarray | None = None) -> np.ndarray:
        table = chances[kind]
        place = np.zeros_like(cell) if kind == "none" else (cell if order is None else order[cell])
        if drugs_used == "none":
            return table[place].mean(axis=1)
        turn = np.arange(len(cell)) if drugs_used == "own" else rng.permutation(len(cell))
        return (np.take_along_axis(table[place], near[turn], axis=1) * weight[turn]).sum(axis=1)

    scored = {
        "genes of the cell + molecule": score("rna"),
        "surface proteins + molecule": score("protein"),
        "genes + surface proteins + molecule": (score("rna") + score("protein")) / 2,
        "molecule alone": score("none"),
        "genes of the cell alone": score("rna", "none"),
        "surface proteins alone": score("protein", "none"),
        "genes + molecule, cells shuffled": score("rna", "own", other),
        "genes + molecule, molecules shuffled": score("rna", "shuffled"),
    }
    table = {name: figures(answer, values, drug, np.random.default_rng(seed)) for name, values in scored.items()}
    sizes = {
        "rows": len(cell), "cells": cells.n_obs, "compounds": compounds.n_obs, "drugs in the table": known.n_obs,
        "target genes": len(target_genes), "yes": float(answer.mean()), "cells without a surface protein in the table":
        int((~np.isfinite(blind[0].obsm[rep]).all(axis=1)).sum()),
    }  # fmt: skip
    return {"sizes": sizes, "rows": table}, rows


def one_prompt(model: BioVerse, rows: ad.AnnData, n: int, seed: int) -> dict[str, float]:
    """How often a cell in one prompt with its compound is named as it is alone; projectors were parted and joined."""
    model = join(only(model, ["cell"]), only(model, ["molecule"]))
    rng = np.random.default_rng(seed)
    first = np.sort(rng.permutation(rows.n_obs)[:n])
    cells = np.asarray(rows.obsm["X_bioverse"])[first][:, None]
    drugs = np.asarray(rows.obsm["X_bioverse_molecule"])[first][:, None]
    alone = model.score(cells, list(TYPES), progress=False, calibrated=False).argmax(axis=1)
    trie = LabelTrie([tuple(model.reader.answer_ids(name)) for name in TYPES])
    reader = model.reader

    def named(order: tuple[str, str], cell: np.ndarray) -> np.ndarray:
        rendered = model.template.render_annotate(reader.backbone, model.tokens, order, n_soft=model.config.n_soft)
        with torch.inference_mode():
            opening = reader.composer.compose([list(rendered.prefix)]).inputs_embeds[0]
            prefix = PrefixCache(reader.backbone, opening)
            soft = {"cell": model.project(cell), "molecule": model.project(drugs, "molecule")}
            suffix = reader.composer.compose([list(rendered.head)] * len(cell), soft)
            scores = score_labels(
                reader.backbone, prefix, suffix.inputs_embeds, trie, attention_mask=suffix.attention_mask
            )
        return np.asarray(scores).argmax(axis=1)

    return {
        "n": len(first),
        "molecule, then cell": float((named(("molecule", "cell"), cells) == alone).mean()),
        "cell, then molecule": float((named(("cell", "molecule"), cells) == alone).mean()),
        "molecule, then another cell": float((named(("molecule", "cell"), rng.permutation(cells)) == alone).mean()),
        "commonest name": float(np.bincount(alone).max() / len(alone)),
    }


def together(model: BioVerse, seed: int, *, compounds: int = 300, per_cell: int = 25, prompts: int = 200) -> dict:
    """Ask the question, then put cells and compounds into one prompt."""
    found, rows = question(model, compounds, per_cell, seed)
    return found | {"one prompt": one_prompt(model, rows, prompts, seed)}

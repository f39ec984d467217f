"""Cells with surface proteins and a drug table in one AnnData: one question, two modalities.

Does this compound act on this cell? The compound is known by its structure; the drugs like it, by their targets. The
cell is known by its genes; the cells like it, by which targets they express. Neither is enough alone.

    python tutorials/02_cells_proteins_drugs.py [name or folder of a model]

`python -m benchmarks.modalities together` asks the same of 5,000 rows with each modality taken away, and prints
the areas under the curve.
"""

from __future__ import annotations

import sys

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb

model = sb.models.load(sys.argv[1] if len(sys.argv) > 1 else "bioverse-small")

# ------------------------------------------------------------------ data: cells, reference cells, drugs

cells = ad.read_h5ad(sb.datasets.fetch("citeseq_pbmc5k_200cells"))
reference = ad.read_h5ad(sb.datasets.fetch("citeseq_pbmc10k_4000g"))
for one in (cells, reference):
    names = [name.removesuffix("_TotalSeqB") for name in map(str, one.uns["protein_names"])]
    one.obsm["protein_expression"] = pd.DataFrame(np.asarray(one.obsm["protein_expression"]), one.obs_names, names)

table = pd.read_csv(sb.datasets.fetch("repurposing_hub_2020"), sep="\t", dtype=str).fillna("")
table = table[(table["target"] != "") & (table["canonical_smiles"] != "")].drop_duplicates("canonical_smiles")
drugs = ad.AnnData(obs=table.rename(columns={"smiles": "written", "canonical_smiles": "smiles"}).set_index("pert_iname"))

# Ibrutinib inhibits BTK, which B cells and monocytes have and T cells have not. Its row is taken out of the table: all
# that is known of the compound is its structure.
compound = "ibrutinib"
smiles = str(drugs.obs.loc[compound, "smiles"])
drugs = drugs[drugs.obs["smiles"] != smiles].copy()

# ------------------------------------------------------------------ one AnnData, three modalities

cells.obs["smiles"] = smiles  # the drug that each cell is to see
proteins = pd.read_csv(sb.datasets.fetch("proteins_with_text"), sep="\t", dtype=str).fillna("").set_index("accession")
sequences = proteins.loc[["P07766", "P01732", "P08637", "Q495A1"], "sequence"]
sequences.index = pd.Index(["CD3", "CD8a", "CD16", "TIGIT"])

sb.tl.embed(cells, model=model)  # genes
sb.tl.embed(cells, modality="protein", model="kmer", sequences=sequences)  # surface proteins
sb.tl.embed(cells, model=model, modality="molecule")  # the compound, each structure once
print(cells)

# ------------------------------------------------------------------ the molecule: which targets do similar drugs have?

sb.tl.retrieve(cells, drugs, direction="similar", modality="molecule", model=model, top_k=5, name="drug")
similar = drugs.obs.iloc[cells.obsm["bioverse_retrieve_drug_rows"][0]]
print(similar[["moa", "target"]])
targets = [gene for held in similar["target"] for gene in held.split("|") if gene in reference.var_names]
votes = pd.Series(targets).value_counts()
print("targets of similar drugs:", votes.head(5).to_dict())

# ------------------------------------------------------------------ the cell: do cells like it express them?

sb.tl.retrieve(cells, reference, direction="similar", model=model, top_k=30, name="cell")
genes = list(votes.index[:5])
seen = np.asarray(reference[:, genes].X.todense()) > 0
share = seen[cells.obsm["bioverse_retrieve_cell_rows"]].mean(axis=1)  # (cells, genes)
weight = (votes[genes] / votes[genes].sum()).to_numpy()
cells.obs["acts"] = share @ weight

# ------------------------------------------------------------------ the answer, by what the cells are

sb.tl.annotate(cells, model=model, labels=["CD4 T cell", "CD8 T cell", "NK cell", "B cell", "CD14 monocyte"], rationale=None)
print(cells.obs.groupby("bioverse_label", observed=True)["acts"].agg(["mean", "size"]).sort_values("mean"))

"""Studies and profiles, brought to one gene vocabulary and to Cell Ontology ids.

Everything is read through the data registry. `pbmc3k`, `pbmc_symphony` and `pancreas_wang` are development tests:
:func:`training_studies` never returns them, and a test holds it to that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from recipes.bioverse_small.gates import refine_t_cells
from scbioverse.datasets import fetch
from scbioverse.knowledge.genes import harmonise

HERE = Path(__file__).parent

# Weight of a study in the training mix. Cells sorted by antibody beads (Zheng 2017) mix CD4 into CD8, so they count
# little; simulated cells have a weight of their own in the recipe's configuration.
STUDIES: dict[str, float] = {
    "kang_ifnb_pbmc": 1.0,
    "citeseq_pbmc10k_4000g": 1.0,
    "pbmc_facs_zheng": 0.3,
    "pbmc14k_facs_3500": 0.3,
    "pbmc_sorted_mudan": 0.3,
    "pancreas_baron_human": 0.3,
    "fetal_cortex_culture_4474_2000g": 0.7,
    "mouse_brain_1122g": 0.5,
    "oligodendroglioma_184_smartseq": 0.2,
}
UNLABELLED = ("pbmc_donorA_unlabelled",)
# Gene values of these two are permuted within each label: only the mean over a label means anything.
LABEL_PROFILES = ("gut_crohn_scp1884", "zheng68k_165")
DEV_TESTS = ("pbmc3k", "pbmc_symphony_1200_1767g", "pancreas_wang_501_219g_log")
# How much a profile counts among those of its term; 0 for not at all.
PROFILES: dict[str, float] = {
    "cell_profiles_adult": 1.0,
    "cell_profiles_fetal": 1.0,
    "cell_profiles_covid": 1.0,
    "hpa_blood": 1.0,
    "abis_sigmatrix_17": 1.0,
    "baron_pancreas_14": 1.0,
    "dmap_hematopoiesis_38": 1.0,
    "pbmc_bulk_sorted_14": 1.0,
    "profile_hcl_1393x5467": 0.0,
    "profile_spacet_pancancer_18": 0.0,
}
BROAD_PROFILES = PROFILES | {"profile_hcl_1393x5467": 0.3}
# A bead-sorted "CD4+ T helper 2" or "helper T" gate is no more than a CD4 T cell transcriptome.
COARSER = {"CL:0000546": "CL:0000624", "CL:0000912": "CL:0000624", "CL:0000794@facs": "CL:0000625"}
# Profiles that measured so much of what the widest did say how genes share a cell's RNA.
WIDE = 0.5
DROP_PREFIX = ("MT-", "RPL", "RPS", "MTRNR", "HIST")
DROP_GENES = frozenset({"MALAT1", "XIST", "NEAT1", "TSIX", "RPSA", "RPLP0", "RPLP1", "RPLP2"})


@dataclass
class Study:
    """Cells of one study on the common vocabulary.

    Attributes
    ----------
    name
        File stem in the registry.
    counts
        (n, G) CSR float32 on the linear scale; absent genes are empty columns.
    panel
        (G,) bool, True where the study measured the gene.
    cl_ids
        (n,) object, Cell Ontology id or "" where the label maps to none.
    labels
        (n,) object, the label as published.
    """

    name: str
    counts: sparse.csr_matrix
    panel: np.ndarray
    cl_ids: np.ndarray
    labels: np.ndarray


def usable(symbol: str | None) -> bool:
    """Whether a gene may enter the vocabulary: no mitochondrial, ribosomal or sex-linked housekeeping RNA."""
    return bool(symbol) and not symbol.startswith(DROP_PREFIX) and symbol not in DROP_GENES


@cache
def label_map() -> dict[tuple[str, str], str]:
    """Map (data set, published label) to the Cell Ontology id."""
    tables = [pd.read_csv(fetch(one), sep="\t", dtype=str).fillna("") for one in ("label_to_cl", "label_to_cl_added")]
    table = pd.concat(tables)
    return {(row.dataset, row.label): row.cl_id for row in table.itertuples()}


def _clean_names(names: pd.Index) -> list[str]:
    return [str(name).removeprefix("hg19_").split("_ENSG")[0] for name in names]


def _to_vocabulary(
    matrix: sparse.csr_matrix, names: list[str], genes: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Move columns to the vocabulary; several inputs that mean one gene are added."""
    position = {gene: i for i, gene in enumerate(genes)}
    column = np.array([position.get(symbol, -1) if symbol else -1 for symbol in harmonise(names)])
    kept = np.flatnonzero(column >= 0)
    shuffle = sparse.csr_matrix(
        (np.ones(len(kept), np.float32), (kept, column[kept])), shape=(matrix.shape[1], len(genes))
    )
    panel = np.zeros(len(genes), bool)
    panel[column[kept]] = True
    return (sparse.csr_matrix(matrix, dtype=np.float32) @ shuffle).tocsr(), panel


def _linear(matrix: sparse.spmatrix | np.ndarray, *, log2: bool) -> sparse.csr_matrix:
    csr = sparse.csr_matrix(matrix, dtype=np.float32)
    if log2:
        csr = csr.copy()
        csr.data = np.exp2(csr.data) - 1
    return csr


def load_study(name: str, genes: np.ndarray) -> Study:
    """Read one study from the registry onto the vocabulary `genes`."""
    adata = ad.read_h5ad(fetch(name))
    labels = (
        adata.obs["cell_type"].astype(str).to_numpy(object)
        if "cell_type" in adata.obs
        else np.full(adata.n_obs, "", object)
    )
    mapping = label_map()
    cl_ids = np.array([mapping.get((name, label), "") for label in labels], object)
    if name == "citeseq_pbmc10k_4000g":
        proteins = pd.DataFrame(np.asarray(adata.obsm["protein_expression"]), columns=list(adata.uns["protein_names"]))
        cl_ids = refine_t_cells(cl_ids, proteins)
    if "facs" in name or "sorted" in name:
        cl_ids = np.array([COARSER.get(f"{i}@facs", COARSER.get(i, i)) for i in cl_ids], object)
    counts, panel = _to_vocabulary(_linear(adata.X, log2=name.endswith("_log")), _clean_names(adata.var_names), genes)
    return Study(name, counts, panel, cl_ids, labels)


def training_studies(genes: np.ndarray) -> list[Study]:
    """Labelled studies that may train a shipped checkpoint."""
    return [load_study(name, genes) for name in STUDIES]


def _profile_frames() -> list[tuple[str, ad.AnnData]]:
    """Read the files of :data:`PROFILES`; `obs` gets a `set` where a file lacks one."""
    frames = [(name, ad.read_h5ad(fetch(name))) for name in PROFILES]
    for name, adata in frames:
        if name == "profile_hcl_1393x5467":
            # Clusters of one name differ in how much RNA of neighbours leaked in: each is mapped by itself.
            adata.obs["set"] = ["HCL_" + re.sub("[ -]", "", tissue) for tissue in adata.obs["tissue"].astype(str)]
            adata.obs["cell_type"] = adata.obs["label"]
        elif name == "profile_spacet_pancancer_18":
            adata.obs["set"] = "SpaCET_Tumours"
    return frames


def _quantile_map(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Give `values` (one profile on a compressed scale) the sorted shape of a linear profile; ranks stay."""
    order = np.argsort(values)
    target = np.quantile(reference, np.linspace(0, 1, len(values)))
    mapped = np.empty(len(values), np.float32)
    mapped[order] = target
    mapped[values <= values.min()] = 0
    return mapped


@dataclass
class Profiles:
    """Mean expression of pure populations.

    Attributes
    ----------
    matrix
        (p, G) float32, each row sums to 1 over the genes its source measured.
    panel
        (p, G) bool.
    cl_ids, sources
        (p,) object.
    weights
        (p,) float, how much a profile counts among those of its term.
    """

    matrix: np.ndarray
    panel: np.ndarray
    cl_ids: np.ndarray
    sources: np.ndarray
    weights: np.ndarray

    def take(self, rows: np.ndarray | slice) -> Profiles:
        """Return some profiles, by position or bool (p,)."""
        held = (self.matrix, self.panel, self.cl_ids, self.sources, self.weights)
        return Profiles(*(one[rows] for one in held))

    def mean(self) -> np.ndarray:
        """Mean over the profiles of wide panels, (G,): small panels would raise the share of their genes."""
        wide = self.panel.sum(1) >= WIDE * self.panel.sum(1).max()
        return self.matrix[wide].mean(0)


def load_profiles(genes: np.ndarray, counting: dict[str, float] = PROFILES) -> Profiles:
    """Read published profiles that have a Cell Ontology id, and label means of the two permuted sets.

    `counting` says how much the profiles of each file count, as :data:`PROFILES`.
    """
    table = pd.read_csv(HERE / "profile_labels.tsv", sep="\t", dtype=str).fillna("")
    mapping = {(row.file, row.set, row.label): row.cl_id for row in table.itertuples()}
    rows, panels, ids, sources, compressed = [], [], [], [], []
    for name, adata in _profile_frames():
        sets = adata.obs["set"].astype(str) if "set" in adata.obs else pd.Series(name, index=adata.obs_names)
        scale = adata.obs["scale"].astype(str) if "scale" in adata.obs else pd.Series("linear", index=adata.obs_names)
        cl_ids = [mapping.get((name, s, label), "") for s, label in zip(sets, adata.obs["cell_type"], strict=True)]
        matrix, panel = _to_vocabulary(_linear(adata.X, log2=False), _clean_names(adata.var_names), genes)
        dense = matrix.toarray()
        for i, cl_id in enumerate(cl_ids):
            if not cl_id:
                continue
            rows.append(dense[i])
            panels.append(panel)
            ids.append(cl_id)
            sources.append(f"{name}:{sets.iloc[i]}")
            compressed.append("compressed" in scale.iloc[i] or name.startswith("dmap"))
    for name in LABEL_PROFILES:
        study = load_study(name, genes)
        for cl_id in sorted(set(study.cl_ids) - {""}):
            chosen = study.cl_ids == cl_id
            rows.append(np.asarray(study.counts[chosen].mean(0)).ravel())
            panels.append(study.panel)
            ids.append(cl_id)
            sources.append(name)
            compressed.append(False)
    matrix, panel, squeezed = np.array(rows, np.float32), np.array(panels), np.array(compressed)
    linear = matrix[~squeezed]
    shape = np.sort(linear / linear.sum(1, keepdims=True), axis=1).mean(0)
    for i in np.flatnonzero(squeezed):
        matrix[i, panel[i]] = _quantile_map(matrix[i, panel[i]], shape[-int(panel[i].sum()) :])
    matrix /= matrix.sum(1, keepdims=True)
    weights = np.array([counting.get(one.split(":")[0], 1.0) for one in sources])
    return Profiles(matrix, panel, np.array(ids, object), np.array(sources, object), weights).take(weights > 0)


def vocabulary(n_genes: int = 14000) -> np.ndarray:
    """Choose the gene vocabulary: measured by several sources and expressed somewhere.

    Genes are ranked by their highest share in any linear profile, so that genes of rare types stay in.
    """
    seen: dict[str, int] = {}
    peak: dict[str, float] = {}
    for name in STUDIES:
        adata = ad.read_h5ad(fetch(name), backed="r")
        for symbol in set(harmonise(_clean_names(adata.var_names))):
            if usable(symbol):
                seen[symbol] = seen.get(symbol, 0) + 1
    for _, adata in _profile_frames()[:3]:
        share = np.asarray(adata.X.max(0).todense() if sparse.issparse(adata.X) else adata.X.max(0)).ravel()
        symbols = harmonise(_clean_names(adata.var_names))
        for symbol, value in zip(symbols, share, strict=True):
            if usable(symbol):
                peak[symbol] = max(peak.get(symbol, 0.0), float(value))
        for symbol in set(symbols):
            if usable(symbol):
                seen[symbol] = seen.get(symbol, 0) + 1
    ranked = sorted((s for s, n in seen.items() if n >= 2 and s in peak), key=lambda s: (-peak[s], s))
    return np.array(sorted(ranked[:n_genes]), dtype=object)

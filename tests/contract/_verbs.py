"""The scenarios of every other verb: embed, align, tune, describe, retrieve, rollup, ask, and the checks of inputs."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb
from tests.conftest import save_tiny_llama

from . import _data as data
from ._golden import Found, annotation, column, numbers, plain, record

VERBS: dict[str, Callable[[], Found]] = {}

DRUGS = {
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "aspirin": "CC(=O)OC1=CC=CC=C1C(=O)O",
    "ethanol": "CCO",
    "glucose": "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "nicotine": "CN1CCC[C@H]1c1cccnc1",
    "theophylline": "Cn1c(=O)c2[nH]cnc2n(C)c1=O",
    "naproxen": "COc1ccc2cc(ccc2c1)[C@H](C)C(=O)O",
}
SEQUENCES = {
    "ubiquitin": "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG",
    "insulin": (
        "MALWMRLLPLLALLALWGPDPAAAFVNQHLCGSHLVEALYLVCGERGFFYTPKTRREAEDLQVGQVELGGGPGAGSLQPLALEGSLQKRGIVEQCCTSICSLYQLENYCN"
    ),
    "lysozyme": (
        "KVFGRCELAAAMKRHGLDNYRGYSLGNWVCAAKFESNFNTQATNRNTDGSTDYGILQINSRWWCNDGRTPGSRNLCNIPCSALLSSDITASVNCAKKIVSDGNGMNAWVAWRNRCKGTDVQAWIRGCRL"
    ),
    "glucagon": "HSQGTFTSDYSKYLDSRRAQDFVQWLMNT",
}
# Captions in the style of ChEBI's, of molecules like some of the drugs: name, SMILES, text.
CAPTIONS = (
    ("theobromine", "Cn1cnc2c1c(=O)[nH]c(=O)n2C", "a dimethylxanthine with methyl groups at positions 3 and 7.",
     "an adenosine receptor antagonist and a plant metabolite", "a purine alkaloid"),
    ("paraxanthine", "Cn1cnc2c1c(=O)n(C)c(=O)[nH]2", "a dimethylxanthine with methyl groups at positions 1 and 7.",
     "a human metabolite and a central nervous system stimulant", "a dimethylxanthine"),
    ("isocaffeine", "Cn1cnc2c1n(C)c(=O)n(C)c2=O", "a trimethylxanthine with methyl groups at positions 1, 3 and 9.",
     "an adenosine receptor antagonist", "a trimethylxanthine"),
    ("fenoprofen", "CC(C(=O)O)c1cccc(Oc2ccccc2)c1", "a monocarboxylic acid with a phenoxyphenyl group.",
     "a non-steroidal anti-inflammatory drug and a cyclooxygenase inhibitor", "a monocarboxylic acid"),
    ("naproxen(1-)", "COc1ccc2cc([C@H](C)C(=O)[O-])ccc2c1", "the conjugate base of naproxen.",
     "a non-steroidal anti-inflammatory drug", "a monocarboxylic acid anion"),
    ("alpha-D-galactose", "OC[C@H]1O[C@H](O)[C@H](O)[C@@H](O)[C@H]1O", "the alpha-anomer of D-galactose.",
     "a mouse metabolite", "a D-galactopyranose"),
    ("(S)-nornicotine", "c1cncc([C@@H]2CCCN2)c1", "the (S)-enantiomer of nornicotine.",
     "a plant metabolite", "a pyridine alkaloid and a pyrrolidine"),
    ("salicylic acid", "O=C(O)c1ccccc1O", "a monohydroxybenzoic acid with the hydroxy group at position 2.",
     "a keratolytic drug and a plant hormone", "a monohydroxybenzoic acid"),
)  # fmt: skip


def verb(make: Callable[[], Found]) -> Callable[[], Found]:
    """Put a scenario into the table, under the name of its function."""
    VERBS[make.__name__] = make
    return make


def molecules() -> ad.AnnData:
    return sb.pp.molecules(pd.DataFrame({"smiles": list(DRUGS.values())}, index=list(DRUGS)))


def proteins() -> ad.AnnData:
    return sb.pp.proteins(SEQUENCES)


def stained_cells() -> ad.AnnData:
    """30 cells with counts of three surface proteins."""
    adata = data.blood(90)
    counts = np.arange(3 * adata.n_obs).reshape(adata.n_obs, 3) % 7
    names = ["ubiquitin", "insulin", "lysozyme"]
    adata.obsm["protein_expression"] = pd.DataFrame(counts, index=adata.obs_names, columns=names)
    return adata


def table(frame: pd.DataFrame) -> dict[str, Any]:
    return {"columns": list(map(str, frame.columns)), "rows": plain(frame.to_numpy().tolist())}


@verb
def embed_cells() -> Found:
    found = Found()
    for name, adata in {
        "counts": data.blood(45),
        "log": data.log_normalised(data.blood(45)),
        "panel": data.panel(45),
    }.items():
        sb.tl.embed(adata, model=data.model())
        found.numbers[f"embedding_{name}"] = numbers(adata.obsm["X_bioverse"][::4])
        found.text[name] = record(adata, "embed")
    return found


@verb
def embed_molecules() -> Found:
    adata = molecules()
    sb.tl.embed(adata, model=data.model(), modality="molecule")
    found = Found({"record": record(adata, "embed_molecule")})
    found.numbers["embedding_chemnet"] = numbers(adata.obsm["X_bioverse_molecule"][:, ::4])
    sb.tl.embed(adata, model="morgan", modality="molecule", key_added="morgan")
    found.text["morgan"] = record(adata, "embed_morgan_molecule")
    bits = np.asarray(adata.obsm["X_morgan_molecule"])
    found.text["bits"] = {name: np.flatnonzero(row).tolist() for name, row in zip(adata.obs_names, bits, strict=True)}
    return found


@verb
def embed_proteins() -> Found:
    adata, cells = proteins(), stained_cells()
    sb.tl.embed(adata, model=data.model(), modality="protein")
    sb.tl.embed(cells, model=data.model(), modality="protein", key="protein_expression", sequences=SEQUENCES)
    return Found(
        {"record": record(adata, "embed_protein"), "surface": record(cells, "embed_protein")},
        {
            "embedding_proteins": numbers(adata.obsm["X_bioverse_protein"][:, ::4]),
            "embedding_surface": numbers(cells.obsm["X_bioverse_protein"][::3, ::8]),
        },
    )


@verb
def embed_two_modalities_of_cells() -> Found:
    """The drug that each cell saw beside its genes."""
    adata = data.blood(90)
    adata.obs["drug"] = [list(DRUGS.values())[i % 3] if i % 5 else "" for i in range(adata.n_obs)]
    sb.tl.embed(adata, model=data.model())
    sb.tl.embed(adata, model=data.model(), modality="molecule", key="drug")
    found = Found({"record": record(adata, "embed_molecule")})
    found.numbers["embedding_drugs"] = numbers(adata.obsm["X_bioverse_molecule"][:12, ::16])
    return found


@verb
def aligned_coordinates() -> Found:
    adata = data.blood(45)
    sb.tl.annotate(adata, model=data.model(), labels=data.NAMES, rationale=None)
    return Found({"shape": list(adata.obsm["X_bioverse_aligned"].shape)}, {
        "aligned": numbers(adata.obsm["X_bioverse_aligned"][::6, ::4])
    })  # fmt: skip


@verb
def align_contrastive() -> Found:
    """A new projector beside the language model's reading of labels; then cells are labelled with it."""
    adata = data.blood(45)
    trained = sb.tl.align(
        adata, text_key="cell_type", model=data.model(), steps=20, batch_size=16, general_text=False, rng=0
    )
    sb.tl.annotate(adata, model=trained, labels=data.NAMES, rationale=None)
    return _trained(adata, "align", ["loss_first", "loss_last"])


@cache
def tiny_llm() -> str:
    """Folder of a random language model of two layers."""
    folder = Path(tempfile.mkdtemp(prefix="contract-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(save_tiny_llama(folder))


def represented() -> ad.AnnData:
    """60 toy cells of five types, with an embedding of one's own."""
    adata = sb.datasets.toy_cells(n_obs=60, n_genes=300)
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(5, 8))
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    adata.obsm["X_mine"] = (centres[codes] + 0.1 * generator.normal(size=(60, 8))).astype(np.float32)
    return adata


@cache
def tiny_model() -> tuple[ad.AnnData, sb.models.BioVerse]:
    """Cells, and a model trained on their own embedding to say their labels."""
    adata = represented()
    trained = sb.tl.align(
        adata,
        text_key="cell_type",
        model=None,
        use_rep="X_mine",
        llm=tiny_llm(),
        loss="autoregressive",
        steps=40,
        rng=0,
    )
    return adata, trained


@verb
def align_autoregressive() -> Found:
    adata, trained = tiny_model()
    adata = adata.copy()
    sb.tl.annotate(adata, model=trained, method="score", rationale=None)
    return _trained(adata, "align", ["loss_first", "loss_last"])


@verb
def tune() -> Found:
    adata, trained = tiny_model()
    adata = adata.copy()
    tuned = sb.tl.tune(adata, text_key="cell_type", model=trained, steps=6, batch_size=4, rng=0)
    sb.tl.annotate(adata, model=tuned, method="score", rationale=None)
    found = _trained(adata, "tune", [])
    history = found.text["record"].pop("history")
    found.numbers["loss"] = numbers(history["loss"])
    found.text["history"] = sorted(history)
    found.text["tasks_by_step"] = [
        [name for name in sorted(history) if name.startswith("loss_") and history[name][step] is not None]
        for step in range(6)
    ]
    return found


def _trained(adata: ad.AnnData, step: str, losses: list[str]) -> Found:
    """What was recorded of a training, and the labels of a model that came out of it."""
    found = Found({"record": record(adata, step), "trained_label": column(adata.obs["bioverse_label"])})
    for name in losses:
        found.numbers[f"loss_{name}"] = numbers(found.text["record"].pop(name))
    if "X_mine" in adata.obsm:  # the tiny language model lies in a temporary folder
        for name in ("llm", "llm_sha256"):
            found.text["record"].pop(name)
    return found


@verb
def describe_molecules() -> Found:
    """What the language model writes of two molecules, and texts of known ones nearest to others."""
    found = Found()
    two = molecules()[["aspirin", "nicotine"]].copy()
    sb.tl.describe(two, modality="molecule", model=data.model(), max_new_tokens=24)
    found.text["written"] = column(two.obs["bioverse_description"])
    found.text["record"] = record(two, "describe")
    found.numbers["scores_written"] = numbers(two.obs["bioverse_description_score"])
    table = pd.DataFrame(CAPTIONS, columns=["name", "smiles", "definition", "role", "class"]).set_index(
        "name", drop=False
    )
    known = sb.pp.molecules(table)
    known.obs["text"] = [
        f"The molecule is {row.definition} It has a role as {row.role}. It is {row._5}." for row in table.itertuples()
    ]
    others = molecules()
    sb.tl.describe(others, modality="molecule", model=data.model(), reference=known, n_neighbors=3)
    found.text["combined"] = column(others.obs["bioverse_description"])
    found.text["source"] = column(others.obs["bioverse_description_source"])
    found.numbers["similarity"] = numbers(others.obs["bioverse_description_score"])
    return found


@verb
def retrieve() -> Found:
    found = Found()
    cells = data.blood(45)
    sb.tl.retrieve(cells, "B cell", model=data.model(), name="b")
    sb.tl.retrieve(
        cells, {"killers": "cytotoxic lymphocyte", "clots": "platelet"}, model=data.model(), scale="zscore", name="two"
    )
    sb.tl.retrieve(cells, data.NAMES, direction="text", model=data.model(), name="names")
    found.numbers["similarity_b"] = numbers(cells.obs["bioverse_retrieve_b"])
    found.numbers["entropy_zscore"] = numbers(cells.obsm["bioverse_retrieve_two"])
    found.text["columns"] = list(cells.obsm["bioverse_retrieve_two"].columns)
    found.text["names"] = column(cells.obs["bioverse_retrieve_names"])
    found.numbers["similarity_names"] = numbers(cells.obs["bioverse_retrieve_names_score"])
    found.text["record"] = record(cells, "retrieve_b")
    drugs = molecules()
    sb.tl.retrieve(drugs, "a stimulant", direction="rows", modality="molecule", model=data.model(), name="q")
    sb.tl.retrieve(drugs, None, direction="similar", modality="molecule", model=data.model(), name="s", top_k=3)
    found.numbers["similarity_drugs"] = numbers(drugs.obs["bioverse_retrieve_q"])
    found.numbers["similarity_similar"] = numbers(drugs.obsm["bioverse_retrieve_s"])
    found.text["similar"] = drugs.obsm["bioverse_retrieve_s_rows"].tolist()
    return found


@verb
def rollup() -> Found:
    adata = data.blood()
    sb.tl.annotate(adata, model=data.model(), labels=data.NAMES, rationale=None)
    found = Found()
    for level in (4, "lymphocyte", ["T cell", "B cell", "CL:0000576"]):
        sb.tl.rollup(adata, level=level)
        found.text[str(level)] = column(adata.obs["bioverse_label_rollup"])
        found.text[f"ids {level}"] = column(adata.obs["bioverse_label_rollup_cl_id"])
        found.text[f"record {level}"] = record(adata, "rollup")
    sb.tl.rollup(adata, level=5, label_key="cell_type")
    found.text["of experts"] = column(adata.obs["bioverse_label_rollup"])
    return found


@verb
def tables() -> Found:
    """Every table of `sb.get`."""
    adata = data.blood()
    options = {"labels": data.NAMES, "groupby": "cluster", "sample_key": "donor", "rationale": "template"}
    sb.tl.annotate(adata, model=data.model(), **options)
    found = Found({"steps": sorted(sb.get.records(adata))})
    for name in ("labels", "groups", "samples", "evidence"):
        found.text[name] = table(getattr(sb.get, name)(adata).drop(columns="p", errors="ignore"))
    first = sb.get.annotation(adata)
    found.text["annotation"] = table(first.drop(columns="confidence").astype(object).iloc[:3])
    found.text["index"] = [list(first.index) == list(adata.obs_names), list(sb.get.scores(adata).columns)]
    found.text["models"] = table(
        sb.models.list_models().loc[["bioverse-small"], ["kind", "modalities", "llm", "n_labels", "licence", "present"]]
    )
    return found


@verb
def checks_of_inputs() -> Found:
    found = Found()
    for name, adata in {
        "counts": data.blood(),
        "log": data.log_normalised(data.blood()),
        "panel": data.panel(),
    }.items():
        found.text[name] = plain(sb.pp.check_cells(adata).to_dict())
    found.text["ensembl"] = plain(sb.pp.check_cells(data.by_ensembl(data.panel()), key="gene_ids").to_dict())
    found.text["molecules"] = table(molecules().obs)
    found.text["proteins"] = table(proteins().obs)
    return found


@verb
def saved_and_loaded() -> Found:
    """A saved model, read again, says the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = data.model().save(Path(folder) / "again")
        files = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
        again = sb.models.load(path, llm=data.backbone(), device="cpu")
        adata = data.blood(45)
        sb.tl.annotate(adata, model=again, labels=data.NAMES, rationale="template")
    found = annotation(adata)
    assert any(one.endswith(".safetensors") for one in files)
    assert "config.json" in files
    return found

"""Rehearsals: the whole model trained without some studies, sets of profiles or cell types.

They give what no other figure can: how the recipe does on studies and on labels it never saw, and a calibration that
no training cell took part in. Each leaves out unrelated things at once (a blood study and one of another tissue; a
blood type and a pancreatic one), so that three trainings stand for six or more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from recipes.bioverse_small.encoder import TrainedEncoder
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.models import BioVerse, load


@dataclass(frozen=True)
class LeftOut:
    """What a training does without.

    Attributes
    ----------
    studies
        Training studies, by name.
    types
        Cell Ontology ids; cells and profiles of these and of everything below them.
    profiles
        Sets of profiles, by name, see :mod:`recipes.bioverse_small.profile_sets`.
    """

    studies: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


# Studies of sorted blood cells share cells (Zheng 2017) and leave together.
SORTED = ("pbmc_facs_zheng", "pbmc14k_facs_3500", "pbmc_sorted_mudan")
STUDY_FOLDS = {
    "kang+baron": LeftOut(studies=("kang_ifnb_pbmc", "pancreas_baron_human")),
    "citeseq+cortex": LeftOut(studies=("citeseq_pbmc10k_4000g", "fetal_cortex_culture_4474_2000g")),
    "sorted+mouse": LeftOut(studies=(*SORTED, "mouse_brain_1122g")),
}
TYPE_FOLDS = {
    "B+beta": LeftOut(types=("CL:0000236", "CL:0000169")),
    "NK+alpha": LeftOut(types=("CL:0000623", "CL:0000171")),
    "CD16mono+ductal": LeftOut(types=("CL:0002396", "CL:0002079")),
}
# Tissues of the whole body, all but one adult, most of whose types other sets or studies have, too.
BODY = "body"
BODY_FOLD = LeftOut(
    profiles=(
        "Adult_Esophagus_HCA",
        "Adult_Heart_HCA",
        "Adult_ImmuneTumor_safeTME",
        "Adult_Liver_HCA",
        "Adult_Lung_HCA",
        "Adult_Pancreas_HCA",
        "Adult_Prostate_Henry",
        "Adult_Skin_HCA",
        "Adult_Spleen_HCA",
        "COVID-Infected_Bronchoalveolar_lavage_fluid_COVID19_cellAtlas",
        "Fetal_Adrenal_Descartes",
        "gut_crohn_scp1884",
    )
)
FOLDS = {"full": LeftOut(), BODY: BODY_FOLD} | STUDY_FOLDS | TYPE_FOLDS
# What a model is calibrated on.
CALIBRATION_FOLDS = (*STUDY_FOLDS, BODY)
BYPASS = "bypass.safetensors"


def share_cells(study: str, other: str) -> bool:
    """Whether two training studies are the same or hold cells of the same experiment."""
    return study == other or {study, other} <= set(SORTED)


def name_prototypes(model: BioVerse, terms: list[str]) -> None:
    """Write down which term each prototype of the cell projector stands for."""
    model.config.encoders["cell"] = replace(model.config.encoders["cell"], terms=tuple(terms))


def save_rehearsal(model: BioVerse, trained: TrainedEncoder, folder: Path) -> None:
    """Write a model and the training head that bypasses its language model."""
    (folder / BYPASS).unlink(missing_ok=True)  # of a rehearsal before: a folder with more than a model is not replaced
    model.save(folder, overwrite=True)
    # A model folder with a numpy archive in it, which could hold a pickle, would be refused.
    tensors = {"prototypes": trained.prototypes.contiguous(), "scale": torch.tensor(trained.scale, dtype=torch.float64)}
    save_file(tensors, folder / BYPASS, metadata={"terms": json.dumps(trained.terms)})


def load_either(name: str) -> BioVerse:
    """Load a model by name or folder; of a rehearsal, the prototypes are named, too."""
    return load_rehearsal(Path(name))[0] if (Path(name) / BYPASS).is_file() else load(name)


def load_rehearsal(folder: Path) -> tuple[BioVerse, TrainedEncoder]:
    """Read what :func:`save_rehearsal` wrote."""
    model = load(folder)
    encoder = model.encoders["cell"]
    if not isinstance(encoder, CompactCellEncoder):
        raise TypeError(f"{folder} holds a {type(encoder).__name__}, not a compact encoder")
    with safe_open(folder / BYPASS, framework="pt") as held:
        terms = json.loads(held.metadata()["terms"])
        prototypes, scale = held.get_tensor("prototypes"), float(held.get_tensor("scale"))
    name_prototypes(model, terms)
    return model, TrainedEncoder(encoder.net, encoder.stats, terms, prototypes, scale)

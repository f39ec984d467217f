"""What the card says of the molecules and proteins of the shipped checkpoint."""

from __future__ import annotations

from typing import Any

from recipes.bioverse_small import molecules, proteins
from scbioverse.datasets import list_datasets
from scbioverse.models import BioVerse

LIMITS = {
    "molecule": "Molecules: a text is written from the kind, roles and classes that a head finds in the embedding. "
    "These are often wrong, as the figures on development pairs show, and what the text adds to them is made up. "
    "sb.tl.describe with a reference is nearer to the truth.",
    "protein": "Proteins: counted k-mers are a floor, no language model of proteins. They know a family that they saw; "
    "of others the projector knows little more than the broad class.",
}


def with_limit(training: dict[str, Any], modality: str) -> list[str]:
    """Limits of a card, with the present one of a modality in place of any before."""
    begins = f"{modality.capitalize()}s"
    return [*(one for one in training.get("limits", []) if not one.startswith(begins)), LIMITS[modality]]


def note(model: BioVerse, modality: str, notes: dict[str, Any], figures: dict[str, float]) -> None:
    """Write down on the card what a modality was trained on."""
    table = list_datasets()
    table = table.set_index("name") if "name" in table else table
    sources = {"molecule": (molecules.REBUILT, molecules.REAL), "protein": (proteins.SOURCE,)}[modality]
    training = dict(model.config.training)
    rows = [row for row in training.get("data", []) if row.get("role") != f"{modality} texts"]
    for name in sources:
        info = table.loc[name]
        rows.append(
            {"name": name, "role": f"{modality} texts", "licence": info["licence"], "citation": info["citation"]}
        )
    also = {"molecule": " Also reads molecules, by ChemNet.", "protein": " Also reads proteins, by counted k-mers."}
    summary = str(training.get("summary", ""))
    training["summary"] = summary if also[modality] in summary else summary + also[modality]
    command = f"python -m recipes.bioverse_small.sequences --seed {notes['seed']}"
    training |= {"data": rows, "limits": with_limit(training, modality), modality: {"command": command, **notes}}
    model.config.training = training
    title = f"{modality}s, retrieval among {figures['n']} development pairs of one text each"
    model.config.metrics = {**model.config.metrics, title: [figures]}

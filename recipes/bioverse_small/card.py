"""What the shipped checkpoint's card says beyond what the code knows: data, limits, licence, figures."""

from __future__ import annotations

from typing import Any

from recipes.bioverse_small.data import DEV_TESTS, LABEL_PROFILES, STUDIES, UNLABELLED
from scbioverse.datasets import list_datasets
from scbioverse.models import BioVerse

Figures = dict[str, dict[str, dict[str, float]]]
"""By study and method."""

LIMITS = [
    "The cell encoder was trained from scratch on about twenty thousand real cells and about twenty thousand cells "
    "simulated from published profiles. It saw thousands of cells, not the millions of a foundation model.",
    "Human only. Blood, pancreas and fetal cortex are backed by real cells, other tissues by simulated cells alone.",
    "Naive CD8 T cells and naive CD4 T cells differ by few transcripts; at droplet depth they are often confused.",
    "Names that were never trained are read through their words and descriptions, with lower accuracy.",
    "Confidence is the probability among the given candidates, calibrated on training studies that rehearsals left "
    "out. It says nothing about types that are not among the candidates.",
    "The language model is SmolLM2-135M-Instruct, which knows next to no cell biology by itself. Asked about "
    "candidates (method='score'), it says what attention and markers tell it, as often right and less well calibrated.",
    "The rule that weighs marker genes was chosen with the studies of this card in view, left-out ones included; the "
    "temperatures and weights of a left-out study's figures were fitted without it. Weights, not temperatures, were "
    "fitted on cells simulated from left-out sets of profiles of the whole body, too.",
    "For research. Not for diagnosis.",
]

LICENCE = (
    "Weights: CC BY-SA 4.0, because Human Protein Atlas profiles (CC BY-SA 3.0) are among the training data. The "
    "language model is not included (Apache-2.0)."
)


CELL_ROLES = ("cells", "unlabelled cells", "profiles")
KEPT = ("seed", "seconds", "torch_threads", "encoder", "projector", "answers")
"""What a card says of how the cell side was trained."""


def data_rows(studies: list[str], counting: dict[str, float]) -> list[dict[str, str]]:
    """Rows of the card's table of data that the cell side was trained on."""
    table = list_datasets()
    table = table.set_index("name") if "name" in table else table
    names = zip(
        CELL_ROLES,
        (studies, UNLABELLED, (*(one for one, much in counting.items() if much), *LABEL_PROFILES)),
        strict=True,
    )
    of_role = [(role, name, table.loc[name]) for role, some in names for name in some]
    return [
        {"name": name, "role": role, "licence": info["licence"], "citation": info["citation"]}
        for role, name, info in of_role
    ]


def describe(model: BioVerse, summary: dict[str, Any]) -> None:
    """Fill the model's `training` and `metrics` for its card."""
    model.config.training = {
        "summary": "Reads human cells: a compact cell encoder, a projector into SmolLM2-135M-Instruct, and a space "
        "shared with descriptions of cell types.",
        "data": data_rows(summary["studies"], summary["profiles"]),
        "limits": LIMITS,
        "command": f"python -m recipes.bioverse_small.make --seed {summary['seed']}",
        **{key: summary[key] for key in (*KEPT, "calibration")},
    }
    model.config.training["licence"] = LICENCE
    model.config.metrics = study_tables(summary["figures"], summary.get("left_out_figures", {}))


def study_tables(figures: Figures, left_out: Figures) -> dict[str, list[dict[str, Any]]]:
    """Tables of the card, by title: the development tests, then the studies that rehearsals left out."""
    asked = "every cell by itself, the study's own labels as candidates"
    tables = {f"{study}, {asked}": methods for study, methods in figures.items()}
    tables |= {
        f"{study}, left out of training and calibration, {asked}": methods for study, methods in left_out.items()
    }
    return {
        title: [{"method": method, **values} for method, values in methods.items()] for title, methods in tables.items()
    }


def renew_figures(model: BioVerse, figures: Figures, left_out: Figures) -> None:
    """Replace the tables of studies on a model's card; tables of other things stay."""
    studies = (*figures, *left_out, *STUDIES, *DEV_TESTS)
    kept = {
        title: table for title, table in model.config.metrics.items() if title.split(",", maxsplit=1)[0] not in studies
    }
    model.config.metrics = study_tables(figures, left_out) | kept

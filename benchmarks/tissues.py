"""What a tissue adds to labels: `python -m benchmarks.tissues`, no candidates given.

For each study with expert labels: which tissue is guessed from calls without one; the calls with none, with the guess,
with the right tissue given, with every wrong one that has a table, and with the right tissue's prior dealt to the types
at random (the control: were it the penalty as such that helps, this would help, too). Of the calls:

- related: the expert's term, a kind of it, or above it; exact: the expert's term;
- other organ: types that live elsewhere by the very table that the prior comes from, so that little of them afterwards
  only shows that the prior was strong enough;
- not in the study: types related to none of the study's expert terms, which no table knows of.

`cells` are calls of each cell by itself among the model's vocabulary (`labels="vocabulary"`); `first call` is
`annotate(adata)` with nothing but `tissue=`. A wrong tissue is noticed if `annotate` warns; one that warns of the right
tissue is a false alarm. Kang, baron and the fetal cortex are training studies of `bioverse-small`: they count as left
out only with a rehearsal that did without them (`--rehearsal NAME=FOLDER`). Prints tables, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import scbioverse as sb
from benchmarks.unknown import read_study
from recipes.bioverse_small.rehearsals import STUDY_FOLDS, load_either
from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.tissues import listed_types, load_tissues, read_tissue
from scbioverse.predict.tissue import FEWEST_LISTED, FLOOR, SURE, Called, TissuePrior, doubt, guess_tissue, read_tissues

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results" / "tissues.json"
# Of each study its tissue and those that are as right.
STUDIES: dict[str, tuple[str, ...]] = {
    "pbmc3k": ("blood",),
    "pbmc_symphony_1200_1767g": ("blood",),
    "pancreas_wang_501_219g_log": ("pancreas",),
    "colorectal_scmetalink_2850_4047g": ("large intestine", "intestine"),
    "lymphoid_organs_330": ("lymph node", "tonsil", "spleen"),
    "fetal_cortex_culture_4474_2000g": ("cerebral cortex", "brain"),
    "kang_ifnb_pbmc": ("blood",),
    "pancreas_baron_human": ("pancreas",),
}
TRAINED_ON = ("fetal_cortex_culture_4474_2000g", "kang_ifnb_pbmc", "pancreas_baron_human")
# Given as wrong in the first call, where each takes a whole run.
WRONG = {"blood": "kidney", "pancreas": "lung"}
DEALS = 20


def told_wrong(right: tuple[str, ...]) -> list[str]:
    """Tissues with a table that are neither right, nor part of what is right, nor what that is part of."""
    kin = {read_tissue(one) for one in right}
    near = {one.id for one in kin} | {one.within for one in kin}
    known = [one for one in load_tissues().values() if len(listed_types()[one.id]) >= FEWEST_LISTED]
    return [one.name for one in known if one.id not in near and one.within not in near - {""}]


def figures(called: list[str], truth: NDArray[np.object_], right: str) -> dict[str, float]:
    """Shares of the calls."""
    ontology, held = load_ontology(), sorted(set(truth))
    kin = {one: [bool(one) and ontology.related(one, other) for other in held] for one in set(called)}
    at = np.searchsorted(held, truth)
    related = np.array([kin[one][i] for one, i in zip(called, at, strict=True)])
    away = TissuePrior.of(right).log_prior(called) == FLOOR
    found = {
        "related": related.mean(),
        "exact": (np.array(called, dtype=object) == truth).mean(),
        "other organ": away.mean(),
        "not in the study": np.mean([not any(kin[one]) for one in called]),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def by_cell(study: str, name: str, model: Any, max_cells: int, seed: int) -> dict[str, Any]:
    """Figures of calls of each cell by itself."""
    right = STUDIES[study]
    adata = read_study(study, max_cells, seed)
    truth = adata.obs["cl_id"].astype(str).to_numpy(dtype=object)
    sb.tl.annotate(adata, model=model, labels="vocabulary", tissue="any", rationale=None)
    scores = adata.obsm["bioverse_scores"].to_numpy()
    ids = read_ids(adata)
    called = Called.of(scores, ids)
    guess = guess_tissue(called)

    def of(log_probs: NDArray[np.floating]) -> dict[str, float]:
        return figures([ids[i] or "" for i in log_probs.argmax(axis=1)], truth, right[0])

    before = of(scores)
    rows = {"none": before, "given": of(TissuePrior.of(right[0]).adjust(scores, ids))}
    unnamed = read_tissues(adata, None).weighed(scores, ids)
    rows["guessed"] = of(unnamed.adjust(scores, ids))
    rng = np.random.default_rng(seed)
    deals = [list(rng.permutation(np.array(ids, dtype=object))) for _ in range(DEALS)]
    dealt = [of(TissuePrior.of(right[0]).adjust(scores, deal)) for deal in deals]
    rows["dealt at random"] = pd.DataFrame(dealt).mean().round(4).to_dict()
    wrong = {one: of(TissuePrior.of(one).adjust(scores, ids)) for one in told_wrong(right)}
    noticed = [bool(doubt(read_tissue(one), called)) for one in wrong]
    rows["wrong"] = pd.DataFrame(wrong).T.mean().round(4).to_dict()
    guesses = [guess_tissue(Called.of(scores, deal)).confidence >= SURE for deal in deals]
    return {
        "study": study, "model": name, "trained on": study in TRAINED_ON and name == "bioverse-small",
        "cells": adata.n_obs, "guess": guess.tissue.name if guess.tissue else None,
        "confidence": round(guess.confidence, 3), "right": guess.tissue is not None and guess.tissue.name in right,
        "used": bool(unnamed.priors),
        "guess used with types dealt at random": round(float(np.mean(guesses)), 2),
        "false alarm": any(bool(doubt(read_tissue(one), called)) for one in right),
        "wrong tissues": len(wrong), "noticed": round(float(np.mean(noticed)), 3),
        "not noticed": [one for one, seen in zip(wrong, noticed, strict=True) if not seen],
        "lowest related with a wrong one": min(one["related"] for one in wrong.values()),
        "calls": rows,
    }  # fmt: skip


def read_ids(adata: Any) -> list[str | None]:
    """Cell Ontology ids of the labels of the last run."""
    return [one["cl_id"] for one in json.loads(adata.uns["bioverse"]["annotate"])["labels"]]


def first_call(study: str, name: str, model: Any, max_cells: int, seed: int) -> dict[str, Any]:
    """Figures of `annotate(adata)` without candidates."""
    right = STUDIES[study]
    adata = read_study(study, max_cells, seed)
    truth = adata.obs["cl_id"].astype(str).to_numpy(dtype=object)
    rows, warned = {}, {}
    for way, tissue in {
        "none": "any",
        "guessed": None,
        "given": right[0],
        "wrong": WRONG.get(right[0], "pancreas"),
    }.items():
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            sb.tl.annotate(adata, model=model, tissue=tissue, rationale=None, rng=seed)
        warned[way] = any("tissue=" in str(one.message) for one in seen)
        called = adata.obs["bioverse_cl_id"].astype(str).tolist()
        rows[way] = figures(called, truth, right[0]) | {"labels": len(set(called))}
    return {
        "study": study, "model": name, "trained on": study in TRAINED_ON and name == "bioverse-small",
        "cells": adata.n_obs, "false alarm": warned["given"], "wrong": WRONG.get(right[0], "pancreas"),
        "noticed": warned["wrong"], "calls": rows,
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One line a study and way of naming the tissue."""
    return pd.DataFrame(
        [
            {"study": row["study"], "model": row["model"], "tissue": way} | found
            for row in rows
            for way, found in row["calls"].items()
        ]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name of a model, or a folder")
    parser.add_argument("--studies", default=",".join(STUDIES), help="separated by commas")
    parser.add_argument(
        "--rehearsal", action="append", default=[], metavar="FOLD=FOLDER", help="measure its left-out studies with it"
    )
    parser.add_argument("--max-cells", type=int, default=600)
    parser.add_argument("--first-call", default=",".join(STUDIES), help="studies of the second part; '' for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    warnings.simplefilter("ignore", UserWarning)
    asked = [(study, args.model) for study in args.studies.split(",") if study]
    for pair in args.rehearsal:
        fold, folder = pair.split("=", 1)
        asked += [(study, folder) for study in STUDY_FOLDS[fold].studies if study in STUDIES]
    models = {name: load_either(name) for name in dict.fromkeys(name for _, name in asked)}
    known = {name: name if name == args.model else f"without {Path(name).name}" for name in models}
    alone = [by_cell(study, known[name], models[name], args.max_cells, args.seed) for study, name in asked]
    second = [(study, name) for study, name in asked if study in args.first_call.split(",")]
    first = [first_call(study, known[name], models[name], args.max_cells, args.seed) for study, name in second]
    record = {"model": args.model, "max_cells": args.max_cells, "seed": args.seed, "cpus": os.cpu_count()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record | {"cells": alone, "first call": first}, indent=1) + "\n")
    shown = ["study", "model", "trained on", "guess", "confidence", "right", "false alarm", "noticed"]
    print(pd.DataFrame(alone)[shown].to_string(index=False), table(alone).to_string(index=False), sep="\n\n")
    if first:
        shown = ["study", "model", "trained on", "false alarm", "wrong", "noticed"]
        print("\nfirst call", pd.DataFrame(first)[shown].to_string(index=False), sep="\n")
        print("", table(first).to_string(index=False), f"\nwritten to {args.output}", sep="\n")


if __name__ == "__main__":
    main()

"""The first call, `sb.tl.annotate(adata)` without candidates: `python -m benchmarks.first_call`.

Studies that the model was not trained on: the development studies with the model that ships, and training studies that
a rehearsal left out (`--rehearsals FOLDER`, with one folder a fold). How the calls stand to the experts' terms: the
same, within, or above and not broader than 600 terms (`related` is their sum); labels a type, and labels of fewer than
1 % of the cells; expected calibration error of the confidence that a call is related; groups that the language model
read. Whether two halves of the cells, annotated apart, get the names that they get together. Labels of another organ
are printed by name (`labels`), for the reader to judge.

Controls: the old way (`labels="vocabulary"`, each cell by itself), the calls dealt to the cells at random, the language
model's word left out, its word for one group given to another, and one broad or fine level of names. Prints tables,
writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb
from benchmarks.language_model_parts.studies import STUDIES
from benchmarks.ontology import kinship, shares
from benchmarks.unknown import read_study
from recipes.bioverse_small.rehearsals import STUDY_FOLDS, load_either
from scbioverse.predict import first_call
from scbioverse.train.calibrate import expected_calibration_error

RESULTS = Path(__file__).parent / "results" / "first_call.json"
SMALL = 0.01
READ = first_call.read_groups_of


class Readings:
    """What the language model said of groups, read once for each set of groups."""

    def __init__(self) -> None:
        self.held: dict[Any, Any] = {}

    def __call__(self, batch: Any, groups: Any, candidates: Any) -> Any:
        """Return a reading, an earlier one if the groups are the same."""
        key = (groups.codes.tobytes(), len(candidates), batch.values[:1].tobytes())
        if key not in self.held:
            self.held[key] = READ(batch, groups, candidates)
        return self.held[key]

    def shuffled(self, batch: Any, groups: Any, candidates: Any) -> Any:
        """Return the word for one group as that for another."""
        found = self(batch, groups, candidates)
        if found is None:
            return None
        return replace(found, log_probs=np.random.default_rng(0).permutation(found.log_probs))


@contextmanager
def reading(how: Any) -> Iterator[None]:
    """Let groups be read in another way."""
    with mock.patch.object(first_call, "read_groups_of", how):
        yield


def annotated(adata: ad.AnnData, model: Any, **options: Any) -> pd.DataFrame:
    """Return what `annotate` writes into `obs`."""
    found = sb.tl.annotate(adata, model=model, copy=True, **({"rationale": None} | options))
    return found.obs.filter(like="bioverse_").rename(columns=lambda name: name.removeprefix("bioverse_"))


def described(found: pd.DataFrame, truth: np.ndarray) -> dict[str, Any]:
    """Figures of one way to call the cells."""
    called = found["cl_id"].astype(str).to_numpy()
    pairs = {pair: kinship(*pair) != "other" for pair in set(zip(called, truth, strict=True))}
    right = np.array([pairs[pair] for pair in zip(called, truth, strict=True)])
    counts = found["label"].value_counts()
    counts = counts[counts > 0]
    held = shares(called, truth)
    dealt = np.random.default_rng(0).permutation(called)
    return {
        **{name: held[name] for name in ("same", "within", "above")},
        "related": held["match"],
        "dealt at random": shares(dealt, truth)["match"],
        "types": len(set(truth)),
        "labels": len(counts),
        "labels a type": round(len(counts) / len(set(truth)), 2),
        "labels below 1 %": int((counts < SMALL * len(found)).sum()),
        "ece": round(expected_calibration_error(found["confidence"].to_numpy(np.float64).clip(0, 1), right), 4),
        "counts": {str(name): int(n) for name, n in counts.items()},
    }


def halves_agree(adata: ad.AnnData, whole: pd.DataFrame, model: Any, seed: int) -> float:
    """Share of cells that are called by the name that they get with all cells, when halves are annotated apart."""
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    parts = np.sort(order[: adata.n_obs // 2]), np.sort(order[adata.n_obs // 2 :])
    same = [
        annotated(adata[rows].copy(), model)["label"].astype(str).to_numpy()
        == whole["label"].iloc[rows].astype(str).to_numpy()
        for rows in parts
    ]
    return round(float(np.concatenate(same).mean()), 4)


def measure(study: str, model: Any, max_cells: int, seed: int) -> list[dict[str, Any]]:
    """One row for each way to call the cells of a study."""
    adata = read_study(study, max_cells, seed)
    truth = adata.obs["cl_id"].astype(str).to_numpy()
    readings = Readings()
    begin = time.perf_counter(), time.process_time()
    with reading(readings):
        full = sb.tl.annotate(adata, model=model, copy=True)
    took = {"seconds": round(time.perf_counter() - begin[0], 1), "processor": round(time.process_time() - begin[1], 1)}
    found = full.obs.filter(like="bioverse_").rename(columns=lambda name: name.removeprefix("bioverse_"))
    groups = sb.get.groups(full)
    read = {"groups": len(groups), "groups read": int(groups["read"].notna().sum()) if "read" in groups else 0}
    sb.tl.embed(adata, model=model)
    rows = [{"way": "first call"} | described(found, truth) | read | took]
    rows[0]["halves agree"] = halves_agree(adata, found, model, seed)
    rows.append({"way": "old: vocabulary"} | described(annotated(adata, model, labels="vocabulary"), truth))
    others: dict[str, tuple[Any, dict[str, Any]]] = {
        "without its word": (lambda *_: None, {}),
        "its word shuffled": (readings.shuffled, {}),
        "broad": (readings, {"level": "broad"}),
        "fine": (readings, {"level": "fine"}),
    }
    for way, (how, options) in others.items():
        with reading(how):
            other = annotated(adata, model, **options)
        same = float((other["label"].astype(str) == found["label"].astype(str)).mean())
        rows.append({"way": way} | described(other, truth) | {"as first call": round(same, 4)})
    return [{"study": study, "cells": adata.n_obs} | row for row in rows]


def left_out(folder: Path) -> list[tuple[str, str]]:
    """Rehearsals that are there, with each study that they left out."""
    return [
        (str(folder / fold), study)
        for fold, out in STUDY_FOLDS.items()
        if (folder / fold / "config.json").is_file()
        for study in out.studies
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name or folder of a model")
    parser.add_argument("--studies", default=",".join(STUDIES), help="not trained on, separated by commas")
    parser.add_argument("--rehearsals", type=Path, default=Path("build/rehearsals"))
    parser.add_argument("--max-cells", type=int, default=3000, help="of a study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    warnings.simplefilter("ignore", UserWarning)
    tests = [(args.model, one) for one in args.studies.split(",") if one] + left_out(args.rehearsals)
    rows: list[dict[str, Any]] = []
    models: dict[str, Any] = {}
    for name, study in tests:
        models = models if name in models else {name: load_either(name)}
        _ = models[name].backbone
        rows += [{"model": Path(name).name} | row for row in measure(study, models[name], args.max_cells, args.seed)]
        # After each study: a run that is stopped leaves what it measured.
        args.output.write_text(
            json.dumps({"seed": args.seed, "max_cells": args.max_cells, "rows": rows}, indent=1) + "\n"
        )
    table = pd.DataFrame(rows)
    print(table.drop(columns="counts").to_string(index=False))
    first = table[table["way"] == "first call"]
    for row in first.itertuples():
        print(row.study, row.counts)
    print(table.groupby("way")[["same", "within", "above", "related", "ece"]].mean().round(4).to_string())
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()

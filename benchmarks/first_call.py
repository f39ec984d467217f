"""The first call, `sb.tl.annotate(adata)` without candidates: `python -m benchmarks.first_call`.

Studies that the model was not trained on: the development studies with the model that ships, and training studies and
sets of profiles, as simulated cells, that rehearsals left out. `--rehearse FOLD ...` trains those that are not there;
the weights of the sources are those of the model that ships, which were fitted by way of such rehearsals. With
`--landscape`, cells simulated from tissues of the Human Cell Landscape, which the model that ships never saw.

How the calls stand to the experts' terms: the same, within, or above and not broader than 600 terms (`related` is their
sum); `fits` also counts a broad name of the package's that holds the expert's term, such as "neuron". Labels a type,
and labels of fewer than 1 % of the cells; expected calibration error of the confidence that a call is related, as it is
and at other temperatures of what groups decide; groups that the language model read; seconds from counts to names and
reasons. Whether two halves of the cells, annotated apart, get the names that they get together. Of thirty cells, drawn
ten times, how their calls stand to the experts' terms and to the names that they get with all. Labels of another organ
are printed by name (`labels`), for the reader to judge.

Controls: names among the model's own terms alone, without types that it was not trained on; markers with what cells
of other types show of them left in; the old way
(`labels="vocabulary"`, each cell by itself), the calls dealt to the cells at random, the language model's word added
with weight 1, its word for one group given to another, one broad or fine level of names, CD4 and CD8 T cells without
the counts of these genes, and cells that do not hear those that are alike by their own genes, or hear another cell's.
Of simulated cells the first two controls alone. `related without` leaves out cells whose genes speak against their
label, whatever their call (`benchmarks.loose_labels`). Prints tables, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import anndata as ad
import numpy as np
import pandas as pd
from scipy.special import log_softmax

import scbioverse as sb
from benchmarks.language_model_parts.studies import STUDIES
from benchmarks.loose_labels import loose
from benchmarks.ontology import kinship, shares
from benchmarks.unknown import read_study
from recipes.bioverse_small.data import BROAD_PROFILES, PROFILES, Profiles, load_profiles
from recipes.bioverse_small.make import REHEARSALS, RecipeConfig, rehearse
from recipes.bioverse_small.profile_sets import set_names, simulated_study
from recipes.bioverse_small.rehearsals import BODY, FOLDS, load_rehearsal
from recipes.bioverse_small.terms import is_within
from scbioverse.knowledge.levels import level_terms, lift
from scbioverse.predict import first_call
from scbioverse.predict.groups import alike_cells
from scbioverse.train.calibrate import expected_calibration_error

RESULTS = Path(__file__).parent / "results" / "first_call.json"
FEW_STEPS = 5
THIRTY, DRAWS = 30, 10
TEMPERATURES = (1.0, 1.15, 1.3, 1.5, 1.8)
SMALL = 0.01
READ = first_call.read_groups_of
NAMES = first_call.names_known
LANDSCAPE = "HCL_"
FEWEST_PROFILES = 8


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
        return None if found is None else np.random.default_rng(0).permutation(found)


@contextmanager
def reading(how: Any) -> Iterator[None]:
    """Let groups be read in another way."""
    with mock.patch.object(first_call, "read_groups_of", how):
        yield


@contextmanager
def hearing(how: Any) -> Iterator[None]:
    """Let cells that are alike by their own genes be found in another way."""
    with mock.patch("scbioverse.tl._annotate_asked.alike_cells", how):
        yield


@contextmanager
def own_terms_alone() -> Iterator[None]:
    """Let names be found among the terms that the model was trained on."""
    with mock.patch("scbioverse.tl._annotate_asked.names_known", lambda model, _: NAMES(model, markers=False)):
        yield


@contextmanager
def as_it_is() -> Iterator[None]:
    """Let evidence of markers count as it is, whatever cells of other types show."""
    with ExitStack() as held:
        for room in ("tl._annotate_asked", "predict.first_call"):
            held.enter_context(mock.patch(f"scbioverse.{room}.beside_background", lambda batch, *_, **__: batch))
        yield


def fits(called: str, truth: str) -> bool:
    """Whether a call is related to the expert's term, or a broad name that holds it, however broad."""
    broad = lift(called, "broad") == called and called in level_terms()
    return kinship(called, truth) != "other" or (broad and is_within(truth, called))


def dealt_neighbours(cells: Any) -> Any:
    """Return for each cell the neighbours of another one."""
    near = alike_cells(cells)
    return None if near is None else np.random.default_rng(0).permutation(near)


def annotated(adata: ad.AnnData, model: Any, **options: Any) -> pd.DataFrame:
    """Return what `annotate` writes into `obs`; groups are read only where the word for them counts."""
    with reading(first_call.read_groups_of if first_call.WORD else lambda *_: None):
        found = sb.tl.annotate(adata, model=model, copy=True, **({"rationale": None} | options))
    return found.obs.filter(like="bioverse_").rename(columns=lambda name: name.removeprefix("bioverse_"))


def described(found: pd.DataFrame, truth: np.ndarray) -> dict[str, Any]:
    """Figures of one way to call the cells."""
    called = found["cl_id"].astype(str).to_numpy()
    pairs = {pair: kinship(*pair) != "other" for pair in set(zip(called, truth, strict=True))}
    right = np.array([pairs[pair] for pair in zip(called, truth, strict=True)])
    fit = {pair: fits(*pair) for pair in pairs}
    counts = found["label"].value_counts()
    counts = counts[counts > 0]
    held = shares(called, truth)
    dealt = np.random.default_rng(0).permutation(called)
    return {
        **{name: held[name] for name in ("same", "within", "above")},
        "related": held["match"],
        "fits": round(float(np.mean([fit[pair] for pair in zip(called, truth, strict=True)])), 4),
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


def thirty(adata: ad.AnnData, whole: pd.DataFrame, model: Any, seed: int) -> dict[str, float]:
    """Draws of thirty cells: calls related to the expert's term, and to the name that the cell gets with all."""
    generator, pairs = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        rows = np.sort(generator.permutation(adata.n_obs)[:THIRTY])
        pairs.append((annotated(adata[rows].copy(), model)["cl_id"].astype(str).to_numpy(), rows))
    called, rows = (np.concatenate(one) for one in zip(*pairs, strict=True))
    others = {"thirty related": adata.obs["cl_id"], "thirty as all": whole["cl_id"]}
    return {name: shares(called, one.astype(str).to_numpy()[rows])["match"] for name, one in others.items()}


def tempered(full: ad.AnnData, found: pd.DataFrame, truth: np.ndarray) -> dict[str, float]:
    """Calibration error at other temperatures of cells in groups, and of those that were used."""
    called = found["cl_id"].astype(str).to_numpy()
    right = np.array([kinship(*pair) != "other" for pair in zip(called, truth, strict=True)])
    scores = full.obsm["bioverse_scores"].to_numpy(np.float64)
    inside = full.obs["bioverse_group"].notna().to_numpy()[:, None]
    out = {}
    for one in TEMPERATURES:
        surest = np.exp(log_softmax(np.where(inside, scores * first_call.TEMPER / one, scores), axis=1)).max(axis=1)
        out[f"ece at {one}"] = round(expected_calibration_error(surest.clip(0, 1), right), 4)
    return out


def measure(study: str, adata: ad.AnnData, model: Any, seed: int, *, controls: bool = True) -> list[dict[str, Any]]:
    """One row for each way to call the cells of a study; the first three alone without `controls`."""
    truth = adata.obs["cl_id"].astype(str).to_numpy()
    readings = Readings()
    begin = time.perf_counter(), time.process_time()
    with reading(readings if controls else lambda *_: None):
        full = sb.tl.annotate(adata, model=model, copy=True)
    took = {"seconds": round(time.perf_counter() - begin[0], 1), "processor": round(time.process_time() - begin[1], 1)}
    found = full.obs.filter(like="bioverse_").rename(columns=lambda name: name.removeprefix("bioverse_"))
    groups = sb.get.groups(full)
    read = {"groups": len(groups), "groups read": int(groups["read"].notna().sum()) if "read" in groups else 0}
    rows = [{"way": "first call"} | described(found, truth) | read | took | tempered(full, found, truth)]
    kept = ~loose(study, adata)
    rows[0] |= {"loose": int((~kept).sum())}
    rows[0] |= {"related without": shares(found["cl_id"].astype(str).to_numpy()[kept], truth[kept])["match"]}
    sb.tl.embed(adata, model=model)
    with own_terms_alone():
        rows.append({"way": "own terms alone"} | described(annotated(adata, model), truth))
    with as_it_is():
        rows.append({"way": "background left in"} | described(annotated(adata, model), truth))
    if not controls:
        return [{"study": study, "cells": adata.n_obs} | row for row in rows]
    rows[0]["halves agree"] = halves_agree(adata, found, model, seed)
    rows[0] |= thirty(adata, found, model, seed)
    rows.append({"way": "old: vocabulary"} | described(annotated(adata, model, labels="vocabulary"), truth))
    others: dict[str, tuple[Any, float, dict[str, Any]]] = {
        "its word": (readings, 1.0, {}),
        "its word shuffled": (readings.shuffled, 1.0, {}),
        "broad": (readings, first_call.WORD, {"level": "broad"}),
        "fine": (readings, first_call.WORD, {"level": "fine"}),
    }
    with mock.patch.object(first_call, "told_apart", lambda own, *_: own):
        rows.append({"way": "CD4 and CD8 not counted"} | described(annotated(adata, model), truth))
    heard = {"not by their own genes": lambda _: None, "other cells' neighbours": dealt_neighbours}
    for way, (how, weight, options) in (others | {one: (readings, first_call.WORD, {}) for one in heard}).items():
        with reading(how), mock.patch.object(first_call, "WORD", weight), hearing(heard.get(way, alike_cells)):
            other = annotated(adata, model, **options)
        same = float((other["label"].astype(str) == found["label"].astype(str)).mean())
        rows.append({"way": way} | described(other, truth) | {"as first call": round(same, 4)})
    return [{"study": study, "cells": adata.n_obs} | row for row in rows]


def rehearsed(fold: str) -> Any:
    """Load a rehearsal, trained first if it is not there, with the weights of sources of the model that ships."""
    # No names are asked for by code in a first call: their codes need not be learned.
    config = RecipeConfig()
    folder = rehearse(fold, REHEARSALS, replace(config, answers=replace(config.answers, steps=FEW_STEPS)), 0)
    model = load_rehearsal(folder)[0]
    model.config.calibration = dict(sb.models.load("bioverse-small").config.calibration)
    return model


@cache
def profiles_of(genes: tuple[str, ...], broad: bool) -> Profiles:
    """Read the profiles that trainings use, or those of the Human Cell Landscape, too."""
    return load_profiles(np.array(genes, dtype=object), BROAD_PROFILES if broad else PROFILES)


def simulated(name: str, model: Any, seed: int) -> ad.AnnData:
    """Simulate cells of a set of profiles that a training left out, with their term in `obs["cl_id"]`."""
    genes = np.array(model.encoders["cell"].stats.genes, dtype=object)
    profiles = profiles_of(model.encoders["cell"].stats.genes, name.startswith(LANDSCAPE))
    study = simulated_study(profiles, name, np.random.default_rng([seed, *name.encode()]))
    obs = pd.DataFrame({"cl_id": study.cl_ids}, index=[f"cell{i}" for i in range(len(study.cl_ids))])
    return ad.AnnData(study.counts[:, study.panel], obs=obs, var=pd.DataFrame(index=genes[study.panel]))


def landscape(model: Any) -> list[str]:
    """Name the sets of the Human Cell Landscape that have enough profiles with a term."""
    names = set_names(profiles_of(model.encoders["cell"].stats.genes, True))
    found, counts = np.unique(names.astype(str), return_counts=True)
    return [name for name in found[counts >= FEWEST_PROFILES] if name.startswith(LANDSCAPE)]


def save(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write what was measured so far: a run that is stopped leaves it."""
    args.output.write_text(json.dumps({"seed": args.seed, "max_cells": args.max_cells, "rows": rows}, indent=1) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name or folder of a model")
    parser.add_argument("--studies", default=",".join(STUDIES), help="not trained on, separated by commas")
    parser.add_argument("--rehearse", nargs="*", default=[], choices=sorted(FOLDS), help="and what these left out")
    parser.add_argument("--landscape", action="store_true", help="and simulated cells of the Human Cell Landscape")
    parser.add_argument("--alone", action="store_true", help="without reading, halves, thirty cells and most controls")
    parser.add_argument("--max-cells", type=int, default=3000, help="of a study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    warnings.simplefilter("ignore", UserWarning)
    rows: list[dict[str, Any]] = []
    for fold in ["", *args.rehearse, *([LANDSCAPE] if args.landscape else [])]:
        left_out = fold in FOLDS
        model = rehearsed(fold) if left_out else sb.models.load(args.model)
        _ = model.backbone
        names = [*FOLDS[fold].studies, *FOLDS[fold].profiles] if left_out else filter(None, args.studies.split(","))
        for study in landscape(model) if fold == LANDSCAPE else names:
            made = fold == LANDSCAPE or (left_out and study in FOLDS[fold].profiles)
            adata = simulated(study, model, args.seed) if made else read_study(study, args.max_cells, args.seed)
            found = measure(study, adata, model, args.seed, controls=not (args.alone or made))
            rows += [{"model": fold or args.model} | row for row in found]
            save(args, rows)
    table = pd.DataFrame(rows)
    print(table.drop(columns="counts").to_string(index=False))
    first = table[table["way"] == "first call"]
    for row in first.itertuples():
        print(row.study, row.counts)
    shipped, made = table["model"] == args.model, table["study"].isin(FOLDS[BODY].profiles)
    lands = table["model"] == LANDSCAPE
    for what, rows_of in (
        ("development studies", shipped), ("left out", ~(shipped | made | lands)), ("simulated", made),
        ("simulated, Human Cell Landscape", lands),
    ):  # fmt: skip
        means = table[rows_of].groupby("way")[["same", "within", "above", "related", "fits", "ece"]].mean().round(4)
        print(f"{what}\n{means.to_string()}")
    print(first.groupby("model").mean(numeric_only=True).drop(columns=["cells", "seconds"]).round(4).T.to_string())
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()

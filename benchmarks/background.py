"""Marker evidence beside what cells of other types show of it: `python -m benchmarks.background`.

Accuracy among a study's own labels and, without candidates, calls related to the expert's term, with the evidence as it
is and beside the background. Of the development studies whole; of each of their broad types and labels alone, among the
labels of the whole study, since cells of one type have much in common that is theirs; and of cells simulated from
tissues of the Human Cell Landscape, which the model that ships never saw and whose profiles hold RNA of burst cells.
Control: what is taken away dealt to other candidates. Prints tables, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pandas as pd

import scbioverse as sb
from benchmarks.first_call import STUDIES, as_it_is, landscape, simulated
from benchmarks.ontology import shares
from benchmarks.unknown import read_study
from scbioverse.knowledge.levels import lift
from scbioverse.knowledge.ontology import canonical_phrase
from scbioverse.predict.groups import MOST_ALONE
from scbioverse.predict.pool import Background
from scbioverse.train.calibrate import expected_calibration_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anndata as ad

RESULTS = Path(__file__).parent / "results" / "background.json"
METHODS = ("cascade", "score")
BESIDE = Background.__call__


@contextmanager
def beside_it() -> Iterator[None]:
    """Let evidence count as the package has it."""
    yield


@contextmanager
def dealt() -> Iterator[None]:
    """Take from each candidate what is another one's."""

    def taken(self: Background, terms: Any) -> Any:
        raw = np.asarray(self.of(terms))
        return raw - np.random.default_rng(0).permutation((raw - BESIDE(self, terms)).T).T

    with mock.patch.object(Background, "__call__", taken):
        yield


WAYS = {"as it is": as_it_is, "beside background": beside_it, "control: dealt to other candidates": dealt}


def measure(adata: ad.AnnData, names: np.ndarray, labels: list[str], model: Any) -> list[dict[str, Any]]:
    """One row for each way."""
    rows = []
    for way, how in WAYS.items():
        row: dict[str, Any] = {"way": way, "cells": adata.n_obs, "labels": len(labels)}
        with how():
            for method in METHODS:
                called = sb.tl.annotate(adata, model=model, labels=labels, method=method, rationale=None, copy=True).obs
                right = called["bioverse_label"].astype(str).to_numpy() == names
                row[method] = float(right.mean())
                if method == METHODS[0]:
                    row["ece"] = expected_calibration_error(called["bioverse_confidence"].to_numpy(np.float64), right)
            found = sb.tl.annotate(adata, model=model, rationale=None, copy=True).obs["bioverse_cl_id"]
        row["first call"] = shares(found.astype(str).to_numpy(), adata.obs["cl_id"].astype(str).to_numpy())["match"]
        rows.append({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def parts(adata: ad.AnnData) -> Iterator[tuple[str, str, ad.AnnData]]:
    """Yield the whole, broad types and labels of a study: what kind of part, its name, and the cells."""
    terms, seen = adata.obs["cl_id"].astype(str), set()
    broad = terms.map(lambda one: lift(one, "broad"))
    yield "whole", "", adata
    for kind, column in (("one broad type", broad), ("one label", terms)):
        for one in sorted(set(column)):
            rows = np.flatnonzero(column == one)
            if rows.size > MOST_ALONE and rows.tobytes() not in seen:
                seen.add(rows.tobytes())
                yield kind, canonical_phrase(one), adata[rows].copy()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name or folder of a model")
    parser.add_argument("--max-cells", type=int, default=3000, help="of a study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    warnings.simplefilter("ignore", UserWarning)
    model, rows = sb.models.load(args.model), []
    sets = [(name, *part) for name in STUDIES for part in parts(read_study(name, args.max_cells, args.seed))]
    sets += [(name, "Landscape, simulated", "", simulated(name, model, args.seed)) for name in landscape(model)]
    labels = {}
    for study, kind, part, adata in sets:
        names = adata.obs["cl_id"].astype(str).map(canonical_phrase).to_numpy(dtype=object)
        if kind not in ("one broad type", "one label"):
            labels[study] = sorted(set(names))
        found = measure(adata, names, labels[study], model)
        rows += [{"study": str(study), "kind": kind, "part": part} | row for row in found]
    args.output.write_text(json.dumps({"seed": args.seed, "max_cells": args.max_cells, "rows": rows}, indent=1) + "\n")
    table = pd.DataFrame(rows)
    print(table[table["kind"] != "one label"].to_string(index=False))
    means = table.groupby(["kind", "way"], sort=False)[[*METHODS, "ece", "first call"]].mean().round(4)
    print(means.to_string())
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()

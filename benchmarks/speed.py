"""Speed and memory of a model on the bundled cells, all in one run: `python -m benchmarks.speed`.

The baseline of `score` is the same language model run the plain way: one full forward pass for every cell and label,
nothing cached. Both sides use the same cells, labels, weights and number type. Prints one table, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

import scbioverse as sb
from scbioverse.io import Cells
from scbioverse.knowledge import resolve_labels
from scbioverse.knowledge.ontology import load_ontology
from scbioverse.knowledge.phrases import label_card, spoken_name
from scbioverse.models import BioVerse
from scbioverse.models.score import STEPS
from scbioverse.predict.candidates import own_labels
from scbioverse.predict.embedding import Batch, CellEvidence
from scbioverse.predict.pool import pool, weights_of
from tests._naive_scores import naive_scores

RESULTS = Path(__file__).parent / "results" / "speed.json"
# Cells scored for each number of labels: enough for some seconds of work.
CELLS = {9: 900, 30: 300, 300: 256}
NAIVE_CELLS = {9: 6, 30: 2}
LOAD = """
import sys, time
start = time.perf_counter()
import scbioverse as sb
imported = time.perf_counter()
model = sb.models.load(sys.argv[1])
checkpoint = time.perf_counter()
_ = model.backbone
end = time.perf_counter()
print(imported - start, checkpoint - imported, end - checkpoint)
"""


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_gib() -> float:
    """Peak memory of this process so far; Linux counts in KiB, macOS in bytes."""
    scale = 2**30 if sys.platform == "darwin" else 2**20
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 2)


def load_seconds(model: str, *, cold: bool) -> dict[str, float]:
    """Load in a fresh process; cold means that the language model's converted copy has to be made first."""
    with tempfile.TemporaryDirectory() as empty:
        fresh = {"SCBIOVERSE_CACHE_DIR": empty, "XDG_CACHE_HOME": empty} if cold else {}
        done = subprocess.run(
            [sys.executable, "-c", LOAD, model],
            env={**os.environ, **fresh},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"loading {model} in a fresh process failed:\n{done.stderr[-2000:]}")
    imported, checkpoint, llm = map(float, done.stdout.split())
    return {"import": round(imported, 2), "checkpoint": round(checkpoint, 2), "language_model": round(llm, 2)}


def label_sets(model: BioVerse, adata: AnnData) -> dict[int, list[tuple[str, str]]]:
    """Nine expert labels; then these and others of the model's and the ontology's terms: (id, phrase)."""
    experts = [name for name in adata.obs["cell_type"].cat.categories if name != "unassigned"]
    ids = [one.cl_id for one in resolve_labels(experts) if one.cl_id]
    rng = np.random.default_rng(0)
    trained, terms = sorted(model.config.default_labels), sorted(load_ontology())
    ids += [trained[i] for i in rng.permutation(len(trained))] + [terms[i] for i in rng.permutation(len(terms))]
    chosen: dict[tuple[int, ...], tuple[str, str]] = {}
    for one in dict.fromkeys(ids):
        # A name of more than a sentence is nobody's candidate label.
        if len(phrase := spoken_name(one)) <= 60:
            chosen.setdefault(tuple(model.reader.answer_ids(phrase)), (one, phrase))
        if len(chosen) == max(CELLS):
            break
    labels = list(chosen.values())
    return {n: labels[:n] for n in CELLS}


def naive(model: BioVerse, embeddings: np.ndarray, names: list[str], terms: list[str]) -> np.ndarray:
    """One full forward pass of prompt, cell and label for every pair."""
    reader = model.reader
    with torch.inference_mode():
        values, asked = model.candidate_reader().question(embeddings, names, terms, None, STEPS, reader)
        suffix = reader.compose(model.project(values) if asked is None else asked.soft_tokens(values))
        return naive_scores(
            model.backbone,
            reader.composer.compose([reader.prompt().prefix]).inputs_embeds[0],
            suffix.inputs_embeds,
            [model.reader.answer_ids(name) for name in names],
            attention_mask=suffix.attention_mask,
        )


def prefill_rate(model: BioVerse, *, rows: int = 8, length: int = 128, repeats: int = 3) -> float:
    """Tokens a second through the language model without its head, the best of some runs."""
    ids = torch.from_numpy(np.random.default_rng(0).integers(model.backbone.vocab_size, size=(rows, length)))
    with torch.inference_mode():
        embeds = model.backbone.embed_tokens(ids)
        return rows * length / min(timed(lambda: model.backbone.hidden(embeds)) for _ in range(repeats))


def score_rates(
    model: BioVerse, embeddings: np.ndarray, sets: dict[int, list[tuple[str, str]]]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for n, labels in sets.items():
        terms, names = [one for one, _ in labels], [phrase for _, phrase in labels]
        part = embeddings[: CELLS[n]]
        model.score(part[:2], names, terms=terms, progress=False)
        asks = model.candidate_reader()
        read = len(np.unique(asks.question(part, names, terms, None, STEPS, model.reader)[0], axis=0))
        row: dict[str, object] = {"labels": n, "cells": len(part), "different": read}
        rate, every = (
            len(part) / timed(partial(model.score, part, names, terms=terms, steps=steps, progress=False))
            for steps in (STEPS, None)
        )
        row |= {"score_cells_per_second": round(rate, 1), "each_read_cells_per_second": round(every, 1)}
        if n in NAIVE_CELLS:
            few = embeddings[: NAIVE_CELLS[n]]
            start = time.perf_counter()
            plain = naive(model, few, names, terms)
            naive_rate = len(few) / (time.perf_counter() - start)
            tree = model.score(few, names, terms=terms, progress=False, calibrated=False)
            row |= {
                "naive_cells": len(few),
                "naive_cells_per_second": round(naive_rate, 2),
                "ratio": round(rate / naive_rate, 1),
                "same_label": float((plain.argmax(1) == tree.argmax(1)).mean()),
            }
        rows.append(row)
    return rows


def nearest_rates(model: BioVerse, embeddings: np.ndarray, labels: list[tuple[str, str]]) -> dict[str, object]:
    """Nearest text: the whole call, and without reading the labels' cards, which is done once a label set."""
    cards = [label_card(one) for one, _ in labels]
    whole = timed(lambda: model.nearest(embeddings, cards))
    cells = timed(lambda: model.coordinates(embeddings))
    return {
        "labels": len(cards),
        "cells": len(embeddings),
        "nearest_cells_per_second": round(len(embeddings) / whole),
        "nearest_cells_per_second_without_cards": round(len(embeddings) / cells),
        "cards_seconds": round(max(whole - cells, 0.0), 2),
    }


def cascade_rates(model: BioVerse, adata: AnnData, sets: dict[int, list[tuple[str, str]]]) -> list[dict[str, object]]:
    """Time the default of `annotate`: markers, nearness, and the language model for the rows that need it."""
    rows: list[dict[str, object]] = []
    for n, labels in sets.items():
        part = adata[: min(adata.n_obs, 3 * CELLS[n])].copy()
        candidates = own_labels([one for one, _ in labels], model.config.names)
        weights = weights_of(model, "cascade", candidates)
        embeddings = np.asarray(part.obsm["X_bioverse"])
        # Reads the cards, once a label set.
        pool(Batch(model, embeddings[:2], progress=False), candidates, weights)
        start = time.perf_counter()
        batch = Batch(model, embeddings, evidence=CellEvidence(Cells.of(part), model), progress=False)
        found = pool(batch, candidates, weights)
        rate = part.n_obs / (time.perf_counter() - start)
        rows.append(
            {
                "labels": n,
                "cells": part.n_obs,
                "cells_per_second": round(rate, 1),
                "read_by_llm": round(found.read / part.n_obs, 3),
            }
        )
    return rows


def measure(name: str) -> dict[str, object]:
    """Everything, in one process but for loading."""
    loading = {"cold": load_seconds(name, cold=True), "warm": load_seconds(name, cold=False)}
    adata = sb.datasets.pbmc3k()
    model = sb.models.load(name)
    prefill = prefill_rate(model)
    sb.tl.embed(adata[:64].copy(), model=model)
    embedding_seconds = timed(lambda: sb.tl.embed(adata, model=model))
    # Neighbouring rows may be of one type; a fixed shuffle makes the first few cells a fair sample.
    embeddings = np.asarray(adata.obsm["X_bioverse"])[np.random.default_rng(0).permutation(adata.n_obs)]
    sets = label_sets(model, adata)
    result: dict[str, object] = {
        "model": model.name,
        "fingerprint": model.fingerprint(),
        "llm": model.config.llm.name,
        "dtype": str(model.backbone.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load_when_started": os.getloadavg()[0],
        "prefix_tokens": model.reader.prefix().length,
        "suffix_tokens": len(model.reader.prompt().head),
        "load_seconds": loading,
        "embed": {
            "cells": adata.n_obs,
            "genes": adata.n_vars,
            "cells_per_second": round(adata.n_obs / embedding_seconds),
        },
    }
    if model.text_space is not None:
        result["nearest"] = nearest_rates(model, embeddings, sets[min(sets)])
    result |= {"peak_gib_before_score": peak_gib(), "score": score_rates(model, embeddings, sets)}
    if "cascade" in model.config.calibration:
        mixed = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
        result["cascade"] = cascade_rates(model, mixed, sets)
    return result | {"prefill_tokens_per_second": round(prefill), "peak_gib": peak_gib()}


def report(result: dict[str, object]) -> str:
    """One line a measurement."""
    rows: list[tuple[str, str, str]] = []
    loading: dict[str, dict[str, float]] = result["load_seconds"]  # type: ignore[assignment]
    for kind, note in (("cold", "language model converted first"), ("warm", "converted copy there")):
        parts = ", ".join(f"{part.replace('_', ' ')} {spent:.1f}" for part, spent in loading[kind].items())
        rows.append((f"load, {kind}", f"{sum(loading[kind].values()):.1f} s", f"{note}; {parts}"))
    rows.append(("prefill", f"{result['prefill_tokens_per_second']:,} tokens/s", f"{result['dtype']}, no cache"))
    embed: dict[str, int] = result["embed"]  # type: ignore[assignment]
    rows.append(("embed", f"{embed['cells_per_second']:,} cells/s", f"{embed['cells']:,} cells x {embed['genes']:,}"))
    if "nearest" in result:
        near: dict[str, float] = result["nearest"]  # type: ignore[assignment]
        note = f"{near['labels']} labels; {near['nearest_cells_per_second_without_cards']:,} with their cards read"
        rows.append(("nearest", f"{near['nearest_cells_per_second']:,} cells/s", note))
    scored: list[dict[str, float]] = result["score"]  # type: ignore[assignment]
    for one in scored:
        each = one["each_read_cells_per_second"]
        note = f"{one['cells']} cells, {one['different']} different; {each:,} if each is read"
        rows.append((f"score, {one['labels']} labels", f"{one['score_cells_per_second']:,} cells/s", note))
        if "ratio" in one:
            note = f"{one['naive_cells']} cells; score is {one['ratio']:,} x as fast"
            rows.append((f"naive, {one['labels']} labels", f"{one['naive_cells_per_second']:,} cells/s", note))
    cascaded: list[dict[str, float]] = result.get("cascade", [])  # type: ignore[assignment]
    for one in cascaded:
        note = f"{one['cells']:,} cells, {one['read_by_llm']:.0%} read by the language model; markers in the time"
        rows.append((f"cascade, {one['labels']} labels", f"{one['cells_per_second']:,} cells/s", note))
    rows.append(("peak memory", f"{result['peak_gib']} GiB", f"{result['peak_gib_before_score']} GiB before scoring"))
    return pd.DataFrame(rows, columns=["what", "measured", "how"]).to_string(index=False, justify="left")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name of a bundled model, or a folder")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    result = measure(args.model)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    head = f"{result['model']} with {result['llm']}, {result['threads']} threads of {result['cpus']} cores"
    print(f"\n{head}\n\n{report(result)}\n\nwritten to {args.output}")


if __name__ == "__main__":
    main()

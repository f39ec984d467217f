"""Geneformer's tokeniser and body: `python -m benchmarks.geneformer`.

The tokeniser (real V1 dictionaries, real cells) beside a plain loop over cells that shares nothing with it; a body of
the published V1-10M shape with random weights, run as the encoder runs it, beside the plain loops that pad every batch
to 2,048 positions or to its longest cell, in the order of the file, with all six layers. Prints one table, writes JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anndata import AnnData

import scbioverse as sb
from scbioverse.encoders._rank_value import RankVocabulary, find_columns
from scbioverse.encoders.geneformer import GeneformerEncoder
from scbioverse.io import Cells

RESULTS = Path(__file__).parent / "results" / "geneformer.json"
# config.json of the published V1 model of ten million parameters.
PUBLISHED: dict[str, Any] = {
    "vocab_size": 25_426,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_act": "relu",
    "max_position_embeddings": 2_048,
    "hidden_dropout_prob": 0.02,
    "attention_probs_dropout_prob": 0.02,
    "pad_token_id": 0,
}


def slow_reference(counts: Any, tokens: list[int], medians: list[float], longest: int) -> list[list[int]]:
    """Tokens of every row by plain loops; a token of -1 is a column outside of the vocabulary."""
    found = []
    for row in counts:
        values = row.toarray().ravel().tolist()
        total = sum(values)
        ranked = sorted(
            (-(count / total * 10_000 / medians[i]), tokens[i])
            for i, count in enumerate(values)
            if count > 0 and tokens[i] >= 0
        )
        found.append([token for _, token in ranked[:longest]])
    return found


@dataclass(frozen=True)
class Timed:
    """What a run gave, and the shortest time it took, of the clock and of the processor."""

    value: Any
    wall: float
    cpu: float


def timed(work: Callable[[], Any], repeats: int = 1) -> Timed:
    """Run some times; what else the machine does only ever adds."""
    walls, cpus, value = [], [], None
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        value = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timed(value, min(walls), min(cpus))


def body(*, n_layers: int) -> Any:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    return BertModel(BertConfig(**PUBLISHED | {"num_hidden_layers": n_layers}), add_pooling_layer=False).eval()


@torch.inference_mode()
def plain_loop(model: Any, sequences: list[np.ndarray], batch_size: int, width: int | None) -> np.ndarray:
    """Pad as they come, run all layers, take the second to last and the mean over tokens."""
    out = []
    for first in range(0, len(sequences), batch_size):
        some = sequences[first : first + batch_size]
        longest = width or max(len(one) for one in some)
        ids = torch.zeros(len(some), longest, dtype=torch.long)
        for i, one in enumerate(some):
            ids[i, : len(one)] = torch.from_numpy(one.astype(np.int64))
        mask = (ids != 0).long()
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-2]
        out.append(((states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)).numpy())
    return np.concatenate(out)


def measure_tokeniser(encoder: GeneformerEncoder, adata: AnnData, repeats: int) -> dict[str, Any]:
    cells = Cells.of(adata)

    def work() -> None:
        for first in range(0, cells.n_obs, 512):
            encoder.prepare(cells, slice(first, min(first + 512, cells.n_obs)))

    columns = find_columns(cells, encoder.vocabulary)
    tokens, medians = [-1] * adata.n_vars, [1.0] * adata.n_vars
    for column, place in zip(columns.columns, columns.places, strict=True):
        gene = columns.genes[place]
        tokens[column], medians[column] = int(encoder.vocabulary.tokens[gene]), float(encoder.vocabulary.medians[gene])
    if len(set(columns.places.tolist())) != len(columns.places):
        raise SystemExit("two columns are one gene: the plain loop does not sum them")
    fast = timed(work, repeats)
    slow = timed(lambda: slow_reference(adata.X, tokens, medians, encoder.input_size))
    reference = slow.value
    found = encoder.tokenize(cells, slice(0, cells.n_obs))
    equal = sum(found.cell(i).tolist() == one for i, one in enumerate(reference))
    return {
        "cells": cells.n_obs,
        "genes_found": int(columns.genes.size),
        "median_length": float(np.median(found.lengths)),
        "cells_per_second": cells.n_obs / fast.wall,
        "cells_per_cpu_second": cells.n_obs / fast.cpu,
        "plain_loop_cells_per_second": cells.n_obs / slow.wall,
        "identical_to_plain_loop": equal,
    }


def measure_body(encoder: GeneformerEncoder, adata: AnnData, batch_size: int, repeats: int) -> dict[str, Any]:
    batch = encoder.prepare(Cells.of(adata), slice(0, adata.n_obs))
    sequences = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
    whole = body(n_layers=PUBLISHED["num_hidden_layers"])
    encoder.body.load_state_dict(whole.state_dict(), strict=False)
    runs: dict[str, Callable[[], np.ndarray]] = {
        "sorted": lambda: encoder.encode(batch)[:, 0],
        "padded_to_2048": lambda: plain_loop(whole, sequences, batch_size, PUBLISHED["max_position_embeddings"]),
        "padded_to_batch_max": lambda: plain_loop(whole, sequences, batch_size, None),
    }
    plain_loop(whole, sequences[:1], 1, None)  # what torch does once it does here
    taken = {name: timed(run, repeats) for name, run in runs.items()}
    return {
        "cells": adata.n_obs,
        "batch_size_of_plain_loops": batch_size,
        "lengths": [int(batch.lengths.min()), float(np.median(batch.lengths)), int(batch.lengths.max())],
        "cells_per_second": {name: adata.n_obs / one.wall for name, one in taken.items()},
        "cells_per_cpu_second": {name: adata.n_obs / one.cpu for name, one in taken.items()},
        "ratio": {name: one.wall / taken["sorted"].wall for name, one in taken.items()},
        "ratio_of_cpu_time": {name: one.cpu / taken["sorted"].cpu for name, one in taken.items()},
        "largest_difference": {
            name: float(np.abs(one.value - taken["sorted"].value).max()) for name, one in taken.items()
        },
    }


def table(tokeniser: dict[str, Any], run: dict[str, Any]) -> str:
    low, middle, high = run["lengths"]
    equal = f"{tokeniser['identical_to_plain_loop']:,} of {tokeniser['cells']:,}"
    by_cpu = f"{tokeniser['cells_per_cpu_second']:,.0f}"
    rows = [
        ("", "by the clock", "by CPU time", ""),
        ("tokeniser, cells/s", f"{tokeniser['cells_per_second']:,.0f}", by_cpu, "target 2,000"),
        ("plain loop over cells, cells/s", f"{tokeniser['plain_loop_cells_per_second']:,.0f}", "", ""),
        ("cells with the plain loop's ids", equal, "", "target all"),
        (f"V1-10M body, {run['cells']} cells of {low} to {high} genes (median {middle:.0f})", "", "", ""),
    ]
    names = {
        "sorted": "as the encoder runs it",
        "padded_to_2048": "padded to 2,048",
        "padded_to_batch_max": "padded to the longest of a batch",
    }
    for key, name in names.items():
        speeds = (run[unit][key] for unit in ("cells_per_second", "cells_per_cpu_second"))
        rows.append((f"  {name}, cells/s", *(f"{one:.2f}" for one in speeds), ""))
    for key in ("padded_to_2048", "padded_to_batch_max"):
        ratios = (f"{run[unit][key]:.2f}" for unit in ("ratio", "ratio_of_cpu_time"))
        rows.append((f"  times as fast as {names[key]}", *ratios, "target 2" if key == "padded_to_2048" else ""))
    rows.append(("  largest difference of an embedding", f"{max(run['largest_difference'].values()):.1e}", "", ""))
    width = max(len(row[0]) for row in rows)
    lines = (f"{name:<{width}}  {wall:>14}  {cpu:>11}  {note}".rstrip() for name, wall, cpu, note in rows)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1500, help="cells for the tokeniser")
    parser.add_argument("--body-cells", type=int, default=48, help="cells for the body")
    parser.add_argument("--batch-size", type=int, default=16, help="of the plain loops")
    parser.add_argument("--repeats", type=int, default=1, help="of every measurement; the shortest counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    vocabulary = RankVocabulary.from_files(
        *(sb.datasets.fetch(f"geneformer_{name}") for name in ("token_dictionary", "gene_median", "symbol_to_ensembl"))
    )
    encoder = GeneformerEncoder(body(n_layers=PUBLISHED["num_hidden_layers"] - 1), vocabulary, device="cpu")
    cells = sb.datasets.pbmc3k()[: arguments.cells].copy()
    tokeniser = measure_tokeniser(encoder, cells, max(3, arguments.repeats))
    few = cells[np.random.default_rng(0).permutation(cells.n_obs)[: arguments.body_cells]].copy()
    run = measure_body(encoder, few, arguments.batch_size, arguments.repeats)
    print(table(tokeniser, run))
    machine = {"torch": torch.__version__, "threads": arguments.threads, "processor": platform.machine()}
    arguments.output.parent.mkdir(exist_ok=True)
    result = {"machine": machine, "tokeniser": tokeniser, "body": run}
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

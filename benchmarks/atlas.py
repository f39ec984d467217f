"""Memory, time and reads of `annotate` as data grow: `python -m benchmarks.atlas --cells 10000 100000`.

The cells are the bundled ones drawn again with replacement, each count kept with a chance of 0.5 to 1 drawn for the
cell, so that no two cells are equal. They lie in a zarr store with sharded CSR, and in an `.h5ad` file. Each line is a
process of its own; seconds of the processor are its own, too, so that other jobs beside it matter little. Rows read are
counted where every storage is read; 1 means that each row was read once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import sparse_dataset, write_elem

import scbioverse as sb
from scbioverse.io import Source

RESULTS = Path(__file__).parent / "results" / "atlas.json"
PAGE = Path(__file__).parents[1] / "docs" / "atlas.md"
WAYS = ("memory", "h5ad", "zarr", "dask", "cli", "1 worker", "2 workers")
_BEGIN, _END = "<!-- made by: python -m benchmarks.atlas --docs -->", "<!-- end -->"
# Of what so many workers could do, what is reckoned with: nobody has measured more than two.
EFFICIENCY = 0.8
# Rows made at once, values in a chunk, chunks in a shard.
_STEP, _CHUNK, _CHUNKS_A_SHARD = 10_000, 250_000, 16


def drawn(n: int, seed: int) -> sp.csr_matrix:
    """Real cells drawn again, thinned: (n, 13714) counts."""
    rng = np.random.default_rng(seed)
    whole = sb.datasets.pbmc3k().X.tocsr()
    out = whole[rng.integers(whole.shape[0], size=n)]
    keep = np.repeat(rng.uniform(0.5, 1, n), np.diff(out.indptr))
    out.data = rng.binomial(out.data.astype(np.int64), keep).astype(np.float32)
    out.eliminate_zeros()
    return out


def make(n: int, folder: Path) -> None:
    """Write `n` cells as `.zarr` and `.h5ad`, a part at a time."""
    store, file = folder / f"{n}.zarr", folder / f"{n}.h5ad"
    if store.exists() and file.exists():
        return
    var, obs = sb.datasets.pbmc3k().var[[]], pd.DataFrame(index=[f"cell{i}" for i in range(n)])
    sharded = {"chunks": (_CHUNK,), "shards": (_CHUNK * _CHUNKS_A_SHARD,)}
    with h5py.File(file, "w") as second:
        for root, options in ((zarr.open_group(store, mode="w", zarr_format=3), sharded), (second, {})):
            write_elem(root, "/", ad.AnnData(obs=obs, var=var))
            for seed, start in enumerate(range(0, n, _STEP)):
                part = drawn(min(_STEP, n - start), seed)
                if start == 0:
                    write_elem(root, "X", part, dataset_kwargs=options)
                else:
                    sparse_dataset(root["X"]).append(part)


def opened(way: str, n: int, folder: Path) -> ad.AnnData:
    """Open the same cells, each way."""
    if way == "memory":
        return ad.read_h5ad(folder / f"{n}.h5ad")
    if way == "h5ad":
        return ad.read_h5ad(folder / f"{n}.h5ad", backed="r")
    group = zarr.open_group(folder / f"{n}.zarr", mode="r")
    lazily = (4096, group["X"].attrs["shape"][1])
    X = sparse_dataset(group["X"]) if way == "zarr" else ad.experimental.read_elem_lazy(group["X"], chunks=lazily)
    return ad.AnnData(X, obs=ad.io.read_elem(group["obs"]), var=ad.io.read_elem(group["var"]))


@contextmanager
def workers(way: str) -> Iterator[None]:
    """Start as many processes of dask as the way says."""
    if "worker" not in way:
        yield
        return
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=int(way[0]), threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        yield


def one(way: str, n: int, folder: Path, options: dict[str, object]) -> dict[str, float]:
    """Annotate in this process and return what it took."""
    read, whole = [0], Source.read

    def count(self: Source, start: int, stop: int) -> sp.csr_array:
        # What is cut from a block in memory is not read.
        read[0] += 0 if isinstance(self.matrix, np.ndarray | sp.csr_array) else stop - start
        return whole(self, start, stop)

    Source.read = count  # type: ignore[method-assign]
    model = sb.models.load("bioverse-small")
    adata = opened(way, n, folder)
    with workers(way):
        start, used = time.perf_counter(), time.process_time()
        sb.tl.annotate(adata, model=model, **options)  # type: ignore[arg-type]
        spent, used = time.perf_counter() - start, time.process_time() - used
    held = sum(np.asarray(values).nbytes for values in adata.obsm.values()) + int(adata.obs.memory_usage().sum())
    return {"seconds": spent, "cpu_seconds": used, "reads": read[0] / n, "results": held}


def measure(way: str, n: int, folder: Path, options: dict[str, object]) -> dict[str, object]:
    """Run one line in a process of its own; peak memory is the kernel's, MB."""
    out = folder / "out.zarr"
    named = [] if options.get("labels") is None else ["--labels", ";".join(options["labels"])]  # type: ignore[arg-type]
    command = {
        True: ["-m", "scbioverse.cli", "annotate", str(folder / f"{n}.zarr"), "-o", str(out), "--force", *named],
        False: ["-m", "benchmarks.atlas", "--folder", str(folder), "--one", way, str(n), json.dumps(options)],
    }[way == "cli"]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    text = process.stdout.read()  # type: ignore[union-attr]
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{way}, {n} cells: ended with {status}")
    row: dict[str, object] = {"way": way, "cells": n, "process_seconds": round(time.perf_counter() - start, 1)}
    row["process_cpu_seconds"] = round(used.ru_utime + used.ru_stime, 1)
    row["peak_mb"] = round(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
    if way != "cli":
        found = json.loads(text.splitlines()[-1])
        row |= {"seconds": round(found["seconds"], 1), "cpu_seconds": round(found["cpu_seconds"], 1)}
        row |= {"reads": round(found["reads"], 2)}
        row["results_mb"] = round(found["results"] / 2**20)
    return row


def write_page() -> None:
    """Put what was measured, and what follows from it, into the page."""
    rows = pd.DataFrame(json.loads(RESULTS.read_text())["rows"])
    names = ["way", "cells", "cpu_seconds", "process_cpu_seconds", "peak_mb", "results_mb", "reads"]
    shown = rows[names].astype(object)
    shown = shown.where(shown.notna(), "")
    head = ["storage", "cells", "processor, s", "whole process, s", "peak, MB", "results, MB", "times read"]
    lines = ["| " + " | ".join(map(str, line)) + " |" for line in (head, ["---"] * len(head), *shown.to_numpy())]
    at = rows[rows["way"] == "zarr"].sort_values("cells")
    few, many = at.iloc[0], at.iloc[-1]
    rate = (many["cells"] - few["cells"]) / (many["cpu_seconds"] - few["cpu_seconds"])
    fixed = max(0.0, few["cpu_seconds"] - few["cells"] / rate)
    held = many["results_mb"] / many["cells"]
    lines += [
        "",
        f"From the rows for zarr: {fixed:.0f} s whatever the size, then {rate:,.0f} cells a second of one core.",
        "",
    ]
    lines += ["| cells | 1 process | 16 workers | 128 workers | results |", "| --- | --- | --- | --- | --- |"]
    for n in (10**6, 10**7, 10**8):
        spent = [f"{(fixed + n / rate / k / EFFICIENCY ** (k > 1)) / 60:,.1f} min" for k in (1, 16, 128)]
        lines.append(f"| {n:,} | {' | '.join(spent)} | {n * held / 1024:,.1f} GB |")
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    PAGE.write_text(before + "\n".join([_BEGIN, "", *lines, "", _END]) + after, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 30_000])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--folder", type=Path, default=Path("build/atlas"), help="where the cells are written")
    parser.add_argument("--find", action="store_true", help="no candidates: names are found")
    parser.add_argument("--rationale", default="group", help="as annotate has it, or none")
    parser.add_argument("--output", type=Path, help=f"as {RESULTS}")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--docs", action="store_true", help=f"write the tables of {PAGE.name}; measures nothing")
    args = parser.parse_args()
    if args.docs:
        write_page()
        return
    sb.settings.progress = False
    if args.one:
        way, n, options = args.one
        print(json.dumps(one(way, int(n), args.folder, json.loads(options))))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in sb.datasets.pbmc3k().obs["cell_type"].cat.categories if name != "unassigned"]
    options = {"labels": None if args.find else names}
    options["rationale"] = None if args.rationale == "none" else args.rationale
    rows = []
    for n in args.cells:
        make(n, args.folder)
        for way in args.ways:
            rows.append(measure(way, n, args.folder, options))
            print(json.dumps(rows[-1]), flush=True)
    print(pd.DataFrame(rows).to_string(index=False))
    if args.output:
        args.output.write_text(json.dumps({"options": options, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

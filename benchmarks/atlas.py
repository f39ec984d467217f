"""Memory, time and reads of `annotate` from 10,000 to a million cells, and whether what was aimed at is reached.

    python -m benchmarks.atlas                    # all of it: about 20 minutes and 6 GB of disk on two cores at rest
    python -m benchmarks.atlas --make             # only writes the cells, some minutes more, once
    python -m benchmarks.atlas --cells 30000 --ways zarr h5ad      # some lines; writes nothing

The cells are the bundled ones drawn again with replacement, each count kept with a chance of 0.5 to 1 drawn for the
cell, so that no two cells are equal. They lie in a zarr store with sharded CSR, and in an `.h5ad` file where that is
asked for. Each line is a process of its own; seconds of the processor are its own, too (without those of workers).
Rows read are counted where every storage is read; 1 means that each row was read once. Beside each line stand how many
labels are the expert's, and how many would be if they were dealt out again (shuffled); beside all, what walking through
the blocks takes when nothing is done with them.
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
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import sparse_dataset, write_elem

import scbioverse as sb
from scbioverse.io import Cells, Source

RESULTS = Path(__file__).parent / "results" / "atlas.json"
PAGE = Path(__file__).parents[1] / "docs" / "atlas.md"
WAYS = ("memory", "h5ad", "zarr", "dask", "cli", "read", "1 worker", "2 workers", "1 worker, score", "2 workers, score")
FEW, MANY, MORE, MOST = 10_000, 100_000, 300_000, 1_000_000
PLAN = [("zarr", FEW), ("zarr", MANY), ("zarr", MOST), ("read", MANY), ("cli", MANY)]
PLAN += [(way, n) for way in WAYS if "worker" in way for n in (MANY, MORE)]
_BEGIN, _END = "<!-- made by: python -m benchmarks.atlas --docs -->", "<!-- end -->"
# Of what so many workers could do, what is reckoned with: nobody has measured more than two.
EFFICIENCY = 0.8
# Rows made at once, values in a chunk, chunks in a shard.
_STEP, _CHUNK, _CHUNKS_A_SHARD = 10_000, 250_000, 16


def drawn(n: int, seed: int) -> tuple[sp.csr_matrix, pd.Series]:
    """Real cells drawn again, thinned: (n, 13714) counts, and what the experts call them."""
    rng = np.random.default_rng(seed)
    whole = sb.datasets.pbmc3k()
    rows = rng.integers(whole.n_obs, size=n)
    out = whole.X.tocsr()[rows]
    keep = np.repeat(rng.uniform(0.5, 1, n), np.diff(out.indptr))
    out.data = rng.binomial(out.data.astype(np.int64), keep).astype(np.float32)
    out.eliminate_zeros()
    return out, whole.obs["cell_type"].iloc[rows]


def make(n: int, folder: Path, *, file: bool = False) -> None:
    """Write `n` cells as `.zarr`, or as `.h5ad`, a part at a time."""
    place = folder / (f"{n}.h5ad" if file else f"{n}.zarr")
    if place.exists():
        return
    options = {} if file else {"chunks": (_CHUNK,), "shards": (_CHUNK * _CHUNKS_A_SHARD,)}
    fresh, kinds = place.with_name("new-" + place.name), []
    # Matrices are sharded as we say, tables not at all, whatever the default of this version.
    with ad.settings.override(auto_shard_zarr_v3=False):
        root = h5py.File(fresh, "w") if file else zarr.open_group(fresh, mode="w", zarr_format=3)
        write_elem(root, "/", ad.AnnData(var=sb.datasets.pbmc3k().var[[]]))
        for seed, start in enumerate(range(0, n, _STEP)):
            part, kind = drawn(min(_STEP, n - start), seed)
            kinds.append(kind)
            if start == 0:
                write_elem(root, "X", part, dataset_kwargs=options)
            else:
                sparse_dataset(root["X"]).append(part)
        names = pd.Index([f"cell{i}" for i in range(n)])
        kinds = pd.Categorical(pd.concat(kinds).to_numpy())
        write_elem(root, "obs", pd.DataFrame({"cell_type": kinds}, index=names))
        if file:
            root.close()
    fresh.rename(place)


def opened(way: str, n: int, folder: Path) -> ad.AnnData:
    """Open the same cells, each way."""
    if way in ("memory", "h5ad"):
        return ad.read_h5ad(folder / f"{n}.h5ad", backed="r" if way == "h5ad" else None)
    group = zarr.open_group(folder / f"{n}.zarr", mode="r")
    lazily = (4096, group["X"].attrs["shape"][1])
    stored = way in ("zarr", "read")
    X = sparse_dataset(group["X"]) if stored else ad.experimental.read_elem_lazy(group["X"], chunks=lazily)
    return ad.AnnData(X, obs=ad.io.read_elem(group["obs"]), var=ad.io.read_elem(group["var"]))


@contextmanager
def workers(way: str) -> Iterator[None]:
    """Start as many processes of dask as the way says, of one thread each."""
    if "worker" not in way:
        yield
        return
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=int(way[0]), threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        yield


def one(way: str, n: int, folder: Path, options: dict[str, Any]) -> dict[str, float]:
    """Annotate in this process and return what it took."""
    read, whole = [0], Source.read

    def count(self: Source, start: int, stop: int) -> sp.csr_array:
        # What is cut from a block in memory is not read.
        read[0] += 0 if isinstance(self.matrix, np.ndarray | sp.csr_array) else stop - start
        return whole(self, start, stop)

    Source.read = count  # type: ignore[method-assign]
    adata = opened(way, n, folder)
    expert = adata.obs["cell_type"].astype(str).to_numpy()
    if way == "read":
        start, used = time.perf_counter(), time.process_time()
        for _ in Cells.of(adata).blocks():
            pass
        return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - used, "reads": read[0] / n}
    model = sb.models.load("bioverse-small")
    _ = model.backbone  # the language model, which would come when it is first asked
    options = options | ({"method": "score", "rationale": None} if "score" in way else {})
    with workers(way):
        if "worker" in way:  # what comes once for all calls (start, model on each worker) is left out of both
            # enough rows that each worker gets some
            sb.tl.annotate(opened(way, n, folder)[: 2 * _STEP].copy(), model=model, **options)
        start, used = time.perf_counter(), time.process_time()
        sb.tl.annotate(adata, model=model, **options)
        spent, used = time.perf_counter() - start, time.process_time() - used
    held = sum(np.asarray(values).nbytes for values in adata.obsm.values()) + int(adata.obs.memory_usage().sum())
    known, label = expert != "unassigned", adata.obs["bioverse_label"].astype(str).to_numpy()
    found = {"seconds": spent, "cpu_seconds": used, "reads": read[0] / n, "results_mb": held / 2**20}
    found["right"] = float((label == expert)[known].mean())
    return found | {"shuffled": float((np.random.default_rng(0).permutation(label) == expert)[known].mean())}


def measure(way: str, n: int, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Run one line in a process of its own; peak memory is the kernel's, MB."""
    out = folder / "out.zarr"
    named = [] if options.get("labels") is None else ["--labels", ";".join(options["labels"])]
    command = {
        True: ["-m", "scbioverse.cli", "annotate", str(folder / f"{n}.zarr"), "-o", str(out), "--force", *named],
        False: ["-m", "benchmarks.atlas", "--folder", str(folder), "--one", way, str(n), json.dumps(options)],
    }[way == "cli"]
    # Workers of dask have one thread each, whatever the process that calls has.
    threads = {"OMP_NUM_THREADS": str(os.cpu_count())}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **threads}
    )
    with process.stdout as said:  # type: ignore[union-attr]
        text = said.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # it ended without subprocess being told
    if status:
        raise RuntimeError(f"{way}, {n} cells: ended with {status}")
    row: dict[str, Any] = {"way": way, "cells": n, "process_seconds": time.perf_counter() - start}
    row["process_cpu_seconds"] = used.ru_utime + used.ru_stime
    row["peak_mb"] = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    row |= {} if way == "cli" else json.loads(text.splitlines()[-1])
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}


def aims(rows: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return what was aimed at, what was found, and whether that is reached; what was not measured is left out."""
    at = {(row["way"], row["cells"]): row for row in rows}
    out = []

    def held(row: dict[str, Any]) -> float:
        return float(row["peak_mb"] - row["results_mb"])

    def add(what: str, aim: float, found: Any, least: bool, *of: tuple[str, int]) -> None:
        if all(one in at for one in of):
            value = found(*(at[one] for one in of))
            reached = value >= aim if least else value <= aim
            sign = "at least" if least else "at most"
            out.append((what, f"{sign} {aim:,g}", f"{value:,.3f}".rstrip("0").rstrip("."), "yes" if reached else "no"))

    few, many, most, cli = ("zarr", FEW), ("zarr", MANY), ("zarr", MOST), ("cli", MANY)
    for n, size in (("100,000", many), ("1,000,000", most)):
        what = f"peak memory less the results, {n} cells over 10,000"
        add(
            what,
            1.3,
            lambda a, b: held(a) / held(b),
            False,
            size,
            few,
        )
    for what, name in (("seconds", "seconds"), ("seconds of the processor", "cpu_seconds")):
        add(f"{what}, 100,000 cells over 10,000", 11, lambda a, b, k=name: a[k] / b[k], False, many, few)
        add(f"{what}, 1,000,000 cells over 100,000", 11, lambda a, b, k=name: a[k] / b[k], False, most, many)
    for n, size in (("100,000", many), ("1,000,000", most)):
        add(f"times each row is read, {n} cells", 2, lambda a: a["reads"], False, size)
    add("cells a second, 100,000 cells with reasons", 4000, lambda a: MANY / a["seconds"], True, many)
    what = "seconds of the command line over those of a process that calls the function, 100,000 cells"
    add(what, 1.15, lambda a, b: a["process_seconds"] / b["process_seconds"], False, cli, many)
    for more, n in (("", MANY), ("", MORE), (", score", MANY), (", score", MORE)):
        what = f"seconds of one worker over those of two, {n:,} cells{more}"
        add(what, 1.6, lambda a, b: a["seconds"] / b["seconds"], True, (f"1 worker{more}", n), (f"2 workers{more}", n))
    return out


def table(head: list[str], lines: Any) -> list[str]:
    """Lines of a table in Markdown."""
    return ["| " + " | ".join(map(str, line)) + " |" for line in (head, ["---"] * len(head), *lines)]


def write_page() -> None:
    """Put what was measured, and what follows from it, into the page."""
    held = json.loads(RESULTS.read_text())
    rows = pd.DataFrame(held["rows"])
    head = {
        "way": "storage", "cells": "cells", "seconds": "call, s", "cpu_seconds": "its processor, s",
        "process_seconds": "whole process, s", "peak_mb": "peak, MB", "results_mb": "results, MB",
        "reads": "times read", "right": "right", "shuffled": "shuffled",
    }  # fmt: skip
    digits = {"seconds": 1, "cpu_seconds": 1, "process_seconds": 1, "reads": 1, "right": 3, "shuffled": 3}
    shown = rows.reindex(columns=[*head]).round(digits).astype(object)
    for name in ("peak_mb", "results_mb"):
        shown[name] = [one if pd.isna(one) else f"{one:.0f}" for one in shown[name]]
    lines = [held.get("how", ""), "", *table([*head.values()], shown.where(shown.notna(), "").to_numpy()), ""]
    if found := aims(held["rows"]):
        lines += [*table(["aim", "", "found", "reached"], found), ""]
    at = rows[rows["way"] == "zarr"].sort_values("cells")
    few, many = at.iloc[0], at.iloc[-1]
    rate = (many["cells"] - few["cells"]) / (many["cpu_seconds"] - few["cpu_seconds"])
    fixed = max(0.0, few["cpu_seconds"] - few["cells"] / rate)
    size = many["results_mb"] / many["cells"]
    # Seconds a cell that the calling process takes while others embed.
    led = rows[rows["way"] == "2 workers"].sort_values("cells").to_dict("records")
    alone = min(1 / rate, max(0.0, led[-1]["cpu_seconds"] - fixed) / led[-1]["cells"]) if led else 0.0
    said = f"{1e6 * alone:.0f} µs of these stay in the process that called" if led else "what stays was not measured"
    lines += [
        f"From the rows for zarr: {fixed:.0f} s whatever the size, then {rate:,.0f} cells a second of one core, or "
        f"{1e6 / rate:.0f} µs a cell; with workers, {said}.",
        "",
    ]
    reckoned = []
    for n in (10**6, 10**7, 10**8):
        given = [n * (1 / rate - alone) / k / EFFICIENCY ** (k > 1) for k in (1, 16, 128)]
        spent = [f"{(fixed + n * alone + one) / 60:,.1f} min" for one in given]
        reckoned.append([f"{n:,}", *spent, f"{n * size / 1024:,.1f} GB"])
    lines += table(["cells", "1 process", "16 workers", "128 workers", "results"], reckoned)
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    PAGE.write_text(before + "\n".join([_BEGIN, "", *lines, "", _END]) + after, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", help="so many, in place of the plan")
    parser.add_argument("--keep", action="store_true", help="with --cells: in place of those on the page")
    parser.add_argument("--ways", nargs="+", default=["zarr"], choices=WAYS, help="with --cells")
    parser.add_argument("--folder", type=Path, default=Path("build/atlas"), help="where the cells are written")
    parser.add_argument("--find", action="store_true", help="no candidates: names are found")
    parser.add_argument("--rationale", default="group", help="as annotate has it, or none")
    parser.add_argument("--make", action="store_true", help="only write the cells")
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
    plan = PLAN if args.cells is None else [(way, n) for n in args.cells for way in args.ways]
    for way, n in plan:
        make(n, args.folder, file=way in ("memory", "h5ad"))
    rows: list[dict[str, Any]] = []
    for way, n in () if args.make else plan:
        rows.append(measure(way, n, args.folder, options))
        print(json.dumps(rows[-1]), flush=True)
    for line in aims(rows):
        print(f"{line[0]}: {line[2]} ({line[1]}) {'reached' if line[3] == 'yes' else 'NOT REACHED'}")
    if (args.cells is None or args.keep) and rows:
        how = f"Nine labels, with reasons, {os.cpu_count()} cores; load at the end {os.getloadavg()[0]:.1f}."
        if args.cells is not None:
            held, fresh = json.loads(RESULTS.read_text()), {(row["way"], row["cells"]): row for row in rows}
            rows = [fresh.get((row["way"], row["cells"]), row) for row in held["rows"]]
            again = ", ".join(f"{way} with {n:,} cells" for way, n in fresh)
            how = f"{held['how']} Measured again, with a load of {os.getloadavg()[0]:.1f} at the end: {again}."
        RESULTS.write_text(json.dumps({"options": options, "how": how, "rows": rows}, indent=1) + "\n")
        write_page()


if __name__ == "__main__":
    main()

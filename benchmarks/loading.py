"""From the interpreter's start to the first annotated cell: `python -m benchmarks.loading`.

Each time in a fresh process. Cold: an empty cache, so that the language model's converted copy has to be made first.
Warm: that copy is there. The operating system's file cache is left as it is, and the package has its byte code, as it
has after `pip install`. What the process takes to end after the cell is annotated is given by itself. Prints one table,
writes a JSON file.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results" / "loading.json"
TARGETS = {"cold": 15.0, "warm": 6.0}
# Every step a user waits for, with the time it took; the parent adds the start of the interpreter.
STEPS = """
import json, logging, sys, time
marks = [("start", time.perf_counter())]
def mark(name): marks.append((name, time.perf_counter()))
import scbioverse as sb
sb.settings.progress = False
mark("import")
adata = sb.datasets.pbmc3k()[:1].copy()
mark("one cell")
model = sb.models.load(sys.argv[1])
mark("checkpoint")
_ = model.backbone
mark("language model")
sb.tl.annotate(adata, model=model, labels=sys.argv[2].split(";") if sys.argv[2] else None)
mark("annotate")
spent = {name: after - before for (_, before), (name, after) in zip(marks, marks[1:])}
found = {"spent": spent, "done": time.time(), "processor": time.process_time()}
print(json.dumps(found | {"label": str(adata.obs["bioverse_label"].iloc[0])}))
"""


def run(model: str, labels: str, cache: Path | None) -> dict[str, object]:
    """Annotate one cell in a fresh process; with `cache`, converted weights are looked for and kept there only."""
    place = {} if cache is None else {"SCBIOVERSE_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(cache)}
    start = time.time()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STEPS, model, labels],
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        check=False,
    )
    ended = time.time()
    if done.returncode:
        raise RuntimeError(f"annotating one cell in a fresh process failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    spent = {name: round(seconds, 2) for name, seconds in found["spent"].items()}
    total = round(found["done"] - start, 2)
    # Processor time, of all cores together, is what a busy machine does not change much.
    first = {
        "total": total,
        "processor": round(found["processor"], 2),
        "end_of_process": round(ended - found["done"], 2),
    }
    return first | {"interpreter": round(total - sum(spent.values()), 2), **spent, "label": found["label"]}


def measure(model: str, labels: str, repeats: int) -> dict[str, object]:
    """Cold once and warm `repeats` times in an empty cache; the fastest warm run counts."""
    package = importlib.util.find_spec("scbioverse")
    if package is not None and package.submodule_search_locations:
        compileall.compile_dir(package.submodule_search_locations[0], quiet=2)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        cold = run(model, labels, Path(folder))
        warm = [run(model, labels, Path(folder)) for _ in range(repeats)]
    return {
        "model": model,
        "labels": labels or "the model's own vocabulary",
        "cpus": os.cpu_count(),
        "load_when_started": round(load, 2),
        "cold": cold,
        "warm": min(warm, key=lambda one: float(str(one["total"]))),
        "warm_totals": [one["total"] for one in warm],
    }


def report(result: dict[str, object]) -> str:
    """One line a kind, with its target and where the time went."""
    rows = []
    for kind, target in TARGETS.items():
        one: dict[str, object] = result[kind]  # type: ignore[assignment]
        steps = [name for name in one if name not in ("total", "processor", "exit", "label")]
        parts = ", ".join(f"{name} {one[name]}" for name in steps)
        met = "yes" if float(str(one["total"])) <= target else "no"
        rows.append((kind, f"{one['total']} s", f"{target:g} s", met, f"{one['processor']} s", parts))
    columns = ["from", "measured", "target", "met", "processor time", "seconds of"]
    table = pd.DataFrame(rows, columns=columns).to_string(index=False, justify="left")
    return f"{table}\n\n{result['cpus']} cores, load {result['load_when_started']} when started"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name of a bundled model, or a folder")
    parser.add_argument("--labels", default="", help="candidates, separated by ';'; the model's own if not given")
    parser.add_argument("--repeats", type=int, default=3, help="warm runs")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    result = measure(args.model, args.labels, args.repeats)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{report(result)}\n\nwritten to {args.output}")


if __name__ == "__main__":
    main()

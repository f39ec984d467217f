"""Run the tutorials from top to bottom, two at a time, each in an empty folder, and print how long each took.

    python tutorials/run.py [--write] [01 03 ...]

A cell that raises ends its notebook, and the command ends with 1. `--write` puts the new outputs into the notebooks.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent
# What an output may say of the machine that it was made on, and no reader needs.
LEFT_OUT = {"execution", "scrolled"}


def run(path: Path, *, write: bool) -> tuple[str, float, str]:
    """Run a notebook; return its name, the seconds it took, and what went wrong."""
    notebook = nbformat.read(path, as_version=4)
    start, wrong = time.perf_counter(), ""
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": folder}})
        try:
            client.execute()
        except CellExecutionError as error:
            wrong = str(error)
    if write and not wrong:
        for cell in notebook.cells:
            for key in LEFT_OUT:
                cell.metadata.pop(key, None)
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.write(notebook, path)
    return path.stem, time.perf_counter() - start, wrong


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of file names; all if none is given")
    parser.add_argument("--write", action="store_true", help="keep the outputs in the notebooks")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    # Kernels of several threads would get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    paths = [
        path
        for path in sorted(FOLDER.glob("*.ipynb"))
        if not options.names or path.name.startswith(tuple(options.names))
    ]
    failed = 0
    with ThreadPoolExecutor(options.workers) as pool:
        for name, seconds, wrong in pool.map(lambda path: run(path, write=options.write), paths):
            print(f"{name:32} {seconds:6.0f} s  {'failed' if wrong else 'ok'}", flush=True)
            failed += bool(wrong)
            if wrong:
                print(wrong, file=sys.stderr)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

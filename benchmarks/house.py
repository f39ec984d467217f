"""How the package is built, in numbers: size, branches, comments, circles, and what one call goes through.

`python -m benchmarks.house` prints the table; `--no-call` leaves out what needs the model, `--calls` prints which files
that call enters and where it goes from room to room. Branch words are the
keywords `if elif else for while and or not try except` in code; docstrings and comments are not code. A circle is a
set of files that import one another, imports for type checking counted. The call is `sb.tl.annotate(adata)` on pbmc3k,
the second of its kind in the process: how many files of the package it enters, how often it goes from a room (folder)
to another, and, on a backed file, how many times each stored value of `X` is read.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "src" / "scbioverse"
BRANCH_WORDS = {"if", "elif", "else", "for", "while", "and", "or", "not", "try", "except"}
# What is asked of the house, and on which side of it a figure should lie.
TARGETS = {
    "lines": "≤ 27,000",
    "branch words per 100 lines of code": "≤ 26",
    "comments per 100 lines of code": "≥ 5",
    "longest file, lines": "≤ 500",
    "files in circles": "0",
    "files entered by a warm annotate": "≤ 35",
    "times X is read, backed": "≤ 2",
    "import, s": "< 0.5",
}


@dataclass(frozen=True)
class Text:
    """Lines of some source files: all, of code, of docstrings; comments; branch words in code."""

    lines: int
    code: int
    docstrings: int
    comments: int
    branches: int
    longest: int


def _docstring_lines(tree: ast.Module) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
            continue
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            found.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return found


def read_text(root: Path) -> Text:
    """Count the lines of every Python file below a folder."""
    lines = code = docstrings = comments = branches = longest = 0
    unseen = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for file in root.rglob("*.py"):
        if "tests" in file.relative_to(root).parts:
            continue
        source = file.read_text()
        documented = _docstring_lines(ast.parse(source))
        lines_of_code: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            spanned = set(range(token.start[0], token.end[0] + 1)) - documented
            if token.type == tokenize.COMMENT:
                comments += 1
            elif token.type not in unseen and spanned:
                lines_of_code |= spanned
                branches += token.type == tokenize.NAME and token.string in BRANCH_WORDS
        lines += source.count("\n")
        code += len(lines_of_code)
        docstrings += len(documented)
        longest = max(longest, source.count("\n"))
    return Text(lines, code, docstrings, comments, branches, longest)


def import_graph(root: Path, package: str = "scbioverse") -> dict[str, set[str]]:
    """Which module imports which, by name; imports inside functions and under `TYPE_CHECKING` are imports, too."""
    names = {}
    for file in root.rglob("*.py"):
        parts = [package, *file.relative_to(root).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    graph: dict[str, set[str]] = {}
    for name, file in names.items():
        here = name if file.name == "__init__.py" else name.rpartition(".")[0]
        graph[name] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.ImportFrom):
                continue
            base = here.rsplit(".", node.level - 1)[0] if node.level > 1 else here
            source = ".".join(filter(None, (base, node.module))) if node.level else node.module or ""
            # `from .room import name`: the file `room/name.py` if there is one, else the room's front.
            for alias in node.names:
                found = f"{source}.{alias.name}" if f"{source}.{alias.name}" in names else source
                if found in names and found != name:
                    graph[name].add(found)
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Find sets of modules that reach one another; a room's front, which only hands on names, is left out."""
    import networkx as nx

    plain = nx.DiGraph([(one, other) for one, others in graph.items() for other in others])
    return sorted((sorted(found) for found in nx.strongly_connected_components(plain) if len(found) > 1), key=len)


def _example(path: Path | None = None):
    import scbioverse as sb

    adata = sb.datasets.pbmc3k()
    if path is None:
        return adata
    import anndata as ad

    adata.write_h5ad(path)
    return ad.read_h5ad(path, backed="r")


def calls_entered() -> list[tuple[str, str]]:
    """File, below the package, and function of every call of a warm `sb.tl.annotate(adata)`, in order."""
    import scbioverse as sb

    sb.tl.annotate(_example())
    adata = _example()
    seen: list[tuple[str, str]] = []
    prefix = f"{ROOT}/"

    def watch(frame, event, _argument) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(prefix):
            seen.append((code.co_filename.removeprefix(prefix), code.co_qualname))

    sys.setprofile(watch)
    try:
        sb.tl.annotate(adata)
    finally:
        sys.setprofile(None)
    return seen


def moves_in(calls: list[tuple[str, str]]) -> Counter[str]:
    """How often one call after another goes to another room, by the two functions."""
    pairs = [(one, other) for one, other in itertools.pairwise(calls) if room_of(one[0]) != room_of(other[0])]
    return Counter(f"{':'.join(one)} -> {':'.join(other)}" for one, other in pairs)


def room_of(file: str) -> str:
    """Folder of a file; a file beside the folders is a room of its own."""
    return file.partition("/")[0]


def print_calls(calls: list[tuple[str, str]], most: int = 40) -> None:
    """Print which files are entered how often, and which changes of room are the most frequent."""
    for file, n in Counter(file for file, _ in calls).most_common():
        print(f"{n:7,}  {file}")
    moves = moves_in(calls)
    print(f"\n{moves.total()} changes of room, the most frequent")
    for move, n in moves.most_common(most):
        print(f"{n:7,}  {move}")


def times_read() -> float:
    """Values of a backed `X` that a warm `sb.tl.annotate(adata)` reads from the file, over those it holds."""
    import h5py

    import scbioverse as sb

    with tempfile.TemporaryDirectory() as folder:
        adata = _example(Path(folder) / "cells.h5ad")
        held = adata.file["X/data"].shape[0]
        read = Counter()
        whole = h5py.Dataset.__getitem__

        def counted(self, *arguments):
            found = whole(self, *arguments)
            if self.name == "/X/data":
                read["values"] += getattr(found, "size", 1)
            return found

        h5py.Dataset.__getitem__ = counted
        try:
            sb.tl.annotate(adata)
        finally:
            h5py.Dataset.__getitem__ = whole
            adata.file.close()
    return read["values"] / held


def import_seconds(runs: int = 5) -> float:
    """Least of several fresh processes' seconds for `import scbioverse`."""
    script = "import time; t = time.perf_counter(); import scbioverse; print(time.perf_counter() - t)"
    run = [sys.executable, "-c", script]
    return min(float(subprocess.run(run, capture_output=True, text=True, check=True).stdout) for _ in range(runs))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-call", action="store_true", help="only what the source says")
    parser.add_argument("--rooms", action="store_true", help="the same of every room")
    parser.add_argument("--calls", action="store_true", help="only which files a warm annotate enters, and how often")
    arguments = parser.parse_args()
    if arguments.calls:
        print_calls(calls_entered())
        return
    text = read_text(ROOT)
    found = circles(import_graph(ROOT))
    rows: dict[str, float] = {
        "lines": text.lines,
        "branch words per 100 lines of code": round(100 * text.branches / text.code, 1),
        "comments per 100 lines of code": round(100 * text.comments / text.code, 1),
        "longest file, lines": text.longest,
        "files in circles": sum(map(len, found)),
        "import, s": round(import_seconds(), 2),
    }
    if not arguments.no_call:
        calls = calls_entered()
        rows["files entered by a warm annotate"] = len({file for file, _ in calls})
        rows["changes of room by a warm annotate"] = moves_in(calls).total()
        rows["times X is read, backed"] = round(times_read(), 2)
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {value:>8,}  {TARGETS.get(name, '')}")
    print(f"{text.code:,} lines of code, {text.docstrings:,} of docstrings, {text.comments:,} comments")
    for circle in found:
        print("circle:", " ".join(circle))
    if arguments.rooms:
        for room in sorted(one for one in ROOT.iterdir() if one.is_dir() and any(one.rglob("*.py"))):
            part = read_text(room)
            print(
                f"{room.name:10} {part.lines:6,} lines {part.code:6,} code "
                f"{100 * part.branches / max(part.code, 1):5.1f} branch words "
                f"{100 * part.comments / max(part.code, 1):5.1f} comments"
            )
    for other in ("scanpy", "peft", "anndata"):
        import importlib.util

        spec = importlib.util.find_spec(other)
        if spec is not None and spec.origin:
            part = read_text(Path(spec.origin).parent)
            print(
                f"beside it, {other}: {part.lines:,} lines, {100 * part.branches / part.code:.1f} branch words, "
                f"{100 * part.comments / part.code:.1f} comments"
            )


if __name__ == "__main__":
    main()

"""How the house is built: no file too long, no circle of imports, docstrings that are read in one go."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import scbioverse
from benchmarks.house import circles, import_graph, read_text

ROOT = Path(scbioverse.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MOST_LINES = 500
DEFINED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def test_counts_of_a_small_file(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        '"""Doc if not else."""\n\n# why\nif a and not b:\n    c = "or"\nelse:\n    c = 1\n'
    )
    found = read_text(tmp_path)
    assert (found.lines, found.code, found.docstrings, found.comments, found.branches) == (7, 4, 1, 1, 4)


def test_graph_sees_imports_for_types_and_inside_functions(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "a.py").write_text("from __future__ import annotations\nif 0:\n    from .b import x\n")
    (tmp_path / "b.py").write_text("def f():\n    from . import a\n")
    graph = import_graph(tmp_path, "p")
    assert graph["p.a"] == {"p.b"}
    assert graph["p.b"] == {"p.a"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_too_long(path: Path) -> None:
    assert path.read_text().count("\n") <= MOST_LINES


def test_no_files_import_one_another_in_a_circle() -> None:
    assert circles(import_graph(ROOT)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_docstring_is_read_in_one_go(path: Path) -> None:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, DEFINED)]
    assert [node for node in nodes if (ast.get_docstring(node) or "").count("\n") >= 60] == []

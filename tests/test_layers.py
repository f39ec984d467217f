"""Imports run one way: cli, app → tl, pl → ask → explain, predict, train → models → llm, encoders → io → knowledge."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import scbioverse

ROOT = Path(scbioverse.__file__).parent
# What each package may import from the others. Every package may use the private modules beside it (_errors, _keys …).
ALLOWED: dict[str, set[str]] = {
    "app": {"ask", "get", "io", "knowledge", "models", "page", "pl", "tl"},
    "cli": {
        *("app", "datasets", "encoders", "get", "io", "knowledge", "llm", "models", "page", "pl", "pp", "tl"),
        "train",
    },
    "page": {"ask", "get", "io", "knowledge", "pl", "tl"},
    "tl": {
        *("ask", "encoders", "explain", "get", "io", "knowledge", "llm", "metrics", "models", "nn", "pp", "predict"),
        "train",
    },
    "ask": {"encoders", "explain", "get", "io", "knowledge", "llm", "metrics", "models", "nn", "pp", "predict"},
    "explain": {"encoders", "io", "knowledge", "llm", "models", "pp"},
    "predict": {"encoders", "io", "knowledge", "llm", "models", "nn", "pp"},
    "pl": {"encoders", "explain", "get", "io", "knowledge", "llm", "metrics", "models", "predict"},
    "get": {"io", "knowledge"},
    "train": {"encoders", "io", "knowledge", "llm", "models", "nn"},
    "models": {"encoders", "io", "knowledge", "llm", "nn", "train"},
    "encoders": {"io", "knowledge", "pp"},
    "llm": {"nn"},
    "nn": set(),
    "pp": {"io", "knowledge"},
    "io": {"knowledge"},
    "knowledge": set(),
    "datasets": set(),
    "metrics": {"knowledge"},
}
NEVER: dict[str, set[str]] = {
    "nn": {"anndata", "pandas", "scanpy", "pathlib", "transformers"},
    "knowledge": {"torch", "transformers", "scanpy"},
    "datasets": {"torch", "transformers", "scanpy"},
    "io": {"torch", "transformers", "scanpy"},
    "pp": {"torch", "transformers", "scanpy"},
    "pl": {"torch"},
    "metrics": {"torch", "transformers", "anndata"},
}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(path: Path) -> set[tuple[str, ...]]:
    """Every import of a file, absolute, as a tuple of name parts; inside functions and TYPE_CHECKING too."""
    package = ("scbioverse", *path.parent.parts)
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            found |= {(*module, alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path: Path) -> None:
    if len(path.parts) == 1 and path.name != "__init__.py":
        inside = {parts[1] for parts in imports(path) if parts[0] == "scbioverse" and len(parts) > 1}
        assert all(name.startswith("_") or name == "errors" for name in inside), (
            "a private module of the root imports a package"
        )
        return
    own = path.parts[0]
    if own == "__init__.py":
        return
    for parts in imports(path):
        if parts[0] == "scbioverse" and len(parts) > 1 and parts[1] in ALLOWED:
            assert parts[1] == own or parts[1] in ALLOWED[own], f"{own} must not import {'.'.join(parts)}"
        assert parts[0] not in NEVER.get(own, set()), f"{own} must not import {parts[0]}"


def test_every_package_has_its_place() -> None:
    packages = {path.parts[0] for path in FILES if len(path.parts) > 1}
    assert packages <= set(ALLOWED)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_prints_and_no_asserts(path: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error that tells what to do"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print" or path.parts[0] == "cli", f"line {node.lineno}: log, do not print"

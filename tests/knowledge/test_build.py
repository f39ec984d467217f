"""The recipe gives the bundled tables again, where its sources are at hand."""

from __future__ import annotations

import gzip
import importlib
import os
import sys
from importlib import resources
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "knowledge"
SOURCE = Path(os.environ.get("SCBIOVERSE_CACHE_DIR", "")) / "knowledge" / "cell_ontology.tsv"
pytestmark = pytest.mark.skipif(
    not (SOURCE.is_file() and RECIPE.is_dir()), reason="knowledge tables are not in SCBIOVERSE_CACHE_DIR"
)


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    modules = [path.stem for path in RECIPE.glob("_*.py")]
    monkeypatch.setattr(sys, "path", [str(RECIPE), *sys.path])
    yield lambda part: _rebuild(part, tmp_path, monkeypatch)
    for name in modules:
        sys.modules.pop(name, None)


def _rebuild(part: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tables, module = importlib.import_module("_tables"), importlib.import_module(f"_{part}")
    monkeypatch.setattr(tables, "TARGET", folder)
    if hasattr(module, "TARGET"):
        monkeypatch.setattr(module, "TARGET", folder)
    module.build()
    return next(folder.iterdir())


SLOW = [pytest.param(part, marks=pytest.mark.slow) for part in ("genes", "names", "markers", "tissues")]


@pytest.mark.parametrize("part", ["ontology", "general", "misleading", *SLOW])
def test_same_tables_again(recipe, part):
    made = recipe(part)
    bundled = resources.files("scbioverse.knowledge").joinpath("data").joinpath(made.name).read_bytes()
    fresh = made.read_bytes()
    if made.suffix == ".gz":
        # The compressed bytes depend on the zlib at hand, what is in them must not.
        assert fresh[4:8] == bytes(4)
        fresh, bundled = gzip.decompress(fresh), gzip.decompress(bundled)
    assert fresh == bundled


def test_missing_sources_are_named(recipe, monkeypatch, tmp_path):
    monkeypatch.setenv("SCBIOVERSE_CACHE_DIR", str(tmp_path))
    with pytest.raises(SystemExit, match="cell_ontology"):
        recipe("ontology")

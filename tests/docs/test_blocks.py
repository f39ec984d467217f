"""Every block of Python in the README and on the pages runs, in order, on a few cells that are annotated once.

What a reader has to bring is stood in for: a language model's folder by a tiny random one, a table by a short one. What
names a commit on a hub, or a model that is not here, is left out; docs/training.md and the encoder of docs/encoders.md
have tests of their own. Training takes one step, and reasons are worded by the template.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from anndata import AnnData

from tests.docs.conftest import brought

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
ELSEWHERE = {"training.md": "tests/models/test_docs.py"}
# A statement with one of these names something on a hub, machines or models that only a reader has.
NOT_HERE = (
    "@<",
    "lab/",
    "distributed",
    "scheduler:",
    "esm2_",
    "owner/name",
    "scvi_model",
    "folder-of-model-save",
    "GeneformerEncoder",
    "=encoder",
    "cell_model",
    "(both,",
    "=more",
)
MOST_LEFT_OUT = 18
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if BLOCK.search(page.read_text(encoding="utf-8")) and page.name not in ELSEWHERE
]


def statements(page: Path) -> Iterator[tuple[str, bool]]:
    """Top-level statements of a page, and whether they are run."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for node in ast.parse(block).body:
            code = ast.unparse(node)
            yield code, not any(name in code for name in NOT_HERE)


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(
    page: Path, few: AnnData, my_model: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, name in (("rdkit", "modalities.md"), ("rdkit", "ask.md"), ("starlette", "serve.md")):
        if page.name == name:
            pytest.importorskip(package)
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    if 'load("my-model")' in page.read_text(encoding="utf-8"):
        (tmp_path / "my-model").symlink_to(my_model)
    (tmp_path / "tables").mkdir()
    if "cells.zarr" in page.read_text(encoding="utf-8"):
        few.copy().write_zarr(tmp_path / "cells.zarr")
    (tmp_path / "proteins.fasta").write_text(">one\nMQSGTHWRVLGLCLLSVGVWGQ\n")
    stands_in = {"path/to/folder": str(tiny_llm), "/models/Qwen3-0.6B": str(tiny_llm), "HW...": "HW", "LL...": "LL"}
    names = brought(few)
    for code, is_run in statements(page):
        if not is_run:
            continue
        for reader, ours in stands_in.items():
            code = code.replace(reader, ours)
        try:
            exec(code, names)
        except Exception as error:
            raise AssertionError(f"{page.name}: {code}\n{type(error).__name__}: {error}") from error
    plt.close("all")


def test_little_is_left_out() -> None:
    left = [(page.name, code) for page in PAGES for code, is_run in statements(page) if not is_run]
    assert len(left) <= MOST_LEFT_OUT, left
    for place in ELSEWHERE.values():
        assert (ROOT / place).is_file()

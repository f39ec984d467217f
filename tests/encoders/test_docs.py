"""The page on encoders: its ten-line encoder is run as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.encoders import Encoder, SavableEncoder, _registry
from tests._precision import FEW, tolerance

PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"
RUN = re.compile(r"^<!--[^\n]*run[^\n]*-->\n```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def blocks() -> Iterator[list[str]]:
    yield RUN.findall(PAGE.read_text(encoding="utf-8"))
    _registry.CLASSES.pop("quality", None)


def test_the_encoder_of_the_page_works_in_ten_lines(blocks: list[str]) -> None:
    code = blocks[0]
    assert len([line for line in code[code.index("@") :].splitlines() if line.strip()]) <= 10
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    encoder = namespace["Quality"]()
    assert isinstance(encoder, Encoder)
    assert "quality" in sb.encoders.list_encoders()
    cells = sb.datasets.pbmc3k()[:50].copy()
    counts = cells.X.toarray()
    sb.tl.embed(cells, model=encoder, batch_size=7)
    found = cells.obsm["X_bioverse"]
    assert found.shape == (50, 3)
    np.testing.assert_allclose(found[:, 1], np.log1p((counts > 0).sum(axis=1)), rtol=FEW)
    mitochondrial = [name.startswith("MT-") for name in cells.var_names]
    assert sum(mitochondrial) == 13
    np.testing.assert_allclose(
        found[:, 0],
        counts[:, mitochondrial].sum(axis=1) / counts.sum(axis=1),
        rtol=tolerance("float32", counts.shape[1]),
    )


def test_a_checkpoint_carries_it(blocks: list[str], tmp_path: Path, tiny_llm: Path) -> None:
    namespace: dict[str, Any] = {}
    for code in blocks:
        exec(code, namespace)
    encoder = namespace["Quality"]()
    assert isinstance(encoder, SavableEncoder)
    cells = sb.datasets.pbmc3k()[:60].copy()
    model = sb.tl.align(cells, text_key="cell_type", model=encoder, llm=str(tiny_llm), steps=3, general_text=False)
    model.save(tmp_path / "m")
    again = sb.models.load(tmp_path / "m")
    assert type(again.encoders["cell"]) is namespace["Quality"]
    fresh = sb.datasets.pbmc3k()[:60].copy()
    sb.tl.embed(fresh, model=again)
    np.testing.assert_array_equal(fresh.obsm["X_bioverse"], cells.obsm["X_bioverse"])


def test_any_obsm_is_an_encoder(tmp_path: Path, tiny_llm: Path) -> None:
    cells = sb.datasets.pbmc3k()[:60].copy()
    cells.obsm["X_mine"] = np.random.default_rng(0).normal(size=(60, 2, 8)).astype(np.float32)
    model = sb.tl.align(cells, text_key="cell_type", use_rep="X_mine", llm=str(tiny_llm), steps=3, general_text=False)
    assert model.encoders["cell"].n_tokens == 2
    model.save(tmp_path / "m")
    sb.tl.annotate(cells, model=sb.models.load(tmp_path / "m"), labels=["B cell", "NK cell"], method="nearest")
    assert set(cells.obs["bioverse_label"]) <= {"B cell", "NK cell", "unknown"}

"""The command line gives what the functions give: files, tables and what is printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import scbioverse as sb
from scbioverse.cli import app

from . import _data as data
from ._golden import annotation, differences, numbers, read, unpack

# anndata warns of a change of zarr's format to come.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
# By default the language model words the reasons.
WANTED = "annotate_reasons_worded"


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Read the language model in float32, as the golden files were made, whatever the processor."""
    monkeypatch.setattr("scbioverse.llm._loading.cpu_has_bfloat16", lambda: False)
    sb.models.clear_cache()
    yield
    sb.models.clear_cache()


def call(*words: object, stdin: str | None = None) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(("source", "target"), [("in.h5ad", "out.h5ad"), ("in.zarr", "out.zarr")])
def test_annotate(tmp_path: Path, source: str, target: str) -> None:
    adata = data.blood()
    (adata.write_h5ad if source.endswith("h5ad") else adata.write_zarr)(tmp_path / source)
    out, table = tmp_path / target, tmp_path / "labels.csv"
    result = call("annotate", tmp_path / source, "-o", out, "--labels", ";".join(data.NAMES), "--table", table)
    done = ad.read_h5ad(out) if target.endswith("h5ad") else ad.read_zarr(out)
    said = differences(read(WANTED), annotation(done))
    assert not said, "\n".join(said)
    labels = pd.Series(unpack(read(WANTED).text["label"]))
    printed = {line.split(maxsplit=1)[1]: int(line.split()[0]) for line in result.stdout.splitlines()}
    assert printed == labels.value_counts().to_dict()
    written = pd.read_csv(table, index_col="cell")
    assert list(written.columns) == ["label", "confidence", "cl_id", "rationale"]
    assert list(written["label"]) == list(labels)
    assert list(written.index) == list(adata.obs_names)


def test_groups_of_a_panel_named_by_ensembl(tmp_path: Path) -> None:
    data.by_ensembl(data.panel()).write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "labels.txt").write_text("\n".join(data.NAMES), encoding="utf-8")
    call(
        "annotate", tmp_path / "in.h5ad", "-o", tmp_path / "out.h5ad", "--labels", tmp_path / "labels.txt", "-q",
        "--groupby", "cluster", "--gene-key", "gene_ids", "--key-added", "mine",
    )  # fmt: skip
    found, wanted = annotation(ad.read_h5ad(tmp_path / "out.h5ad"), "mine"), read("annotate_panel_clusters")
    for one in (found, wanted):
        # The golden reasons are the template's, the command line's are worded: `test_annotate` holds these.
        for name in ("key", "embedding", "rationale", "reasons_by_llm"):
            one.text["record"].pop(name)
        for name in ("rationale", "evidence"):
            one.text.pop(name)
    said = differences(wanted, found)
    assert not said, "\n".join(said)


def test_embed(tmp_path: Path) -> None:
    data.blood(45).write_h5ad(tmp_path / "in.h5ad")
    call("embed", tmp_path / "in.h5ad", "-o", tmp_path / "out.h5ad")
    found = numbers(ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_bioverse"][::4])
    np.testing.assert_allclose(found, read("embed_cells").numbers["embedding_counts"], rtol=0, atol=1e-4)


def test_models_list() -> None:
    lines = call("models", "list").stdout.splitlines()
    cells = next(line for line in lines if line.startswith("bioverse-small\t")).split("\t")
    assert cells[1:4] == ["cell, molecule, protein", "smollm2-135m-instruct", "210 labels"]
    assert cells[-1] == "present"


def test_chat(tmp_path: Path) -> None:
    data.blood().write_h5ad(tmp_path / "in.h5ad")
    said = call("chat", tmp_path / "in.h5ad", stdin="How many cells are there?\nexit\n").stdout
    assert "All cells: 300 cells." in said

"""Errors and messages on the command line name its commands and options, not those of Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import pytest
from typer.testing import CliRunner

from scbioverse.cli import app
from scbioverse.cli._run import Words

ANNOTATE = Words({"layer": "--layer", "gene_key": "--gene-key", "labels": "--labels", "model": "--model"})


def call(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("Run sb.tl.annotate(adata) first.", "Run scbioverse annotate SOURCE -o OUTPUT first."),
        (
            "Run scbioverse.tl.annotate(adata, key_added='my own') first.",
            "Run scbioverse annotate SOURCE -o OUTPUT --key-added 'my own' first.",
        ),
        ("See scbioverse.models.list_models().", "See scbioverse models list."),
        ("run sb.models.verify('tiny').", "run scbioverse models verify tiny."),
        ("scbioverse.tl.annotate wrote it", "scbioverse annotate wrote it"),
        ("name it: layer='counts' or layer='raw'.", "name it: --layer counts or --layer raw."),
        ("Pass one as layer=.", "Pass one as --layer."),
        ("pass key='gene_symbols'.", "pass --gene-key gene_symbols."),
        # What has no counterpart stays as it is in Python.
        ("Run sb.tl.embed(adata, modality='molecule') first.", "Run sb.tl.embed(adata, modality='molecule') first."),
        ("scbioverse.tl.align(adata, text_key=..., model=...)", "scbioverse.tl.align(adata, text_key=..., model=...)"),
        ("keep them: adata.layers['counts'] = adata.X.copy()", "keep them: adata.layers['counts'] = adata.X.copy()"),
        ("pass sample_key='donor'", "pass sample_key='donor'"),
    ],
)
def test_words(python: str, shell: str) -> None:
    assert ANNOTATE.said(python) == shell
    assert Words(shell=False).said(python) == python


def test_a_column_of_rows_and_a_column_of_genes() -> None:
    both = Words({"key": "--key", "gene_key": "--gene-key", "value": "--value"})
    assert both.said("pass it by values= or columns=: donor_id") == "pass it by --value or columns=: donor_id"
    assert both.said("name the column with key=.") == "name the column with --key."
    assert both.said("adata.var has names: pass key='sym'.") == "adata.var has names: pass --gene-key sym."


def test_commands_about_models_speak_of_themselves() -> None:
    said = call("models", "pull", "bioverse-smal").stderr
    assert "Did you mean 'bioverse-small'" in said
    assert "scbioverse models list" in said


def test_labels_that_are_not_there(source: Path, tmp_path: Path) -> None:
    asked = call("report", source, "-o", tmp_path / "page.html")
    assert asked.exit_code == 1
    assert "Run scbioverse annotate SOURCE -o OUTPUT" in asked.stderr
    for words in (
        ["export", source, "-o", tmp_path / "out.h5ad", "--to", "cellxgene"],
        ["export", source, "-o", tmp_path / "out", "--to", "celltypist", "--key-added", "mine"],
        ["serve", source, "--no-browser", "--port", "0"],
    ):
        said = call(*words).stderr
        assert "scbioverse annotate" in said
        assert "tl.annotate" not in said
    assert "--label-key" in call("serve", source, "--no-browser", "--port", "0").stderr


def test_an_option_that_would_help(source: Path, model_folder: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(source)
    adata.var["symbol"] = adata.var_names
    adata.var_names = [f"g{i}" for i in range(adata.n_vars)]
    adata.layers["counts"] = adata.X.copy()
    adata.write_h5ad(source)
    words = ("annotate", source, "-o", tmp_path / "out.h5ad", "-m", model_folder)
    assert "--gene-key symbol" in call(*words).stderr
    del adata.X
    empty = tmp_path / "empty.h5ad"
    adata.write_h5ad(empty)
    assert "Pass one as --layer." in call("annotate", empty, *words[2:], "--gene-key", "symbol").stderr

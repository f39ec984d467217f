from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
import pytest
from typer.testing import CliRunner

import scbioverse as sb
from scbioverse._logging import logger
from scbioverse.cli import _files, app
from scbioverse.cli._paths import read_labels
from scbioverse.errors import InputError

LABELS = "B cell;NK cells;CD14+ Monocytes"


def call(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def one_line(result: Any, *parts: str) -> None:
    """The command failed with one line on stderr, that says what is wrong."""
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "Traceback" not in result.output
    for part in parts:
        assert part in lines[0]


def test_annotate(source: Path, model_folder: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    out = tmp_path / "out.h5ad"
    result = call("annotate", source, "-o", out, "--model", model_folder, "--labels", LABELS)
    assert result.exit_code == 0, result.output
    assert source.read_bytes() == before
    done = ad.read_h5ad(out)
    assert set(done.obs["bioverse_label"]) <= set(LABELS.split(";"))
    counts = {line.split(maxsplit=1)[1]: int(line.split()[0]) for line in result.stdout.splitlines() if line.strip()}
    assert counts == done.obs["bioverse_label"].value_counts().loc[lambda n: n > 0].to_dict()
    assert "NK cells -> CL:0000623" in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_tissue_is_read_and_a_word_that_is_none_is_refused(source: Path, model_folder: Path, tmp_path: Path) -> None:
    words = ("annotate", source, "-o", tmp_path / "out.h5ad", "-m", model_folder, "--labels", LABELS, "--tissue")
    assert "PBMC -> blood" in call(*words, "PBMC").stderr
    one_line(call(*words, "blod", "--force"), "'blood'")


def test_groups_table_and_own_vocabulary(source: Path, model_folder: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out.h5ad", tmp_path / "labels.tsv"
    result = call(
        "annotate", source, "-o", out, "-m", model_folder, "--groupby", "cluster", "--table", table,
        "--key-added", "mine", "--unknown-threshold", "0.1", "-q",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.output == ""
    done = ad.read_h5ad(out)
    assert (done.obs.groupby("cluster", observed=True)["mine_label"].nunique() == 1).all()
    written = pd.read_csv(table, sep="\t", index_col="cell")
    assert list(written["label"]) == list(done.obs["mine_label"])


@pytest.mark.parametrize("kind", ["names", "ids"])
def test_labels_from_a_file(source: Path, model_folder: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "labels.txt"
    lines = ["# candidates", "B cell", "", "NK cell"] if kind == "names" else ["c0\tCL:0000236", "c1\tCL:0000623"]
    file.write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "out.h5ad"
    assert call("annotate", source, "-o", out, "-m", model_folder, "--labels", file).exit_code == 0
    table = sb.get.labels(ad.read_h5ad(out))
    assert list(table["name"]) == (["B cell", "NK cell"] if kind == "names" else ["c0", "c1"])
    assert list(table["cl_id"]) == ["CL:0000236", "CL:0000623"]


def test_embed_and_zarr(source: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    result = call("embed", source, "-o", out, "-m", model_folder)
    assert result.exit_code == 0, result.output
    assert "genes" in result.stderr
    assert ad.read_zarr(out).obsm["X_bioverse"].shape == (40, 16)
    again = tmp_path / "again.h5ad"
    assert call("annotate", out, "-o", again, "-m", model_folder, "--labels", LABELS).exit_code == 0
    assert call("embed", again, "-o", out, "-m", model_folder, "--force", "--key-added", "b").exit_code == 0
    assert "X_b" in ad.read_zarr(out).obsm


def test_models(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scbioverse.models import registry

    monkeypatch.setattr(registry, "_BUNDLED", tmp_path)
    shutil.copytree(model_folder, tmp_path / "tiny")
    for words in (["models"], ["models", "list"]):
        result = call(*words)
        assert result.exit_code == 0
        assert result.stdout.startswith("tiny\tcell\t")


def test_models_verify_and_pull(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scbioverse.models import registry

    monkeypatch.setattr(registry, "_BUNDLED", tmp_path)
    monkeypatch.setattr(sb.settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(sb.settings, "offline", True)
    shutil.copytree(model_folder, tmp_path / "tiny")
    result = call("models", "verify", "tiny")
    assert result.exit_code == 0, result.output
    assert "as it should be" in result.stdout
    assert call("models", "pull", "tiny").stdout == result.stdout
    one_line(call("models", "pull", "tony"), "no model 'tony'", "Did you mean 'tiny'")
    one_line(call("models", "pull", "lab/model"), "settings.offline is on")
    (tmp_path / "tiny" / "projector.safetensors").write_bytes(b"x")
    one_line(call("models", "verify", "tiny"), "projector.safetensors", "has sha256")


def test_version_and_help() -> None:
    assert call("--version").stdout.strip() == sb.__version__
    for words in (["--help"], ["annotate", "--help"], ["embed", "--help"]):
        assert call(*words).exit_code == 0
    assert call().exit_code != 0


# ------------------------------------------------------------------ bad input


def test_the_input_is_never_overwritten(source: Path, model_folder: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    link = tmp_path / "link.h5ad"
    link.symlink_to(source)
    hard = tmp_path / "hard.h5ad"
    os.link(source, hard)
    for out in (source, tmp_path / "." / "in.h5ad", link, hard):
        one_line(call("annotate", source, "-o", out, "-m", model_folder, "--force"), "never overwritten")
        one_line(call("embed", source, "-o", out, "-m", model_folder, "--force"), "never overwritten")
    assert source.read_bytes() == before


def test_bad_paths(source: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    one_line(call("annotate", tmp_path / "gone.h5ad", "-o", out, "-m", model_folder), "gone.h5ad does not exist")
    one_line(call("annotate", source, "-o", tmp_path / "x.loom", "-m", model_folder), "neither .h5ad nor .zarr")
    one_line(call("annotate", source, "-o", tmp_path / "no" / "x.h5ad", "-m", model_folder), "does not exist")
    one_line(call("annotate", source, "-o", out, "-m", model_folder, "--table", tmp_path / "x.xls"), "neither .csv")
    one_line(call("annotate", source, "-o", out, "-m", tmp_path / "none"), "no model")
    out.write_text("precious")
    one_line(call("annotate", source, "-o", out, "-m", model_folder), "exists. Pass --force")
    assert out.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(source: Path, model_folder: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    one_line(call("annotate", source, "-o", locked / "x.h5ad", "-m", model_folder), "cannot be written to")


def test_write_that_fails_leaves_nothing(
    source: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(adata: ad.AnnData, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files, "write_h5ad", fail)
    out = tmp_path / "out.h5ad"
    one_line(call("annotate", source, "-o", out, "-m", model_folder, "--labels", LABELS), "No space left")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5ad"]


@pytest.mark.parametrize("content", [b"", b"not a file of hdf5", None])
def test_damaged_input(source: Path, model_folder: Path, tmp_path: Path, content: bytes | None) -> None:
    source.write_bytes(source.read_bytes()[:3000] if content is None else content)
    one_line(call("annotate", source, "-o", tmp_path / "out.h5ad", "-m", model_folder), "cannot be read as an AnnData")
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "0;1;2"], "cluster numbers"),
        (["--labels", " ; "], "names no label"),
        (["--labels", "gone.txt"], "cannot be read"),
        (["--groupby", "leiden"], "leiden"),
        (["--layer", "gone"], "gone"),
        (["--gene-key", "gone"], "gone"),
        (["--method", "nearest"], "no text space"),
        (["--unknown-threshold", "2"], "unknown_threshold"),
    ],
)
def test_bad_options(source: Path, model_folder: Path, tmp_path: Path, words: list[str], message: str) -> None:
    out = tmp_path / "out.h5ad"
    one_line(call("annotate", source, "-o", out, "-m", model_folder, *words), message)
    assert not out.exists()


def test_bad_matrix(source: Path, model_folder: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(source)
    adata.X.data[0] = -1
    adata.write_h5ad(source)
    one_line(call("annotate", source, "-o", tmp_path / "out.h5ad", "-m", model_folder), "negative")


def test_without_an_output_nothing_is_done(source: Path) -> None:
    one_line(call("annotate", source), "--output")


def test_unknown_option_is_refused(source: Path) -> None:
    assert call("annotate", source, "-o", "x.h5ad", "--method", "guess").exit_code == 2


# ------------------------------------------------------------------ surroundings


def test_settings_and_logging_are_put_back(source: Path, model_folder: Path, tmp_path: Path) -> None:
    before = (list(logger.handlers), logger.level, sb.settings.progress, warnings.showwarning)
    call("annotate", source, "-o", tmp_path / "out.h5ad", "-m", model_folder, "-q")
    call("annotate", source, "-o", tmp_path / "gone" / "out.h5ad", "-m", model_folder)
    assert (list(logger.handlers), logger.level, sb.settings.progress, warnings.showwarning) == before


def test_warnings_are_lines(source: Path, model_folder: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = call("annotate", source, "-o", tmp_path / "out.h5ad", "-m", model_folder, "--labels", "Zorblax;B cell")
    assert result.exit_code == 0
    assert len([line for line in result.stderr.splitlines() if line.startswith("warning: 1 of 2 labels")]) == 1


def test_labels_argument(tmp_path: Path) -> None:
    assert read_labels("a; b ;c") == ["a", "b", "c"]
    assert read_labels("B cell, NK cell") == ["B cell", "NK cell"]
    assert read_labels("T cell, CD4; B cell") == ["T cell, CD4", "B cell"]
    assert read_labels("CL") == "cl"
    assert read_labels("vocabulary") == "vocabulary"
    file = tmp_path / "x"
    file.write_text("a\tCL:0000236\nb\n")
    assert read_labels(str(file)) == {"a": "CL:0000236", "b": ""}
    with pytest.raises(InputError, match="names no label"):
        read_labels("")


def test_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scbioverse.cli", "embed", str(tmp_path / "gone.h5ad"), "-o", str(tmp_path / "o.h5ad")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {tmp_path / 'gone.h5ad'} does not exist."
    assert done.stdout == ""


def test_the_process_ends_without_looking_for_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    import gc

    from scbioverse.cli import _app

    asked: list[object] = []
    monkeypatch.setattr(_app.atexit, "register", asked.append)
    monkeypatch.setattr(_app, "app", lambda: asked.append("run"))
    _app.main()
    assert asked == [gc.freeze, "run"]

"""What is replaced with --force, and how; what is left when a run is stopped or a disk is full."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pytest
from typer.testing import CliRunner

import scbioverse as sb
from scbioverse.cli import app

# A program around the command line: what it does at the first write is its first argument.
PROGRAM = """
import os, resource, signal, sys, time, faulthandler
faulthandler.enable()
# Whatever the tests were started by (nohup, a shell in the background) may have them ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from scbioverse.cli import _files
from scbioverse.cli._app import main
what = sys.argv.pop(1)
if what.startswith("limit"):
    size = int(what.split()[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
elif what == "wait":
    write = _files.write_h5ad
    def waiting(adata, path):
        path.write_text("half")
        print("writing", flush=True)
        time.sleep(60)
    _files.write_h5ad = waiting
elif what.startswith("signal"):
    number, calls, write = int(what.split()[1]), [], _files._Sink.write
    def signalling(self, data):
        calls.append(1)
        if len(calls) == 12:
            os.kill(os.getpid(), number)
        return write(self, data)
    _files._Sink.write = signalling
main()
"""


def call(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def program(what: str, *words: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, what, *map(str, words)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def one_line(stderr: str, *parts: str) -> None:
    said = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(said) == 1, stderr
    assert "Traceback" not in stderr
    assert "Fatal" not in stderr
    for part in parts:
        assert part in said[0]


# ------------------------------------------------------------------ --force


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_an_output_of_ours_is_replaced(source: Path, model_folder: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"out.{kind}"
    for words in ((), ("--force",)):
        result = call("embed", source, "-o", out, "-m", model_folder, *words)
        assert result.exit_code == 0, result.output
        done = ad.read_h5ad(out) if kind == "h5ad" else ad.read_zarr(out)
        assert "X_bioverse" in done.obsm
        (out / ".DS_Store").touch() if kind == "zarr" else out.chmod(0o640)
    if kind == "h5ad":
        assert out.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["in.h5ad", out.name]


def test_an_empty_file_or_folder_is_replaced(source: Path, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").touch()
    (tmp_path / "b.zarr").mkdir()
    for out in ("a.h5ad", "b.zarr"):
        assert call("embed", source, "-o", tmp_path / out, "-m", model_folder, "--force").exit_code == 0


def test_of_a_link_the_target_is_replaced(source: Path, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "out.h5ad", tmp_path / "link.h5ad"
    shutil.copy(source, target)
    link.symlink_to(target)
    assert call("embed", source, "-o", link, "-m", model_folder).exit_code == 1
    assert call("embed", source, "-o", link, "-m", model_folder, "--force").exit_code == 0
    assert link.is_symlink()
    assert "X_bioverse" in ad.read_h5ad(target).obsm
    assert names(tmp_path / "disk") == ["out.h5ad"]


def test_what_is_written_is_what_anndata_writes(source: Path, model_folder: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(source)
    adata.raw = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    adata.obsp["near"] = adata.X[:, :40] @ adata.X[:, :40].T
    adata.obs["words"] = [f"cell {i % 3}" for i in range(adata.n_obs)]
    adata.var["n"] = np.arange(adata.n_vars)
    adata.varm["v"] = np.ones((adata.n_vars, 2))
    adata.uns["deep"] = {"a": {"b": [1, 2], "c": "text"}, "none": np.array([np.nan])}
    adata.write_h5ad(source)
    assert call("embed", source, "-o", tmp_path / "out.h5ad", "-m", model_folder).exit_code == 0
    ours = ad.read_h5ad(tmp_path / "out.h5ad")
    ours.write_h5ad(tmp_path / "theirs.h5ad")
    theirs = ad.read_h5ad(tmp_path / "theirs.h5ad")
    assert {*ours.layers} == {"counts"}
    assert ours.raw is not None
    assert ours.obs["words"].dtype == theirs.obs["words"].dtype == "category"
    for one, other in ((ours.X, adata.X), (ours.layers["counts"], adata.X), (ours.raw.X, adata.X)):
        assert (one != other).nnz == 0
    assert ours.uns["deep"]["a"]["c"] == "text"
    assert list(ours.obsm["X_bioverse"].shape) == [40, 16]


# ------------------------------------------------------------------ full disks


@pytest.mark.parametrize(("kind", "size"), [("h5ad", 0), ("h5ad", 20_000), ("zarr", 0), ("zarr", 500)])
def test_a_disk_that_fills_up_is_one_line_and_leaves_nothing(
    source: Path, model_folder: Path, tmp_path: Path, kind: str, size: int
) -> None:
    before = source.read_bytes()
    words = ("embed", source, "-o", tmp_path / f"out.{kind}", "-m", model_folder)
    done = subprocess.run(program(f"limit {size}", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    one_line(done.stderr, f"out.{kind} cannot be written: File too large", "Nothing was left")
    assert names(tmp_path) == ["in.h5ad"]
    assert source.read_bytes() == before


def test_an_output_that_was_there_stays_when_the_disk_fills_up(
    source: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copy(source, tmp_path / "out.h5ad"))
    before = out.read_bytes()
    words = ("annotate", source, "-o", out, "-m", model_folder, "--force", "-q")
    done = subprocess.run(program("limit 30000", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    one_line(done.stderr, "cannot be written")
    assert out.read_bytes() == before
    assert names(tmp_path) == ["in.h5ad", "out.h5ad"]


@pytest.mark.parametrize("command", ["annotate", "embed"])
def test_too_little_room_is_said_before_anything_is_computed(
    command: str, source: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, used=10**9, free=20_000))

    def computed(*_: object, **__: object) -> None:
        raise AssertionError("it was computed")

    monkeypatch.setattr(sb.tl, command, computed)
    result = call(command, source, "-o", tmp_path / "out.h5ad", "-m", model_folder)
    assert result.exit_code == 1
    one_line(result.stderr, "the output out.h5ad takes about", "has 0.0 MB left", "Free some space")
    assert names(tmp_path) == ["in.h5ad"]


def test_every_place_where_a_disk_can_fill_up(source: Path, tmp_path: Path) -> None:
    # In a process of its own: what this guards against ends the process.
    code = """
import errno, faulthandler, gc, io, sys
faulthandler.enable()
import anndata as ad
import numpy as np
from scbioverse.cli import _files
adata = ad.read_h5ad(sys.argv[1])
adata.uns["many"] = {f"k{i}": {"a": np.arange(i), "b": f"text {i}"} for i in range(40)}
class File(io.FileIO):
    limit = 10**9
    def write(self, data):
        if self.tell() + len(data) > self.limit:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)
class Place:
    def open(self, *_, **__):
        return File(sys.argv[2], "w+")
_files.write_h5ad(adata, Place())
with open(sys.argv[2], "rb") as file:
    size = len(file.read())
refused = 0
for limit in [0, 1, 96, 800, 2048, 4096, *np.linspace(5000, size - 1, 14).astype(int)]:
    File.limit = int(limit)
    try:
        _files.write_h5ad(adata, Place())
    except OSError as error:
        refused += error.errno == errno.ENOSPC
gc.collect()
print("refused", refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(tmp_path / "x.h5ad")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "refused 20\n"), done.stderr


# ------------------------------------------------------------------ signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_removes_what_was_begun(source: Path, model_folder: Path, tmp_path: Path, number: int) -> None:
    words = ("embed", source, "-o", tmp_path / "out.h5ad", "-m", model_folder, "-q")
    with subprocess.Popen(program("wait", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "writing\n"
        assert len(names(tmp_path)) == 3  # the input, the output under its first name, its lock
        run.send_signal(number)
        _, stderr = run.communicate(timeout=60)
    assert run.returncode == 128 + number
    assert stderr == f"error: stopped by {signal.Signals(number).name}; files that were not finished are removed.\n"
    assert names(tmp_path) == ["in.h5ad"]


def test_a_signal_within_the_library(source: Path, model_folder: Path, tmp_path: Path) -> None:
    words = ("embed", source, "-o", tmp_path / "out.h5ad", "-m", model_folder, "-q")
    done = subprocess.run(program(f"signal {int(signal.SIGTERM)}", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 143, done.stderr
    one_line(done.stderr, "stopped by SIGTERM")
    assert names(tmp_path) == ["in.h5ad"]


def test_what_a_killed_run_left_goes_at_the_next(source: Path, model_folder: Path, tmp_path: Path) -> None:
    words = ("embed", source, "-o", tmp_path / "out.h5ad", "-m", model_folder, "-q")
    with subprocess.Popen(program("wait", *words), stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.kill()
    assert len(names(tmp_path)) == 3
    assert call(*words).exit_code == 0
    assert names(tmp_path) == ["in.h5ad", "out.h5ad"]


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    "name", ["Zellen äöü 细胞.h5ad", "-x.h5ad", "a b;c.h5ad", "émoji 🧬.h5ad", f"{'n' * 250}.h5ad"]
)
def test_unusual_names(source: Path, model_folder: Path, tmp_path: Path, name: str) -> None:
    given = source.rename(tmp_path / name)
    out = tmp_path / "out" / name
    out.parent.mkdir()
    result = call("embed", "-m", model_folder, "-o", out, "--", given)
    assert result.exit_code == 0, result.output
    assert names(out.parent) == [name]


def test_labels_that_a_terminal_lacks_letters_for(source: Path, model_folder: Path, tmp_path: Path) -> None:
    words = ("annotate", source, "-o", tmp_path / "out.h5ad", "-m", model_folder, "--labels", "Lymphozyt β;B cell")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = subprocess.run(
            [sys.executable, "-m", "scbioverse.cli", *map(str, words)],
            capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["a\0b.h5ad", "-o", "out.h5ad"], ["in.h5ad", "-o", "o\0.h5ad"]])
def test_a_nul_in_a_path(words: list[str]) -> None:
    result = call("embed", *words)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)


def test_labels_from_odd_files(source: Path, model_folder: Path, tmp_path: Path) -> None:
    many = "; ".join(["B cell", "NK cell", *(f"monocyte of kind number {i}" for i in range(20))])
    assert len(many) > 255  # longer than a file's name may be
    file = tmp_path / "utf16.txt"
    file.write_text("B cell\nNK cell\n", encoding="utf-16")
    out = tmp_path / "out.h5ad"
    for labels, n in ((many, 22), (file, 2)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call("annotate", source, "-o", out, "-m", model_folder, "--labels", labels, "--force", "-q")
        assert result.exit_code == 0, result.output
        assert ad.read_h5ad(out).obsm["bioverse_scores"].shape[1] == n


def test_an_input_that_may_not_be_read(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK and allowed(path, mode))
    result = call("embed", source, "-o", tmp_path / "out.h5ad")
    assert isinstance(result.exception, SystemExit)
    assert "not readable" in result.stderr


@pytest.fixture(autouse=True)
def _no_core_files() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

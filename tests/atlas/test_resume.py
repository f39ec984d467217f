"""A run that is killed loses one block; what changed in between never meets a part of the run before.

Short here; `SCBIOVERSE_WEEKLY=1` kills at 20 points in place of 3.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse import _runs, settings

WEEKLY = os.environ.get("SCBIOVERSE_WEEKLY", "") not in ("", "0")
LABELS = ["B cell", "NK cell", "CD14 monocyte"]
OPTIONS: dict[str, Any] = {"labels": LABELS, "method": "score", "batch_size": 8, "rationale": None}
N, ROWS = 96, 8


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep parts of every run, in a folder of the test's own, in small blocks."""
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr("scbioverse.io.cells._ROWS", ROWS)
    monkeypatch.setattr(_runs, "LONG", 1)
    return tmp_path / "cache" / "runs"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    sb.datasets.toy_cells(n_obs=N, n_genes=300).write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def annotated(stored: Path, model_folder: Path, **options: Any) -> ad.AnnData:
    adata = ad.read_h5ad(stored, backed="r")
    sb.tl.annotate(adata, model=model_folder, **{**OPTIONS, **options})
    return adata


class Ended(BaseException):
    """Stands for the end of the process."""


def ended_after(n: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let parts be written until there are `n`, then end; return what was computed, key by key."""
    put, keys = _runs.Parts.put, []

    def counting(self: Any, key: str, arrays: Any) -> None:
        if len(keys) == n:
            raise Ended
        keys.append(key)
        put(self, key, arrays)

    monkeypatch.setattr(_runs.Parts, "put", counting)
    return keys


@pytest.mark.parametrize("n", range(20) if WEEKLY else (0, 5, 14))
def test_whatever_was_written_is_not_computed_again(
    n: int,
    stored: Path,
    model_folder: Path,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(_runs, "LONG", N + 1)
        wanted = annotated(stored, model_folder)
    with monkeypatch.context() as patch:
        first = ended_after(n, patch)
        with pytest.raises(Ended):
            annotated(stored, model_folder)
    assert len([*runs.rglob("*.safetensors")]) == n
    assert ("run the same again to go on from there" in caplog.text) == (n > 0)
    with monkeypatch.context() as patch:
        second = ended_after(10**6, patch)
        found = annotated(stored, model_folder)
    assert not {*first} & {*second}
    for name in ("X_bioverse", "bioverse_scores"):
        np.testing.assert_array_equal(np.asarray(found.obsm[name]), np.asarray(wanted.obsm[name]))
    assert found.obs["bioverse_label"].tolist() == wanted.obs["bioverse_label"].tolist()
    # A run that ended well leaves nothing.
    assert [*runs.iterdir()] == []


def test_changed_cells_or_another_model_never_meet_a_part(
    stored: Path, model_folder: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        first = ended_after(N // ROWS, patch)
        with pytest.raises(Ended):
            annotated(stored, model_folder)
    held = next(runs.iterdir())
    # One count of one cell, in place; the same names, the same size.
    changed = ad.read_h5ad(stored)
    changed.X.data[-1] += 1
    changed.write_h5ad(stored)
    with monkeypatch.context() as patch:
        keys = ended_after(1, patch)
        with pytest.raises(Ended):
            annotated(stored, model_folder)
    # All blocks but the last were found; the changed one was computed.
    assert len(keys) == 1
    assert not {*keys} & {*first}
    other = sb.models.load(model_folder).copy()
    encoder = other.encoders["cell"]
    encoder.net.last.bias.data += 1
    vars(encoder).pop("_fingerprint", None)
    with monkeypatch.context() as patch:
        keys = ended_after(2, patch)
        with pytest.raises(Ended):
            annotated(stored, other, method="score")
    assert len(keys) == 2
    assert not {*keys} & {*first}
    assert held.is_dir()
    encoder.net.last.bias.data -= 1  # encoders are shared between copies
    vars(encoder).pop("_fingerprint", None)


def test_a_damaged_part_is_computed_again(
    stored: Path, model_folder: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        ended_after(4, patch)
        with pytest.raises(Ended):
            annotated(stored, model_folder)
    one, two, *_ = sorted(runs.rglob("*.safetensors"))
    one.write_bytes(one.read_bytes()[:-9])
    held = bytearray(two.read_bytes())
    held[-5] ^= 1
    two.write_bytes(held)
    with monkeypatch.context() as patch:
        keys = ended_after(10**6, patch)
        annotated(stored, model_folder)
    assert {one.stem, two.stem} <= {*keys}


def test_a_full_disk_ends_no_run(
    stored: Path, model_folder: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with caplog.at_level("WARNING", logger="scbioverse"):
        found = annotated(stored, model_folder)
    assert "bioverse_label" in found.obs
    assert sum("not kept" in one.getMessage() for one in caplog.records) == 1
    assert [*runs.iterdir()] == []


def test_what_nobody_came_back_for_goes(runs: Path) -> None:
    old, new = runs / "old", runs / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    os.utime(old, (0, 0))
    with _runs.kept("test", 5):
        assert not old.exists()
        assert new.exists()


def test_what_has_lost_its_lock_goes_and_what_is_not_ours_stays(runs: Path) -> None:
    old, other = runs / "old", runs / "other"
    for folder, file in ((old, "a.safetensors"), (other, "notes.txt")):
        folder.mkdir(parents=True)
        (folder / file).touch()
        os.utime(folder, (0, 0))
    with _runs.kept("test", 5):
        assert not old.exists()
        assert other.exists()


def test_a_disk_without_locks_ends_no_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")  # filelock 3

    monkeypatch.setattr(_runs.FileLock, "acquire", refused)
    with _runs.kept("test", 5) as parts:
        assert parts is None
    assert "parts of the run are not kept" in caplog.text


PROGRAM = """
import os, sys, time
from scbioverse import _runs, settings
from scbioverse.io import cells
from scbioverse.cli._app import main
_runs.LONG, cells._ROWS, put = 1, 8, _runs.Parts.put
def slowly(self, key, arrays):
    put(self, key, arrays)
    print("part", flush=True)
    if len([*self.folder.glob("*.safetensors")]) == int(os.environ.get("WAIT_AT", -1)):
        time.sleep(600)
_runs.Parts.put = slowly
main()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM] if WEEKLY else [signal.SIGKILL])
def test_a_killed_command_goes_on(number: int, stored: Path, model_folder: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "out.h5ad", tmp_path / "cache"
    words = ["annotate", stored, "-o", out, "-m", model_folder, "--labels", ";".join(LABELS), "--method", "score"]
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    environment = {**os.environ, "SCBIOVERSE_CACHE_DIR": str(cache)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment | {"WAIT_AT": "4"}
    )
    for _ in range(4):
        assert process.stdout is not None
        process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not out.exists()
    parts = [*cache.rglob("*.safetensors")]
    assert len(parts) == 4
    if number == signal.SIGTERM:
        assert "run the same again to go on from there" in said
        from safetensors.numpy import load_file

        assert load_file(parts[0])["values"].shape[1:] == (1, 16)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert f"{len(parts)} parts of a run that was stopped are there" in done.stderr
    assert done.stdout.count("part") < N // ROWS + 1
    assert "bioverse_label" in ad.read_h5ad(out).obs
    assert not [*cache.rglob("*.safetensors")]

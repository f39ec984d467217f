"""The command line leaves matrices where they are, and puts results into a store all or none."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr
from typer.testing import CliRunner

import scbioverse as sb
from scbioverse._whole import clear_leftovers
from scbioverse.cli import app
from scbioverse.cli._files import Output, open_lazily, read
from scbioverse.cli._run import listening
from scbioverse.errors import InputError, MismatchError

pytestmark = pytest.mark.filterwarnings(
    "ignore:zarr v3 autosharding", "ignore:Writing zarr v2", "ignore:Consolidated metadata is"
)
LABELS = "B cell;NK cell;CD14 monocyte"


def call(*words: object) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code in (0, 1), result.output
    return result


@pytest.fixture(params=[2, 3])
def store(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> Path:
    adata = ad.read_h5ad(source)
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata.copy()
    adata.obsm["X_pca"] = np.ones((adata.n_obs, 2))
    with ad.settings.override(zarr_write_format=request.param):
        adata.write_zarr(tmp_path / "in.zarr")
    return tmp_path / "in.zarr"


def same(one: ad.AnnData, other: ad.AnnData) -> None:
    for a, b in ((one.X, other.X), (one.layers["counts"], other.layers["counts"]), (one.raw.X, other.raw.X)):
        assert (a != b).nnz == 0
    pd.testing.assert_frame_equal(one.obs.astype(str), other.obs.astype(str))
    assert {*one.obsm} == {*other.obsm}
    for name in one.obsm:
        np.testing.assert_array_equal(np.asarray(one.obsm[name]), np.asarray(other.obsm[name]))
    # Records differ by nothing but what a run cannot repeat.
    assert {*one.uns["bioverse"]} == {*other.uns["bioverse"]}


def test_every_way_from_one_kind_of_file_to_the_other(store: Path, model_folder: Path, tmp_path: Path) -> None:
    options = ("-m", model_folder, "--labels", LABELS, "-q")
    a, b, c = (tmp_path / name for name in ("a.zarr", "b.h5ad", "c.h5ad"))
    for source, out in ((store, a), (store, b), (b, c)):
        assert call("annotate", source, "-o", out, *options).exit_code == 0
    whole = ad.read_zarr(store)
    assert "X_bioverse" not in whole.obsm
    sb.tl.annotate(whole, model=model_folder, labels=LABELS.split(";"))
    for one in (ad.read_zarr(a), ad.read_h5ad(b), ad.read_h5ad(c)):
        same(one, whole)
    assert zarr.open_group(a).metadata.zarr_format == zarr.open_group(store).metadata.zarr_format


@pytest.mark.parametrize(("start", "end"), [(".h5ad", ".zarr"), (".zarr", ".h5ad")])
def test_dense_matrices_go_from_one_kind_of_file_to_the_other(
    source: Path, tmp_path: Path, start: str, end: str
) -> None:
    adata = ad.read_h5ad(source)
    adata.layers["dense"] = adata.X.toarray()
    write = {".h5ad": adata.write_h5ad, ".zarr": adata.write_zarr}
    write[start](tmp_path / f"in{start}")
    out = Output(tmp_path / f"in{start}", tmp_path / f"out{end}", in_place=False, force=False)
    held = out.read()
    assert not isinstance(held.layers["dense"], np.ndarray)  # lies where it was
    out.write(held)
    found = read(tmp_path / f"out{end}")
    np.testing.assert_array_equal(found.layers["dense"], adata.layers["dense"])


def test_matrices_are_not_loaded(store: Path, source: Path) -> None:
    for path in (store, source):
        adata = open_lazily(path)
        assert adata is not None
        assert not isinstance(adata.X, np.ndarray)
        assert hasattr(adata.X, "group")
    held = open_lazily(store)
    assert held is not None
    assert hasattr(held.layers["counts"], "group")
    assert hasattr(held.raw.X, "group")


def files(store: Path) -> dict[str, int]:
    return {str(one.relative_to(store)): one.stat().st_mtime_ns for one in store.rglob("*") if one.is_file()}


def test_in_place_changes_what_is_new_and_nothing_else(store: Path, model_folder: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "out.zarr", files(store)
    options = ("-m", model_folder, "--labels", LABELS, "-q")
    assert call("annotate", store, "-o", out, *options).exit_code == 0
    assert call("annotate", store, "--in-place", *options).exit_code == 0
    same(ad.read_zarr(store), ad.read_zarr(out))
    kept = {name: at for name, at in files(store).items() if name in before}
    assert {*kept} == {*before}
    changed = {name for name, at in kept.items() if at != before[name]}
    assert changed <= {"zarr.json", ".zmetadata", ".zattrs", ".zgroup", "obs/zarr.json", "obs/.zattrs"}
    # Again, with other labels: what the run before left is replaced.
    assert call("annotate", store, "--in-place", "-m", model_folder, "--labels", "B cell;NK cell", "-q").exit_code == 0
    again = ad.read_zarr(store)
    assert {*again.obs} <= {one.name for one in (store / "obs").iterdir()}
    assert list(again.obsm["bioverse_scores"].columns) == ["B cell", "NK cell"]
    assert [one for one in tmp_path.iterdir() if one.name.startswith(".")] == []


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_store_has_all_results_or_none_wherever_the_process_ends(
    store: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, replace, ended = sb.models.load(model_folder), Path.replace, True
    for point in range(30):
        seen = [0]

        def ending(self: Path, target: Path, seen: list[int] = seen, point: int = point) -> Path:
            seen[0] += ".new/" not in str(target)  # zarr renames its own files there
            if seen[0] > point:
                raise Killed
            return replace(self, target)

        out, key = Output(store, None, in_place=True, force=False), f"run{point}"
        adata = out.read()
        sb.tl.annotate(adata, model=model, labels=LABELS.split(";"), key_added=key, rationale=None)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", ending)
            try:
                out.write(adata)
                ended = False
            except Killed:
                pass
        found = read(store)  # as any command does, such as one that only asks
        records = found.uns.get("bioverse", {})
        held = {f"{key}_label" in found.obs, f"X_{key}" in found.obsm, f"annotate_{key}" in records}
        assert len(held) == 1, (point, found)
        assert [one for one in tmp_path.iterdir() if one.name.startswith(".")] == []
        if not ended:
            break
    assert point > 5
    assert not ended


@pytest.mark.parametrize("change", ["rows", "columns", "values", "gone", "list"])
def test_results_of_a_killed_run_meet_no_other_store(
    store: Path,
    model_folder: Path,
    tmp_path: Path,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out, adata = embedded(store, model_folder)

    def ending(fresh: Path, listed: Path, place: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("scbioverse._whole._move", ending)
        with pytest.raises(Killed):
            out.write(adata)
    (listed,) = tmp_path.glob(".scbioverse-*.moves")
    if change == "list":
        listed.write_text('{"obs/a": "obs/a"}')
    else:
        other = ad.read_zarr(store)
        shutil.rmtree(store)
        if change == "rows":
            other = other[::-1].copy()
        elif change == "columns":
            other = other[:, ::-1].copy()
        elif change == "values":
            other.X = other.X[::-1].copy()
        if change != "gone":
            other.write_zarr(store)
    before = files(store)
    with caplog.at_level("WARNING", logger="scbioverse"):
        clear_leftovers(tmp_path)
    assert "those results were thrown away" in caplog.text
    assert files(store) == before
    assert [one for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def embedded(store: Path, model_folder: Path) -> tuple[Output, ad.AnnData]:
    out = Output(store, None, in_place=True, force=False)
    adata = out.read()
    sb.tl.embed(adata, model=model_folder)
    return out, adata


def test_a_store_that_was_changed_meanwhile(store: Path, model_folder: Path) -> None:
    out, adata = embedded(store, model_folder)
    whole = ad.read_zarr(store)
    whole.obs["more"] = np.arange(whole.n_obs)
    whole.write_zarr(store)
    out.write(adata)
    found = ad.read_zarr(store)
    assert found.obs["more"].tolist() == list(range(whole.n_obs))
    assert "X_bioverse" in found.obsm
    # Other rows: the results would stand in the wrong ones.
    out, adata = embedded(store, model_folder)
    whole[::-1].copy().write_zarr(store)
    before = files(store)
    with pytest.raises(MismatchError, match="other rows than when it was read"):
        out.write(adata)
    assert files(store) == before


def test_a_move_that_is_refused_is_told_and_made_up_for(
    store: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, adata = embedded(store, model_folder)
    replace = Path.replace

    def refused(self: Path, target: Path) -> Path:
        if "uns" in Path(target).parts and ".new" not in str(target):
            raise PermissionError(13, "Permission denied")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refused)
        with pytest.raises(InputError, match="holds a part of the results: Permission denied"):
            out.write(adata)
        assert "embed" not in read(store).uns.get("bioverse", {})
    found = read(store)
    assert "embed" in found.uns["bioverse"]
    assert "X_bioverse" in found.obsm
    assert [one for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_a_signal_waits_until_all_is_in_its_place(
    store: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, adata = embedded(store, model_folder)
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        signal.raise_signal(signal.SIGINT)
        return replace(self, target)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, as in the background
    try:
        with monkeypatch.context() as patch, listening():
            patch.setattr(Path, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                out.write(adata)
    finally:
        signal.signal(signal.SIGINT, before)
    found = ad.read_zarr(store)
    assert "embed" in found.uns["bioverse"]
    assert "X_bioverse" in found.obsm
    assert [one for one in tmp_path.iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize(("words", "said"), [((), "--output"), (("--in-place", "-o", "x.zarr"), "exclude each other")])
def test_one_place_has_to_be_named(store: Path, words: tuple[str, ...], said: str) -> None:
    result = call("embed", store, *words)
    assert result.exit_code == 1
    assert said in result.stderr


def test_in_place_is_for_stores(source: Path) -> None:
    assert "is for .zarr" in call("embed", source, "--in-place").stderr

"""How results come into an AnnData: all or nothing, in views, backed data and MuData, and through files."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError
from tests.bad_inputs._case import digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scbioverse.models import BioVerse

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]
# Names that files, folders or JSON could stumble over.
ODD = ["left/right", "left\\right", "left|right", ".", "..", "Ü", "αβ sort", "_index", "x" * 300, "'a' \"quoted\" one"]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


def verbs(model: BioVerse) -> dict[str, Callable[..., Any]]:
    """Every verb that writes, with copy= where it has that."""
    return {
        "embed": lambda one, **more: sb.tl.embed(one, model=model, **more),
        "annotate": lambda one, **more: sb.tl.annotate(one, model=model, method="nearest", **more),
        "align": lambda one: sb.tl.align(one, text_key="cell_type", model=model, steps=1, batch_size=8),
        "tune": lambda one: sb.tl.tune(one, text_key="cell_type", model=model, steps=1, batch_size=2),
        "retrieve": lambda one, **more: sb.tl.retrieve(one, ["secretes antibodies", "kills"], model=model, **more),
        "similar": lambda one, **more: sb.tl.retrieve(one, None, direction="similar", model=model, **more),
        "describe": lambda one, **more: sb.tl.describe(
            one, reference=one, text_key="cell_type", choose="nearest", model=model, **more
        ),
        "rollup": lambda one, **more: sb.tl.rollup(one, label_key="cell_type", level=4, **more),
    }


NAMES = ["embed", "annotate", "align", "tune", "retrieve", "similar", "describe", "rollup"]
COPYING = [name for name in NAMES if name not in ("align", "tune")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("root", ["notes", ["a"], 3], ids=["text", "list", "number"])
def test_nothing_is_written_where_records_cannot_be(
    cells: ad.AnnData, tiny_model: BioVerse, name: str, root: Any
) -> None:
    cells.uns["bioverse"] = root
    before = digest(cells)
    for options in [{}] + [{"copy": True}] * (name in COPYING):
        with pytest.raises(InputError, match=r"adata\.uns\['bioverse'\] is a .*adata\.uns\.pop"):
            verbs(tiny_model)[name](cells, **options)
    assert digest(cells) == before


OWN = [
    ("annotate", "obs", "bioverse_label"), ("rollup", "obs", "bioverse_label_rollup"),
    ("retrieve", "obsm", "bioverse_retrieve_x"), ("similar", "obsm", "bioverse_retrieve_x_rows"),
    ("retrieve", "obs", "bioverse_retrieve_x_fits"), ("retrieve", "obs", "bioverse_retrieve_x_score"),
    ("describe", "obs", "bioverse_description"), ("describe", "obs", "bioverse_description_source"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "where", "slot"), OWN)
def test_what_no_record_calls_ours_is_not_written_over(
    cells: ad.AnnData, tiny_model: BioVerse, name: str, where: str, slot: str
) -> None:
    getattr(cells, where)[slot] = np.arange(2 * cells.n_obs).reshape(-1, 2)[:, 0 if where == "obs" else slice(2)]
    before, run = digest(cells), verbs(tiny_model)[name]
    with pytest.raises(InputError, match=f"{slot}.*would be lost.*Pass another key_added="):
        run(cells, **({"name": "x"} if name in ("retrieve", "similar") else {}))
    assert digest(cells) == before
    run(cells, key_added="other", **({"name": "x"} if name in ("retrieve", "similar") else {}))
    assert np.array_equal(np.asarray(getattr(cells, where)[slot]).ravel()[:2], [0, 2 if where == "obs" else 1])


@pytest.mark.parametrize("name", NAMES)
def test_records_of_others_are_kept(cells: ad.AnnData, tiny_model: BioVerse, name: str) -> None:
    cells.uns["bioverse"] = {"mine": {"a": 1}, "embed": "{ no json"}
    verbs(tiny_model)[name](cells)
    assert cells.uns["bioverse"]["mine"] == {"a": 1}
    assert len(cells.uns["bioverse"]) > 2 or name == "embed"


@pytest.mark.parametrize("name", NAMES)
def test_a_view_becomes_an_anndata_of_its_own(cells: ad.AnnData, tiny_model: BioVerse, name: str) -> None:
    before, view = digest(cells), cells[10:50]
    with pytest.warns(
        ad.ImplicitModificationWarning, match=r"adata is a view of another AnnData.*\.copy\(\)"
    ) as caught:
        verbs(tiny_model)[name](view)
    assert len(caught) == 1
    assert not view.is_view
    assert "bioverse" in view.uns
    assert digest(cells) == before


@pytest.mark.parametrize("name", COPYING)
def test_copy_of_a_view_and_of_backed_data(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path, name: str) -> None:
    verb = verbs(tiny_model)[name]
    view = cells[10:50]
    assert "bioverse" in verb(view, copy=True).uns
    assert view.is_view
    cells.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    try:
        assert not verb(backed, copy=True).isbacked
        assert "bioverse" not in backed.uns
        verb(backed)
        assert "bioverse" in backed.uns
        part = backed[10:50]
        with pytest.warns(ad.ImplicitModificationWarning, match="is a view"):
            verb(part)
        assert "bioverse" in part.uns
    finally:
        backed.file.close()


def with_peaks(mudata: Any, cells: ad.AnnData) -> Any:
    """Return the cells as a part of a MuData, beside another that no verb of cells is about."""
    peaks = ad.AnnData(np.ones((cells.n_obs, 3), np.float32), obs=pd.DataFrame(index=cells.obs_names))
    peaks.var_names = ["chr1:1-9", "chr1:20-29", "chr2:1-9"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return mudata.MuData({"atac": peaks, "rna": cells})


@pytest.mark.filterwarnings("ignore:From 0.4:FutureWarning")
@pytest.mark.parametrize("name", [*NAMES, "ask"])
def test_mudata_is_worked_on_by_part(cells: ad.AnnData, tiny_model: BioVerse, name: str) -> None:
    mudata = pytest.importorskip("mudata")
    verb = (verbs(tiny_model) | {"ask": lambda one: sb.tl.ask(one, "How many cells are there?", model=tiny_model)})[
        name
    ]
    alone = cells.copy()
    one = verb(alone)
    mdata = with_peaks(mudata, cells)
    found = verb(mdata)
    assert digest(mdata.mod["rna"].obs) == digest(alone.obs)
    assert sorted(mdata.mod["rna"].obsm) == sorted(alone.obsm)
    assert "bioverse" not in mdata.mod["atac"].uns
    if name == "ask":
        assert found.text == one.text
    if name in COPYING:
        del mdata.mod["rna"].uns["bioverse"]
        copied = verb(mdata, copy=True)
        assert "bioverse" in copied.mod["rna"].uns
        assert "bioverse" not in mdata.mod["rna"].uns


def test_tables_and_pictures_of_mudata(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    import matplotlib.pyplot as plt

    mudata = pytest.importorskip("mudata")
    sb.tl.annotate(cells, model=tiny_model, method="nearest")
    mdata = with_peaks(mudata, cells)
    for get in (sb.get.annotation, sb.get.labels, sb.get.groups, sb.get.scores, sb.get.evidence, sb.get.samples):
        pd.testing.assert_frame_equal(get(mdata), get(cells))
    assert sb.get.records(mdata) == sb.get.records(cells)
    pd.testing.assert_series_equal(sb.pp.check_cells(mdata), sb.pp.check_cells(cells))
    cells.obsm["X_flat"] = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    assert len(sb.pl.annotation_umap(mdata, basis="X_flat", show=False)) == 3
    plt.close("all")


@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning", "ignore:Observation names are not unique:UserWarning")
@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_every_result_survives_a_file(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path, form: str) -> None:
    cells.obs_names = ["same"] * 30 + [f"c{i}" for i in range(30)]  # names that repeat
    labels = dict.fromkeys(ODD, "a cell of some kind") | {3: "a third kind"}
    sb.tl.annotate(cells, model=tiny_model, labels=labels, method="nearest", groupby=None, rationale="cell")
    sb.tl.annotate(cells, model=tiny_model, labels=TYPES, method="nearest", rationale=None, key_added="no reasons")
    sb.tl.retrieve(cells, {name: f"text number {i}" for i, name in enumerate(ODD) if len(name) < 200}, model=tiny_model)
    sb.tl.retrieve(cells, None, direction="similar", model=tiny_model)
    cells.obs["leiden"] = pd.Categorical([*range(59), "B cell"])  # numbers and a name
    sb.tl.rollup(cells, label_key="leiden", level=3)
    del cells.obs["leiden"]
    path = tmp_path / f"a.{form}"
    getattr(cells, f"write_{form}")(path)
    again = getattr(ad, f"read_{form}")(path)
    for slot in cells.obs:
        assert again.obs[slot].astype(str).tolist() == cells.obs[slot].astype(str).tolist(), slot
    for slot in cells.obsm:
        np.testing.assert_array_equal(np.asarray(again.obsm[slot]), np.asarray(cells.obsm[slot]), err_msg=slot)
    assert sb.get.records(again) == sb.get.records(cells)
    assert set(sb.get.scores(again).columns) == {*ODD, "3"}


@pytest.mark.parametrize("name", ["a\0b", "x\x1b[2Jy", "\ud800"])
def test_labels_that_no_file_takes_are_refused(cells: ad.AnnData, tiny_model: BioVerse, name: str) -> None:
    before = digest(cells)
    with pytest.raises(InputError, match="control character"):
        sb.tl.annotate(cells, model=tiny_model, labels=[name, "B cell"])
    assert digest(cells) == before


def test_pictures_and_report_of_another_stem(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    for stem in ("bioverse", "two"):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES, method="nearest", rationale=None, key_added=stem)
    assert "X_two" not in cells.obsm  # the embedding that was there
    first, second = (sb.pl.annotation_umap(cells, key=stem, show=False)[0] for stem in ("bioverse", "two"))
    np.testing.assert_array_equal(first.collections[0].get_offsets(), second.collections[0].get_offsets())
    assert sb.report(cells, tmp_path / "two.html", key="two").exists()

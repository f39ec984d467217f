from __future__ import annotations

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex

import scbioverse as sb
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.llm.backbone import Backbone
from scbioverse.models import BioVerse
from scbioverse.pl import _alignment_umap as module


@pytest.fixture
def model(cells: AnnData, tiny_backbone: Backbone) -> BioVerse:
    """An untrained model on a tiny random language model."""
    model = BioVerse.new(PrecomputedEncoder.from_adata(cells, "X_bioverse"), llm=tiny_backbone, hidden=16)
    model.space.fit([f"text number {i}" for i in range(40)], dim=16)
    return model


def printed(ax: plt.Axes) -> str:
    return "\n".join(text.get_text() for text in ax.texts)


def test_two_maps_with_their_numbers(cells: AnnData, model: BioVerse) -> None:
    before = cells.copy()
    axes = sb.pl.alignment_umap(cells, model=model, n_general=20, show=False)
    assert isinstance(axes, list)
    assert [ax.get_title(loc="left") for ax in axes] == ["Before", "After"]
    for ax in axes:
        assert all(name in printed(ax) for name in ("recall@1", "median rank", "centroid gap", "of 25 texts"))
        drawn = sorted(len(collection.get_offsets()) for collection in ax.collections)
        assert drawn == [5, 5, 20, 60]  # stars twice: one is the other's outline
    legend = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert [name for name in legend if name][3:] == list(cells.obs["cell_type"].cat.categories)
    # The picture leaves nothing behind.
    assert set(cells.obsm) == set(before.obsm)
    assert set(cells.uns) == set(before.uns)
    assert cells.obs.equals(before.obs)


@pytest.mark.usefixtures("quick_layout")
def test_a_label_may_have_a_colour_of_its_own(cells: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = cells.obs["cell_type"].cat.codes.to_numpy()
    points = np.eye(12, dtype=np.float32)
    monkeypatch.setattr(module, "spaces", lambda *_: (([points[codes]], points),) * 2)
    name = cells.obs["cell_type"].cat.categories[0]
    axes = sb.pl.alignment_umap(cells, n_general=7, show=False, palette={name: "#123456"})
    drawn = {to_hex(hue) for ax in axes for one in ax.collections for hue in one.get_facecolors()}
    assert "#123456" in drawn


@pytest.mark.usefixtures("quick_layout")
def test_numbers_are_those_of_the_spaces(cells: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells on their own text: recall 1. Cells on the next label's text: recall 0, rank 2 or worse."""
    codes = cells.obs["cell_type"].cat.codes.to_numpy()

    def spaces(model: object, rows: object, texts: list[str]) -> object:
        points = np.eye(len(texts), dtype=np.float32)
        return ([points[(codes + 1) % 5]], points), ([points[codes]], points)

    monkeypatch.setattr(module, "spaces", spaces)
    before, after = sb.pl.alignment_umap(cells, n_general=7, show=False)
    assert re.search(r"recall@1\n0\.00\nchance 0\.083", printed(before))
    assert re.search(r"recall@1\n1\.00", printed(after))
    assert re.search(r"median rank\n1\nof 12", printed(after))
    assert re.search(r"centroid gap\n0\.00", printed(after))


@pytest.mark.usefixtures("quick_layout")
def test_cells_without_a_type_are_left_out(cells: AnnData, model: BioVerse) -> None:
    names = cells.obs["cell_type"].astype(object)
    names.iloc[:10], names.iloc[10:13] = "unassigned", None
    cells.obs["cell_type"] = names
    axes = sb.pl.alignment_umap(cells, model=model, n_general=3, show=False)
    assert len(axes[0].collections[1].get_offsets()) == 47


@pytest.mark.usefixtures("quick_layout")
def test_fewer_cells_are_drawn_than_measured(cells: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = cells.obs["cell_type"].cat.codes.to_numpy()
    wrong = np.where(np.arange(60) < 30, codes, (codes + 1) % 5)

    def spaces(model: object, rows: object, texts: list[str]) -> object:
        points = np.eye(len(texts), dtype=np.float32)
        return ([points[wrong]], points), ([points[codes]], points)

    monkeypatch.setattr(module, "spaces", spaces)
    before, _ = sb.pl.alignment_umap(cells, n_general=7, max_cells=20, rng=1, show=False)
    assert len(before.collections[1].get_offsets()) == 20
    assert "recall@1\n0.50" in printed(before)


def test_the_seed_decides(cells: AnnData, model: BioVerse) -> None:
    def offsets(seed: int) -> np.ndarray:
        axes = sb.pl.alignment_umap(cells, model=model, n_general=10, rng=seed, show=False)
        return np.asarray(axes[1].collections[1].get_offsets())

    np.testing.assert_array_equal(offsets(0), offsets(0))
    assert not np.array_equal(offsets(0), offsets(1))


@pytest.mark.usefixtures("quick_layout")
def test_label_key_falls_back_on_the_annotation(cells: AnnData, model: BioVerse) -> None:
    del cells.obs["cell_type"]
    figure = sb.pl.alignment_umap(cells, model=model, n_general=5, return_fig=True)
    assert figure.legends[0].get_title().get_text() == "bioverse_label"


@pytest.mark.usefixtures("quick_layout")
def test_axes_of_the_caller_are_used(cells: AnnData, model: BioVerse) -> None:
    figure, own = plt.subplots(1, 2)
    returned = sb.pl.alignment_umap(cells, model=model, n_general=5, ax=list(own), show=False)
    assert returned == list(own)
    assert all(ax.collections for ax in own)
    assert plt.get_fignums() == [figure.number]


def test_labels_of_one_term_have_texts_of_their_own() -> None:
    assert len(set(module.described(["NK", "NK cells", "B"]))) == 3
    assert len(module.some_general(4, np.random.default_rng(0))) == 4


def test_what_is_missing_is_named(cells: AnnData) -> None:
    with pytest.raises(MissingKeyError, match=r"'X_other'.*X_bioverse"):
        sb.pl.alignment_umap(cells, use_rep="X_other")
    with pytest.raises(MissingKeyError, match=r"'louvain'.*cell_type"):
        sb.pl.alignment_umap(cells, label_key="louvain")
    cells.obs["one"] = "B cell"
    with pytest.raises(InputError, match="label_key="):
        sb.pl.alignment_umap(cells, label_key="one")
    with pytest.raises(InputError, match="found 1"):
        sb.pl.alignment_umap(cells, ax=[plt.figure().add_subplot()])
    del cells.obsm["X_bioverse"]
    with pytest.raises(MissingKeyError, match=r"sb\.tl\.embed"):
        sb.pl.alignment_umap(cells)

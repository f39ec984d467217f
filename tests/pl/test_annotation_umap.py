from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_hex

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError
from tests._precision import FEW


def colour_of(ax: plt.Axes, cell: int) -> str:
    return to_hex(ax.collections[0].get_facecolors()[cell])


@pytest.mark.usefixtures("quick_layout")
def test_expert_label_and_confidence(cells: AnnData) -> None:
    before = cells.copy()
    axes = sb.pl.annotation_umap(cells, show=False)
    assert isinstance(axes, list)
    assert [ax.get_title(loc="left") for ax in axes] == ["Expert label", "Label", "Confidence"]
    names = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert set(names) == {*cells.obs["cell_type"], "thrombocyte"}
    assert axes[0].get_legend() is None
    assert set(cells.obsm) == set(before.obsm)
    assert set(cells.uns) == set(before.uns)


def test_a_name_has_one_colour_in_all_panels(cells: AnnData) -> None:
    cells.obsm["X_flat"] = np.random.default_rng(0).normal(size=(60, 2))
    axes = sb.pl.annotation_umap(cells, basis="X_flat", show=False)
    order = cells.obs["cell_type"].astype(str).to_numpy()
    for i in range(5):
        # "thrombocyte" is another name of a platelet.
        assert colour_of(axes[0], i) == colour_of(axes[1], i)
    assert len({colour_of(axes[0], i) for i in range(60)}) == len(set(order))
    np.testing.assert_allclose(axes[0].collections[0].get_offsets(), cells.obsm["X_flat"], atol=FEW)


@pytest.mark.usefixtures("quick_layout")
def test_chosen_columns_and_figure(cells: AnnData) -> None:
    figure = sb.pl.annotation_umap(cells, color="bioverse_label", return_fig=True)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Label"]


def test_what_is_missing_is_named(cells: AnnData) -> None:
    with pytest.raises(MissingKeyError, match=r"'other_label' nor 'other_confidence'"):
        sb.pl.annotation_umap(cells, key="other")
    with pytest.raises(MissingKeyError, match=r"'X_umap'.*basis="):
        sb.pl.annotation_umap(cells, basis="X_umap")
    with pytest.raises(InputError, match="found 1"):
        sb.pl.annotation_umap(cells, ax=[plt.figure().add_subplot()])


def test_a_map_that_is_there_is_drawn(cells: AnnData) -> None:
    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(60, 2))
    axes = sb.pl.annotation_umap(cells, show=False)
    np.testing.assert_allclose(axes[0].collections[0].get_offsets(), cells.obsm["X_umap"], atol=FEW)


@pytest.mark.parametrize("values", [[0, 1, 2], [0.5, 1.5, 2.5], [True, False, True]], ids=["int", "float", "bool"])
@pytest.mark.parametrize("categorical", [True, False])
def test_groups_that_are_no_texts(cells: AnnData, values: list[float], categorical: bool) -> None:
    held = pd.Series(values * 20, index=cells.obs_names)
    cells.obs["group"] = held.astype("category") if categorical else held
    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(60, 2))
    before = cells.copy()
    figure = sb.pl.annotation_umap(cells, color=["cell_type", "group"], return_fig=True)
    if categorical or values[0] is True:
        names = {text.get_text() for text in figure.axes[1].get_legend().get_texts()}
        assert names == {*map(str, values), *cells.obs["cell_type"]}
        assert len(figure.axes) == 2  # no scale of colours
        assert len({colour_of(figure.axes[1], i) for i in range(60)}) == len(set(values))
    else:
        assert len(figure.axes) == 3
        # From the lowest to the highest: a number is no share.
        assert figure.axes[1].collections[0].get_clim() == (min(values), max(values))
    assert cells.obs.equals(before.obs)
    figure = sb.pl.annotation_umap(cells, color="bioverse_confidence", return_fig=True)
    assert figure.axes[0].collections[0].get_clim() == (0, 1)


def test_many_labels_leave_the_maps_their_room(cells: AnnData) -> None:
    cells.obsm["X_umap"] = np.random.default_rng(0).normal(size=(60, 2))
    cells.obs["bioverse_label"] = pd.Categorical([f"a type with the number {i}" for i in range(60)])
    figure = sb.pl.annotation_umap(cells, return_fig=True)
    figure.canvas.draw()
    assert min(ax.get_window_extent().width for ax in figure.axes[:3]) / figure.dpi > 3

"""Pictures of published labels beside found ones: what they count, and that a reader can read them."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import scbioverse as sb
from scbioverse._slots import write_record
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.pl._agreement import HUES, compared, reliability
from scbioverse.pl._style import PALETTE

COLUMN_MM, LEAST_POINTS = 89, 6
PUBLISHED = ["T cell"] * 4 + ["CD4 T cell"] * 4 + ["B cell"] * 8 + ["odd one"] * 2 + ["unassigned"] * 2
FOUND = ["CD4 T cell"] * 3 + ["B cell"] + ["T cell"] * 4 + ["B cell"] * 6 + ["NK cell", "unknown"] + ["B cell"] * 4
IDS = {"CD4 T cell": "CL:0000624", "B cell": "CL:0000236", "T cell": "CL:0000084", "NK cell": "CL:0000623"}


@pytest.fixture
def labelled() -> AnnData:
    obs = pd.DataFrame({"cell_type": PUBLISHED, "bioverse_label": FOUND}, dtype="category")
    obs["bioverse_cl_id"] = [IDS.get(name, "") for name in FOUND]
    obs["bioverse_confidence"] = np.linspace(0.05, 1, len(obs), dtype=np.float32)
    obs.index = obs.index.map(str)
    adata = AnnData(obs=obs)
    columns = {"c0": "B cell", "c1": "T cell", "c2": "CD4 T cell", "c3": "NK cell"}
    chances = np.full((len(obs), 4), 0.1)
    for row, name in enumerate(FOUND):
        chances[row, list(columns.values()).index(name) if name in IDS else 0] = 0.7
    adata.obsm["bioverse_scores"] = pd.DataFrame(np.log(chances), index=obs.index, columns=list(columns))
    write_record(adata, "annotate", labels=[{"name": name, "column": column} for column, name in columns.items()])
    return adata


def bars(ax: plt.Axes) -> dict[str, dict[str, float]]:
    """Length of each part of each bar, by the name beside it."""
    names = [text.get_text().rpartition(" (")[0] for text in ax.get_yticklabels()]
    return {
        part.get_label(): {names[i]: bar.get_width() for i, bar in enumerate(part) if bar.get_width()}
        for part in ax.containers
    }


def test_relations_follow_the_ontology(labelled: AnnData) -> None:
    found = compared(labelled, "cell_type", None)
    assert found.counts.to_dict() == {"T cell": 4, "CD4 T cell": 4, "B cell": 8, "odd one": 2}
    relation = found.relations.to_dict("index")
    assert relation["T cell"] | {} == {
        "T cell": "same term", "CD4 T cell": "more specific", "B cell": "another type", "NK cell": "another type",
        "unknown": "unknown",
    }  # fmt: skip
    assert relation["CD4 T cell"]["T cell"] == "less specific"
    assert set(relation["odd one"].values()) == {"cannot be compared", "unknown"}
    # Kin stand side by side.
    assert abs(list(found.shares).index("T cell") - list(found.shares).index("CD4 T cell")) == 1


def test_monocytes_that_studies_tell_apart_are_no_kin(labelled: AnnData) -> None:
    labelled.obs["cell_type"] = "FCGR3A+ Mono"
    labelled.obs["bioverse_label"], labelled.obs["bioverse_cl_id"] = "CD14+ Mono", "CL:0001054"
    assert bars(sb.pl.audit(labelled, show=False)) == {"another type": {"FCGR3A+ Mono": 1}}


def test_audit_counts_cells_by_relation(labelled: AnnData) -> None:
    ax = sb.pl.audit(labelled, show=False)
    found = bars(ax)
    assert found["more specific"] == {"T cell": 0.75}
    assert found["less specific"] == {"CD4 T cell": 1}
    assert found["another type"] == {"T cell": 0.25, "B cell": 0.125}
    assert found["unknown"] == {"B cell": 0.125}
    assert found["cannot be compared"] == {"odd one": 1}
    # What contradicts most stands at the top, with the label that its cells got.
    assert ax.get_yticklabels()[-1].get_text() == "T cell (4)"
    assert "B cell 25 %" in [text.get_text() for text in ax.texts]
    with pytest.raises(InputError, match="palette names"):
        sb.pl.audit(labelled, palette={"T cell": "red"})


def test_confusion_frames_what_does_not_contradict(labelled: AnnData) -> None:
    ax = sb.pl.annotation_confusion(labelled, show=False)
    rows = [text.get_text().rpartition(" (")[0] for text in ax.get_yticklabels()]
    columns = [text.get_text() for text in ax.get_xticklabels()]
    shares = ax.images[0].get_array()
    assert shares[rows.index("T cell"), columns.index("CD4 T cell")] == 0.75
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    frames = {
        (rows[round(one.get_y() + 0.46)], columns[round(one.get_x() + 0.46)]): one.get_linestyle()
        for one in ax.patches
        if isinstance(one, Rectangle)
    }
    assert frames[("T cell", "T cell")] in ("-", "solid")
    assert frames[("T cell", "CD4 T cell")] in (":", "dotted")
    assert ("B cell", "NK cell") not in frames


def test_calibration_is_of_the_cells_that_can_be_judged(labelled: AnnData) -> None:
    bins = reliability(np.array([0.05, 0.15, 0.95, 1.0]), np.array([False, True, True, True]))
    np.testing.assert_allclose(bins["confidence"], [0.05, 0.15, 0.975])
    np.testing.assert_allclose(bins["right"], [0, 1, 1])
    assert bins["n"].to_dict() == {0: 1, 1: 1, 9: 2}
    same = sb.pl.confidence_calibration(labelled, show=False)
    kin = sb.pl.confidence_calibration(labelled, right="kin", show=False)
    # Of 18 with a type, 2 cannot be compared and 1 is unknown; 6 are the same, 7 more are kin.
    assert same.get_title(loc="left").startswith(f"15 cells, right {6 / 15:.2f}")
    assert kin.get_title(loc="left").startswith(f"15 cells, right {13 / 15:.2f}")
    with pytest.raises(InputError, match="'same' or 'kin'"):
        sb.pl.confidence_calibration(labelled, right="all")


def test_heatmap_has_means_of_probabilities(labelled: AnnData) -> None:
    ax = sb.pl.score_heatmap(labelled, show=False)
    values = ax.images[0].get_array()
    np.testing.assert_allclose(np.diag(values)[:4], 0.7, rtol=1e-6)
    ax = sb.pl.score_heatmap(labelled, groupby="cell_type", max_labels=2, show=False)
    assert ax.images[0].get_array().shape == (5, 2)


def test_heatmap_counts_the_cells_of_groups_that_are_numbers(labelled: AnnData) -> None:
    labelled.obs["cluster"] = [0] * 14 + [1] * 6
    ax = sb.pl.score_heatmap(labelled, groupby="cluster", show=False)
    assert [one.get_text() for one in ax.get_yticklabels()] == ["0 (14)", "1 (6)"]
    labelled.obs["cluster"] = pd.Categorical([0] * 14 + [1, "1"] * 3)
    ax = sb.pl.score_heatmap(labelled, groupby="cluster", show=False)
    assert [one.get_text() for one in ax.get_yticklabels()] == ["0 (14)", "1 (6)"]


@pytest.mark.parametrize("name", ["annotation_confusion", "audit", "confidence_calibration", "score_heatmap"])
def test_fits_a_column_and_can_be_read(labelled: AnnData, name: str) -> None:
    figure = getattr(sb.pl, name)(labelled, return_fig=True)
    assert figure.get_figwidth() * 25.4 == pytest.approx(COLUMN_MM, abs=0.5)
    check_texts(figure)


def test_the_heading_beside_the_bars_is_whole_where_names_are_short(labelled: AnnData) -> None:
    short = {"B cell": "B", "CD4 T cell": "T4", "T cell": "T", "NK cell": "NK"}
    labelled.obs["bioverse_label"] = labelled.obs["bioverse_label"].cat.rename_categories(short)
    figure = sb.pl.audit(labelled, return_fig=True)
    assert "most often instead" in [one.get_text() for one in figure.axes[0].texts]
    check_texts(figure)
    agreed = labelled[labelled.obs["cell_type"] == "CD4 T cell"].copy()
    assert not sb.pl.audit(agreed, show=False).texts  # nothing to head


@pytest.mark.parametrize("name", ["annotation_confusion", "audit", "score_heatmap"])
def test_long_names_leave_room_for_what_is_drawn(labelled: AnnData, name: str) -> None:
    for column in ("cell_type", "bioverse_label"):
        named = labelled.obs[column].cat
        labelled.obs[column] = named.rename_categories([f"{one} of a very long name" for one in named.categories])
    options = {"groupby": "cell_type"} if name == "score_heatmap" else {}
    figure = getattr(sb.pl, name)(labelled, return_fig=True, **options)
    check_texts(figure)
    ax = figure.axes[0]
    box = ax.get_window_extent()
    assert min(box.width, box.height) / figure.dpi >= 1
    # A name is cut, the number of its cells is not.
    assert all(one.get_text().endswith(")") for one in ax.get_yticklabels())


def check_texts(figure: Figure) -> None:
    """Every text is large enough and inside the figure, and no two lie upon each other."""
    figure.canvas.draw()
    texts = [one for one in figure.findobj(plt.Text) if one.get_text().strip() and one.get_visible()]
    texts = [one for one in texts if one not in ticks_beyond(figure)]
    assert min(one.get_fontsize() for one in texts) >= LEAST_POINTS
    boxes = [one.get_window_extent().shrunk(0.9, 0.8) for one in texts]
    page = figure.bbox.padded(2)
    held = [page.fully_contains(*box.min) and page.fully_contains(*box.max) for box in boxes]
    outside = [one.get_text() for one, inside in zip(texts, held, strict=True) if not inside]
    assert outside == []
    pairs = itertools.combinations(zip(texts, boxes, strict=True), 2)
    assert [(a.get_text(), b.get_text()) for (a, one), (b, other) in pairs if one.overlaps(other)] == []


def ticks_beyond(figure: Figure) -> set[plt.Text]:
    """Labels of ticks outside the limits of their axis, which are kept and not drawn."""
    return {
        label
        for ax in figure.axes
        for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim())))
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not low - 1e-9 <= tick.get_loc() <= high + 1e-9
    }


def test_what_is_missing_is_named(labelled: AnnData) -> None:
    with pytest.raises(MissingKeyError, match="'published'"):
        sb.pl.audit(labelled, label_key="published")
    with pytest.raises(InputError, match="names a type"):
        sb.pl.audit(labelled[labelled.obs["cell_type"] == "unassigned"].copy())
    with pytest.raises(MissingKeyError, match="'leiden'"):
        sb.pl.score_heatmap(labelled, groupby="leiden")


# What is left of a colour for eyes without long-wave (protan), middle-wave (deutan) or short-wave (tritan) cones:
# Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1.0, on linear RGB.
CONES = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("eyes", ["usual", *CONES])
@pytest.mark.parametrize("hues", [tuple(HUES.values()), PALETTE[:6]], ids=["audit", "palette"])
def test_hues_are_told_apart_by_all_eyes(eyes: str, hues: tuple[str, ...]) -> None:
    linear = np.array([to_rgb(one) for one in hues]) ** 2.2
    seen = np.clip(linear @ np.array(CONES.get(eyes, np.eye(3))).T, 0, 1) ** (1 / 2.2)
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 0.12

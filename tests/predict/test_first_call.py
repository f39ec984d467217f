"""Groups that are found, their names on one level, and the cells that choose among these."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from unittest import mock

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.levels import early_types, lift, says_little
from scbioverse.knowledge.markers import marker_genes, markers_for
from scbioverse.knowledge.ontology import broader_among
from scbioverse.models import load
from scbioverse.predict.candidates import Label
from scbioverse.predict.decide import Calls
from scbioverse.predict.embedding import CellEvidence
from scbioverse.predict.first_call import (
    EARLY,
    FEWEST_MARKERS,
    _kinds_beside,
    _worth_offering,
    early_prior,
    group_prior,
    groups_told,
    name_groups,
    names_known,
)
from scbioverse.predict.groups import Groups, find_groups
from scbioverse.predict.tissue import read_tissues

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scbioverse.models import BioVerse

T, CD4, CD8, NAIVE_CD4, MEMORY_CD4 = "CL:0000084", "CL:0000624", "CL:0000625", "CL:0000895", "CL:0000897"
B, NAIVE_B, MONOCYTE, CD14, CD16 = "CL:0000236", "CL:0000788", "CL:0000576", "CL:0001054", "CL:0002396"
LEUKOCYTE, REGULATORY, PODOCYTE = "CL:0000738", "CL:0000815", "CL:0000653"
LEVELS: tuple[Literal["broad", "usual"], ...] = ("broad", "usual")
TERMS = [T, CD4, CD8, NAIVE_CD4, MEMORY_CD4, B, NAIVE_B, MONOCYTE, CD14, CD16, LEUKOCYTE]


# ------------------------------------------------------------------ groups


@pytest.fixture(scope="module")
def clouds() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three clouds of 200 cells, one of 12, and cells that are like none; and the cloud of each cell."""
    rng = np.random.default_rng(0)
    sizes = [200, 200, 200, 12, 6]
    centres = rng.normal(0, 4, (4, 16))
    cloud = np.repeat(np.arange(5), sizes)
    values = np.where((cloud < 4)[:, None], centres[cloud.clip(max=3)], rng.normal(0, 4, (618, 16)))
    return (values + rng.normal(0, 0.3, values.shape)).astype(np.float32), cloud


def test_no_group_mixes_types_and_a_rare_one_is_kept(clouds: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    values, cloud = clouds
    found = find_groups(values)
    assert (found.codes[cloud < 4] >= 0).mean() > 0.9
    for i in range(len(found.names)):
        assert len(set(cloud[(found.codes == i) & (cloud < 4)])) <= 1
    rare = found.codes[cloud == 3]
    assert (rare >= 0).sum() >= 10
    assert (np.diff(found.sizes) <= 0).all()


def test_rows_may_come_in_any_order(clouds: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    values, _ = clouds
    order = np.random.default_rng(1).permutation(len(values))
    for most in (10_000, 300):  # all cells at once, and a sample that the others join
        np.testing.assert_array_equal(
            find_groups(values[order], most_cells=most).codes, find_groups(values, most_cells=most).codes[order]
        )


def test_another_processor_s_rounding_moves_no_cell(clouds: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    values, _ = clouds
    rng = np.random.default_rng(2)
    rounded = (values * (1 + np.finfo(np.float32).eps * rng.choice([-1, 0, 1], values.shape))).astype(np.float32)
    assert (rounded != values).any(axis=1).mean() > 0.9
    np.testing.assert_array_equal(find_groups(rounded).codes, find_groups(values).codes)


def test_cells_beyond_the_sample_join_their_own_cloud(clouds: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    values, cloud = clouds
    found = find_groups(values, most_cells=300)
    for i in range(len(found.names)):
        assert len(set(cloud[(found.codes == i) & (cloud < 3)])) <= 1
    assert (found.codes[cloud < 3] >= 0).mean() > 0.9


def test_equal_cells_are_in_one_group(clouds: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    values, _ = clouds
    twice = find_groups(np.concatenate([values, values])).codes
    np.testing.assert_array_equal(twice[: len(values)], twice[len(values) :])


def test_a_seed_of_the_user_is_left_alone(clouds: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    import random

    random.seed(5)
    expected = random.random()
    random.seed(5)
    find_groups(clouds[0])
    assert random.random() == expected


def test_few_or_equal_cells_make_no_groups() -> None:
    assert find_groups(np.ones((4, 8), np.float32)).names == []
    assert find_groups(np.ones((1, 8), np.float32)).codes.tolist() == [-1]


# ------------------------------------------------------------------ one level


def scores(*groups: dict[str, float]) -> NDArray[np.float64]:
    """Log-probabilities of TERMS."""
    return np.log(np.array([[group.get(one, 1e-6) for one in TERMS] for group in groups]))


def named(*groups: dict[str, float], level: str = "auto", sizes: list[int] | None = None) -> list[str]:
    """Names of groups of equal size."""
    held = np.array(sizes or [100] * len(groups))
    return name_groups(scores(*groups), TERMS, held, level).terms  # type: ignore[arg-type]


def test_a_group_between_a_term_and_its_kind_is_of_the_term() -> None:
    assert named({NAIVE_B: 0.5, B: 0.45}) == [B]
    assert named({NAIVE_B: 0.3, B: 0.3, T: 0.35}) == [B]


def test_kinds_that_the_cells_tell_apart_are_named() -> None:
    groups = {CD14: 0.6, MONOCYTE: 0.35}, {CD14: 0.4, MONOCYTE: 0.5}, {CD16: 0.8, MONOCYTE: 0.1}
    assert named(*groups) == [CD14, CD14, CD16]
    assert named(*groups, level="broad") == [MONOCYTE] * 3
    # Most cells are in groups that could be either: all are called by the term above.
    unclear = {MONOCYTE: 0.8, CD14: 0.1}, {CD14: 0.3, CD16: 0.3}, {CD16: 0.8}
    assert named(*unclear) == [MONOCYTE] * 3
    # A small unclear group follows the others: a term is not offered beside its own kinds.
    assert named({CD14: 0.8}, {CD16: 0.8}, {MONOCYTE: 0.8, CD14: 0.1}, sizes=[100, 100, 10]) == [CD14, CD16, CD14]


def test_groups_that_are_nearly_clear_count_by_how_clear_they_are() -> None:
    """A group at 0.79 or 0.81 of one kind is the same to a reader, and so is the level of its name."""
    for of_first in (0.79, 0.81):
        groups = {CD14: of_first, CD16: 1 - of_first}, {CD16: 0.97, CD14: 0.03}
        assert named(*groups) == [CD14, CD16]
        assert named(*groups, sizes=[300, 100]) == [MONOCYTE] * 2


def test_a_type_with_many_kinds_gains_nothing_by_what_little_speaks_for_each() -> None:
    microglia, kinds = "CL:0000129", [NAIVE_CD4, MEMORY_CD4, CD8, CD4, "CL:0000815", "CL:0000798", "CL:0000900"]
    terms = [microglia, *kinds]
    unsure = np.log([[0.46, *[0.54 / 7] * 7]])
    assert name_groups(unsure, terms, np.array([30])).terms == [microglia]
    assert lift(name_groups(np.log([[0.3, *[0.1] * 7]]), terms, np.array([30])).terms[0], "broad") == T


def test_fine_names_are_below_the_usual_ones() -> None:
    groups = {NAIVE_CD4: 0.8, CD4: 0.1}, {MEMORY_CD4: 0.8}, {CD8: 0.9}
    assert named(*groups) == [CD4, CD4, CD8]
    assert named(*groups, level="fine") == [NAIVE_CD4, MEMORY_CD4, CD8]
    assert named(*groups, level="broad") == [T] * 3


def test_stem_cells_are_no_dendritic_cells_because_two_lineages_of_these_add_up() -> None:
    conventional, plasmacytoid, stem = "CL:0000990", "CL:0000784", "CL:0000037"
    assert lift(plasmacytoid, "broad") == plasmacytoid
    terms = [conventional, plasmacytoid, stem]
    scores = np.log(np.array([[0.3, 0.3, 0.4], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05]]))
    assert name_groups(scores, terms, np.array([50, 50, 50])).terms == [stem, conventional, plasmacytoid]


def test_broad_types_stay_apart() -> None:
    """By the ontology alpha and beta cells are epithelial cells; a group of these leaves them their names."""
    alpha, beta, epithelial = "CL:0000171", "CL:0000169", "CL:0000066"
    terms = [alpha, beta, epithelial]
    scores = np.log(np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.01, 0.01, 0.98]]))
    assert name_groups(scores, terms, np.array([50, 50, 3])).terms == terms
    # A few such cells are no reason to offer a name that holds the others.
    for few, names in ((3, [beta, alpha]), (9, [epithelial, beta, alpha])):
        sizes = np.array([50, 50, few])
        assert _worth_offering(name_groups(scores, terms, sizes), sizes, sizes.sum()) == names


def test_a_name_that_says_too_little_gives_way_to_its_kinds_sooner() -> None:
    epithelial, enterocyte, goblet = "CL:0000066", "CL:0000584", "CL:0000160"
    terms, scores = [epithelial, enterocyte, goblet], np.log([[0.1, 0.8, 0.1], [0.4, 0.31, 0.29]])
    assert name_groups(scores, terms, np.array([50, 50])).terms == [enterocyte] * 2
    assert name_groups(scores, terms, np.array([10, 90])).terms == [epithelial] * 2
    # Kinds that the model does not know leave most to the broad name: the likeliest of the others is no name for them.
    unknown = np.log([[0.6, 0.39, 0.01], [0.7, 0.01, 0.29]])
    assert name_groups(unknown, terms, np.array([50, 50])).terms == [epithelial] * 2


def test_a_group_between_a_kind_and_its_kind_is_of_the_first() -> None:
    neuron, gabaergic, purkinje, glutamatergic = "CL:0000540", "CL:0000617", "CL:0000121", "CL:0000679"
    terms = [neuron, gabaergic, purkinje, glutamatergic]
    scores = np.log([[0.4, 0.25, 0.3, 0.05], [0.5, 0.05, 0.05, 0.4]])
    assert name_groups(scores, terms, np.array([50, 50])).terms == [gabaergic, glutamatergic]
    # Where the groups could be either, none is named.
    unclear = np.log([[0.4, 0.15, 0.15, 0.3], [0.7, 0.1, 0.1, 0.1]])
    assert name_groups(unclear, terms, np.array([50, 50])).terms == [neuron] * 2


def test_a_term_above_all_types_names_nothing() -> None:
    assert named({LEUKOCYTE: 0.9, B: 0.05, T: 0.01}) == [B]
    assert says_little(LEUKOCYTE)
    assert not says_little(NAIVE_B)


def test_levels_follow_the_ontology() -> None:
    assert [lift(one, "broad") for one in (NAIVE_CD4, CD16, NAIVE_B, B)] == [T, MONOCYTE, B, B]
    assert [lift(one, "usual") for one in (NAIVE_CD4, CD16, NAIVE_B, REGULATORY)] == [CD4, CD16, B, CD4]
    assert lift(LEUKOCYTE, "broad") == LEUKOCYTE
    assert broader_among([B, NAIVE_B])
    assert not broader_among([B, T, CD14, CD16])  # which published labels set against each other


# ------------------------------------------------------------------ cells


def test_a_group_decides_for_unsure_cells_only() -> None:
    sure = np.repeat([[0.9, 0.1]], 98, axis=0)
    own = np.log(np.concatenate([sure, [[0.4, 0.6], [0.0001, 0.9999], [0.4, 0.6]]])).astype(np.float32)
    codes = np.zeros(101, np.int64)
    codes[-1] = -1
    found = group_prior(own, Groups(["1"], codes))
    assert found.argmax(axis=1)[-3:].tolist() == [0, 1, 1]  # unsure, sure of something else, in no group
    np.testing.assert_allclose(found[-1], own[-1], atol=1e-6)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=1e-5)


def test_types_of_embryos_need_more_evidence_unless_the_tissue_or_many_cells_say_so() -> None:
    hepatocyte, hepatoblast = "CL:0000182", "CL:0005026"
    assert early_types() < set(load_ontology())
    adult = np.log(np.tile([[0.98, 0.02]], (50, 1))).astype(np.float32)
    rows = ad.AnnData(np.zeros((50, 1), np.float32))
    rows.obs["fetal_or_adult_organ"], rows.obs["organ"] = "liver", "Liver (foetal)"
    given = {one: read_tissues(rows, one) for one in ("fetal liver", "Placenta", "liver", "spinal cord", "cord blood")}
    column = read_tissues(rows, "organ")
    for own, tissues, needed in (
        (adult, None, EARLY), (adult, given["liver"], EARLY), (adult, given["fetal liver"], 0), (adult, column, 0),
        (adult, given["Placenta"], 0), (adult[:, ::-1], None, 0), (adult, given["spinal cord"], EARLY),
        (adult, given["cord blood"], 0), (adult, read_tissues(rows, "fetal_or_adult_organ"), EARLY),
    ):  # fmt: skip
        found = early_prior(own, [hepatocyte, hepatoblast], None if tissues is None else tissues.early)
        assert (found == [0, needed]).all()


def test_a_fetal_sample_says_nothing_of_the_cells_of_another() -> None:
    own = np.log(np.tile([[0.98, 0.02]], (50, 1))).astype(np.float32)
    rows = ad.AnnData(np.zeros((50, 1), np.float32))
    rows.obs["organ"] = ["liver"] * 30 + ["fetal liver"] * 20
    tissues = read_tissues(rows, "organ")
    found = early_prior(own, ["CL:0000182", "CL:0005026"], tissues.early)
    assert found[:, 1].tolist() == [EARLY] * 30 + [0] * 20
    assert (found[:, 0] == 0).all()
    some = tissues.of_rows(np.array([0, 49]))
    assert some.early is not None
    assert some.early.tolist() == [False, True]
    assert tissues.of_rows(None) is tissues


@pytest.fixture(scope="module")
def pbmc_part() -> ad.AnnData:
    """Return 300 bundled blood cells."""
    return sb.datasets.pbmc3k()[:300].copy()


@pytest.fixture
def nested(tiny_model: BioVerse) -> BioVerse:
    """A model whose vocabulary holds terms and kinds of theirs."""
    tiny_model.config.default_labels = [T, CD4, CD8, B, NAIVE_B, MONOCYTE, CD14, CD16]
    return tiny_model


def test_names_are_found_and_the_record_says_how(cells: ad.AnnData, nested: BioVerse) -> None:
    done = sb.tl.annotate(cells, model=nested, rationale=None, copy=True)
    record = sb.get.records(done)["annotate"]
    names = list(done.obsm["bioverse_scores"])
    assert len(names) >= 2
    assert not broader_among([one["cl_id"] for one in record["labels"]])
    groups = sb.get.groups(done)
    assert record["rows_read_by_llm"] >= len(groups) > 0
    assert groups["n"].sum() == done.obs["bioverse_group"].notna().sum()
    for told, one in zip(groups["proposed"], groups["read"], strict=True):
        assert one in told
    whole = sb.tl.annotate(cells, model=nested, labels="vocabulary", rationale=None, copy=True)
    assert list(whole.obsm["bioverse_scores"])[:2] == ["T cell", "CD4 T cell"]
    assert "bioverse_group" not in whole.obs


def test_neither_rows_nor_batches_matter(cells: ad.AnnData, nested: BioVerse) -> None:
    order = np.random.default_rng(3).permutation(cells.n_obs)
    done = sb.tl.annotate(cells, model=nested, rationale=None, copy=True)
    other = sb.tl.annotate(cells[order].copy(), model=nested, rationale=None, batch_size=7, copy=True)
    assert list(other.obs["bioverse_label"]) == list(done.obs["bioverse_label"].iloc[order])
    np.testing.assert_allclose(
        other.obsm["bioverse_scores"].to_numpy(), done.obsm["bioverse_scores"].to_numpy()[order], atol=1e-4
    )


def test_cells_that_are_too_few_for_groups_are_named_one_by_one(cells: ad.AnnData, nested: BioVerse) -> None:
    few = cells[[0, 1, 2, 30, 31, 32]].copy()
    done = sb.tl.annotate(few, model=nested, rationale=None, copy=True)
    assert done.obs["bioverse_group"].nunique() == len(sb.get.groups(done)) == 6
    other = sb.tl.annotate(few[::-1].copy(), model=nested, rationale=None, copy=True)
    assert list(other.obs["bioverse_label"])[::-1] == list(done.obs["bioverse_label"])
    assert list(other.obs["bioverse_group"])[::-1] == list(done.obs["bioverse_group"])


def test_clusters_of_the_user_are_named(cells: ad.AnnData, nested: BioVerse) -> None:
    done = sb.tl.annotate(cells, model=nested, groupby="cluster", level="broad", rationale=None, copy=True)
    assert done.obs.groupby("cluster", observed=True)["bioverse_label"].nunique().max() == 1
    assert set(sb.get.labels(done)["cl_id"]) <= {T, B, MONOCYTE}
    assert {"proposed", "read"} <= set(sb.get.groups(done))


def test_a_mixture_is_said_to_be_one_and_its_parts_keep_what_was_proposed() -> None:
    calls = Calls(
        np.zeros((4, 1), np.float32), [Label("T cell", "", CD4, "", "")], np.zeros(4, np.int64), np.ones(4, np.float32),
        np.ones(4, bool), np.ones(4, np.float32), np.ones(4, np.float32),
        [{"group": one, "n": 2, "label": "T cell", "confidence": 1.0, "agreement": 0.9} for one in ("a [1]", "a [2]")],
    )  # fmt: skip
    told = [{"proposed": ["T cell"], "alone": {T: 0.5, B: 0.3}}]
    rare = [
        {"proposed": ["T cell"], "alone": {B: 0.4, "CL:0000576": 0.2, "CL:0000623": 0.2, T: 0.15, "CL:0000233": 0.05}}
    ]
    votes = [{"group": "a", "sample": one} for one in ("1", "2")]
    rows = groups_told(calls, Groups(["a"], np.zeros(4, np.int64)), told, votes)
    assert [row["agreement"] for row in rows] == [0.5, 0.5]
    # A type that is not among the commonest three counts all the same.
    rows = groups_told(calls, Groups(["a"], np.zeros(4, np.int64)), rare, votes)
    assert [row["agreement"] for row in rows] == [0.15, 0.15]
    assert [len(row["alone"]) for row in rows] == [3, 3]
    assert [row["proposed"] for row in rows] == [["T cell"]] * 2


def test_a_kind_that_many_cells_are_but_no_group_is_becomes_a_name() -> None:
    sure = np.repeat([[0.95, 0.05], [0.05, 0.95], [0.3, 0.7]], [90, 6, 20], axis=0)
    assert _kinds_beside([CD4], [T, B], sure) == {B}
    assert _kinds_beside([CD4, NAIVE_B], [T, B], sure) == set()
    assert _kinds_beside([CD4], [T, B], sure[:94]) == set()


@pytest.fixture(scope="module")
def with_podocytes(pbmc_part: ad.AnnData) -> ad.AnnData:
    """Blood cells, and 40 that express what tables list for podocytes, a type that the model was not trained on."""
    rng, part = np.random.default_rng(0), pbmc_part[:120].copy()
    listed = markers_for(PODOCYTE)["gene"].isin(part.var_names)
    genes = markers_for(PODOCYTE).loc[listed, "gene"].head(30)
    share = np.asarray(part.X.mean(axis=0)).ravel() / part.X.sum(axis=1).mean()
    share[part.var_names.get_indexer(genes)] = 0.2 / len(genes)
    counts = sparse.csr_matrix(rng.poisson(2000 * share / share.sum(), (40, part.n_vars)).astype(np.float32))
    made = ad.AnnData(counts, var=part.var[[]], obs=pd.DataFrame(index=[f"podocyte{i}" for i in range(40)]))
    return ad.concat([ad.AnnData(part.X, var=part.var[[]], obs=part.obs[[]]), made])


def test_a_type_that_the_model_never_saw_is_named_by_its_markers(with_podocytes: ad.AnnData) -> None:
    model = load("bioverse-small")
    own, known = model.config.default_labels, names_known(model).terms
    assert PODOCYTE not in own
    assert known[: len(own)] == own
    assert PODOCYTE in known
    assert all(len(marker_genes(str(one))) >= FEWEST_MARKERS for one in known[len(own) :])
    done = sb.tl.annotate(with_podocytes, rationale=None, copy=True)
    called = done.obs["bioverse_cl_id"].astype(str)
    assert (called.iloc[120:] == PODOCYTE).mean() > 0.9
    assert not (called.iloc[:120] == PODOCYTE).any()
    # Without markers nothing speaks for such a name.
    assert names_known(model, markers=False).terms == own
    alone = sb.tl.annotate(with_podocytes, markers=False, rationale=None, copy=True)
    assert PODOCYTE not in set(alone.obs["bioverse_cl_id"])


def test_genes_that_cannot_be_read_leave_the_models_own_names(with_podocytes: ad.AnnData) -> None:
    with mock.patch.object(CellEvidence, "__call__", side_effect=InputError("no genes")):
        done = sb.tl.annotate(with_podocytes, rationale=None, copy=True)
    names = {one["cl_id"] for one in sb.get.records(done)["annotate"]["labels"]}
    own = set(load("bioverse-small").config.default_labels)
    assert names <= {*own, *(lift(one, level) for one in own for level in LEVELS)}


def test_a_model_that_cannot_name_rows_finds_names_without(
    cells: ad.AnnData, nested: BioVerse, caplog: pytest.LogCaptureFixture
) -> None:
    nested.config.encoders["cell"] = replace(nested.config.encoders["cell"], methods=("nearest",))
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        done = sb.tl.annotate(cells, model=nested, rationale=None, copy=True)
    assert "groups are named without it" in caplog.text
    assert sb.get.records(done)["annotate"]["rows_read_by_llm"] == 0


def test_levels_are_for_names_that_are_found(cells: ad.AnnData, nested: BioVerse) -> None:
    with pytest.raises(InputError, match="choose 'auto', 'broad' or 'fine'"):
        sb.tl.annotate(cells, model=nested, level="deep")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is for names that are found"):
        sb.tl.annotate(cells, model=nested, labels=["B", "NK"], level="broad")


def test_many_cells_hear_those_like_them_and_the_record_says_so(pbmc_part: ad.AnnData) -> None:
    done = sb.tl.annotate(pbmc_part, rationale=None, copy=True)
    assert sb.get.records(done)["annotate"]["heard"] == 10
    with mock.patch("scbioverse.tl._annotate_asked.alike_cells", return_value=None):
        alone = sb.tl.annotate(pbmc_part, rationale=None, copy=True)
    assert sb.get.records(alone)["annotate"]["heard"] == 0
    assert list(alone.obsm["bioverse_scores"]) == list(done.obsm["bioverse_scores"])
    assert not np.allclose(alone.obsm["bioverse_scores"], done.obsm["bioverse_scores"], atol=0.1)
    few = sb.tl.annotate(pbmc_part[:60].copy(), rationale=None, copy=True)
    assert sb.get.records(few)["annotate"]["heard"] == 0
    clusters = sb.tl.annotate(pbmc_part, groupby="cell_type", rationale=None, copy=True)
    assert sb.get.records(clusters)["annotate"]["heard"] == 0

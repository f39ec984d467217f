"""What cells of other types show of a type's markers is taken from its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import scbioverse as sb
from scbioverse.knowledge.markers import markers_for
from scbioverse.predict.groups import Groups
from scbioverse.predict.pool import Background, beside_background

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

T, CD4, B, MONOCYTE, PODOCYTE = "CL:0000084", "CL:0000624", "CL:0000236", "CL:0000576", "CL:0000653"
RAW = "scbioverse.tl._annotate_asked.beside_background", "scbioverse.predict.first_call.beside_background"


@pytest.fixture
def raw() -> Iterator[None]:
    """Let evidence count as it is."""
    with mock.patch(RAW[0], lambda batch, *_, **__: batch), mock.patch(RAW[1], lambda batch, *_, **__: batch):
        yield


@pytest.fixture(scope="module")
def in_podocyte_rna() -> ad.AnnData:
    """Bundled blood cells, all of which have RNA of twenty genes that tables list for podocytes."""
    shown, rng = sb.datasets.pbmc3k()[:300].copy(), np.random.default_rng(0)
    listed = markers_for(PODOCYTE).loc[markers_for(PODOCYTE)["gene"].isin(shown.var_names), "gene"].head(20)
    rna = np.zeros(shown.shape, dtype=np.float32)
    rna[:, shown.var_names.get_indexer(listed)] = rng.poisson(5, (shown.n_obs, len(listed)))
    shown.X = sparse.csr_matrix(shown.X + rna)
    return shown


def podocytes(adata: ad.AnnData, labels: list[str] | None, **options: object) -> tuple[int, dict[str, float]]:
    """Cells that are called podocytes, and what was taken from the evidence of which candidate."""
    done = sb.tl.annotate(adata, labels=labels, rationale=None, copy=True, **options)
    taken = sb.get.records(done)["annotate"]["markers"].get("background", {})
    return int((done.obs["bioverse_cl_id"] == PODOCYTE).sum()), taken


@pytest.mark.parametrize("labels", [None, ["T cell", "B cell", "NK cell", "monocyte", "platelet", "podocyte"]])
def test_genes_that_cells_of_all_types_show_name_none_of_them(
    in_podocyte_rna: ad.AnnData, labels: list[str] | None
) -> None:
    n, taken = podocytes(in_podocyte_rna, labels)
    assert n == 0
    if labels is not None:
        assert taken["podocyte"] > 1
        # The language model, too, reads evidence without them.
        assert podocytes(in_podocyte_rna, labels, method="score")[0] == 0


@pytest.mark.usefixtures("raw")
@pytest.mark.filterwarnings("ignore:.*more like types that are not among:UserWarning")
def test_they_would(in_podocyte_rna: ad.AnnData) -> None:
    assert podocytes(in_podocyte_rna, None)[0] > 150
    n, taken = podocytes(in_podocyte_rna, ["T cell", "B cell", "NK cell", "monocyte", "platelet", "podocyte"])
    assert n > 100
    assert taken == {}


def test_neither_the_order_of_rows_nor_copies_change_what_is_taken(in_podocyte_rna: ad.AnnData) -> None:
    labels = ["T cell", "B cell", "monocyte", "podocyte"]
    whole = sb.tl.annotate(in_podocyte_rna, labels=labels, rationale=None, copy=True)
    order = np.random.default_rng(1).permutation(in_podocyte_rna.n_obs)
    other = sb.tl.annotate(in_podocyte_rna[order].copy(), labels=labels, rationale=None, copy=True)
    np.testing.assert_allclose(
        other.obsm["bioverse_scores"].to_numpy(), whole.obsm["bioverse_scores"].to_numpy()[order], atol=1e-4
    )


def test_a_type_keeps_what_its_own_cells_have_in_common() -> None:
    cells = sb.datasets.pbmc3k()
    monocytes = cells[cells.obs["cell_type"] == "CD14+ Mono"][:200].copy()
    for labels in (None, ["CD14 monocyte", "CD16 monocyte", "B cell", "NK cell"]):
        done = sb.tl.annotate(monocytes, labels=labels, rationale=None, copy=True)
        assert not [
            one for one in sb.get.records(done)["annotate"]["markers"].get("background", {}) if "monocyte" in one
        ]
    # Of a few cells nothing is taken, nor where markers do not count.
    for adata, markers in ((monocytes[:60].copy(), None), (monocytes, False)):
        done = sb.tl.annotate(adata, labels=["monocyte", "B cell"], markers=markers, rationale=None, copy=True)
        assert "background" not in sb.get.records(done)["annotate"]["markers"]


def test_a_type_of_which_only_markers_tell_may_be_that_of_nearly_all_cells() -> None:
    rng, blood = np.random.default_rng(0), sb.datasets.pbmc3k()[:60].copy()
    listed = markers_for(PODOCYTE).loc[markers_for(PODOCYTE)["gene"].isin(blood.var_names), "gene"].head(30)
    share = np.asarray(blood.X.mean(axis=0)).ravel() / blood.X.sum(axis=1).mean()
    share[blood.var_names.get_indexer(listed)] = 0.2 / len(listed)
    counts = sparse.csr_matrix(rng.poisson(2000 * share / share.sum(), (400, blood.n_vars)).astype(np.float32))
    both = ad.AnnData(sparse.vstack([counts, blood.X]).tocsr(), var=blood.var[[]])
    labels = ["T cell", "B cell", "NK cell", "monocyte", "podocyte"]
    for adata in (both, both[:400].copy()):
        called = sb.tl.annotate(adata, labels=labels, rationale=None, copy=True).obs["bioverse_cl_id"].astype(str)
        assert (called.iloc[:400] == PODOCYTE).mean() > 0.95
        assert not (called.iloc[400:] == PODOCYTE).any()


def test_labels_with_genes_of_the_users_are_scored() -> None:
    cells = sb.datasets.pbmc3k()[:200].copy()
    genes = ["GZMK", "GZMA", "CCL5"]
    labels = {"T cell": "CL:0000084", "cytotoxic T cell": genes, "B cell": "CL:0000236", "monocyte": "CL:0000576"}
    sb.tl.annotate(cells, labels=labels, rationale=None)
    # One that expresses none of the genes given for it is not called so, whatever others show.
    called = cells[cells.obs["bioverse_label"] == "cytotoxic T cell"]
    assert (np.asarray(called[:, genes].X.sum(axis=1)).ravel() > 0).all()
    assert (cells.obs["bioverse_label"] == "T cell").sum() > 50


def background(shown: NDArray[np.float64], kinds: list[str]) -> Background:
    """Evidence that groups of ten cells show, (n_groups, m), with some noise."""
    codes = np.repeat(np.arange(len(kinds)), 10)
    noise = np.random.default_rng(0).normal(0, 0.01, (len(codes), shown.shape[1]))
    groups = Groups([str(i) for i in range(len(kinds))], np.append(codes, -1))
    evidence = np.vstack([shown[codes] + noise, np.full(shown.shape[1], 100.0)]).astype(np.float32)
    return Background(lambda _: evidence, groups, kinds)


def test_the_median_of_other_types_is_taken() -> None:
    kinds = [T] * 6 + [B] * 6
    shown = np.zeros((12, 4))
    shown[:6, 0], shown[6:, 0] = 9, [1, 2, 2, 2, 3, 50]  # T cells, and some of their RNA in B cells
    shown[:, 1] = -3  # less of B cells' than usual, everywhere
    shown[:, 2] = 4  # in all of what is nobody's
    shown[:, 3] = 5  # T cells again: "CD4 T cell" is of their broad type
    found = background(shown, kinds)
    taken = found.of([]) - found([T, B, MONOCYTE, CD4])
    np.testing.assert_allclose(taken, np.broadcast_to([2, 0, 4, 5], taken.shape), atol=0.05)
    assert found.taken == pytest.approx({T: 2, MONOCYTE: 4, CD4: 5}, abs=0.05)


@pytest.mark.parametrize(("n_others", "taken"), [(2, 0), (3, 0), (4, 2)])
def test_too_few_groups_of_another_type_say_nothing(n_others: int, taken: int) -> None:
    kinds = [T] * (16 - n_others) + [B] * n_others
    found = background(np.full((16, 1), 2.0), kinds)
    np.testing.assert_allclose(found.of([]) - found([T]), taken, atol=0.05)


def test_genes_given_for_a_label_are_of_its_type_or_of_their_own() -> None:
    kinds = [T] * 4 + ["|PDCD1|LAG3"] * 8
    shown = np.full((12, 3), 2.0)
    shown[:4, 1] = 1
    found = background(shown, kinds)
    taken = (found.of([]) - found([f"{T}|CD3D", "|PDCD1|LAG3", None]))[0]
    np.testing.assert_allclose(taken, [2, 1, 2], atol=0.05)


def test_a_batch_stays_where_genes_cannot_be_read() -> None:
    class Unread:
        config = mock.Mock(calibration={})

    batch = mock.MagicMock(model=Unread, evidence=lambda _: None)
    batch.__len__.return_value = 100
    assert beside_background(batch, mock.Mock()) is batch

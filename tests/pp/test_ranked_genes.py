from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.app.shown import Shown
from scbioverse.errors import InputError
from scbioverse.io import Cells

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

LISTS = {"b": ["CD74", "CD79A", "MS4A1"], "m": "LYZ, S100A9;S100A8 CST3"}


def of(adata: AnnData, row: str) -> list[str]:
    """Genes of a row by falling value."""
    values = adata[row].X.toarray().ravel()
    return adata.var_names[np.argsort(-values, kind="stable")[: (values > 0).sum()]].tolist()


def test_the_order_is_kept_and_the_matrix_is_sparse() -> None:
    adata = sb.pp.ranked_genes(LISTS)
    assert adata.obs_names.tolist() == ["b", "m"]
    assert of(adata, "b") == LISTS["b"]
    assert of(adata, "m") == ["LYZ", "S100A9", "S100A8", "CST3"]
    assert adata.X.nnz == 7
    assert adata.X.dtype == np.float32
    assert adata.obs["n_listed"].tolist() == [3, 4]
    assert adata.var["n_lists"].sum() == 7
    assert "FOXP3" in adata.var_names, "genes that nobody listed were measured, too"


@pytest.mark.parametrize("n", [1, 5, 100, 3000])
def test_shares_fall_and_are_no_more_than_a_whole_cell(n: int) -> None:
    genes = sb.pp.ranked_genes([["CD3D"]]).var_names[:n].tolist()
    adata = sb.pp.ranked_genes([genes])
    values = adata.X.toarray().ravel()[:n]
    assert (values > 0).all()
    assert (np.diff(values[:500]) < 0).all()
    assert (np.diff(values) <= 0).all()
    assert values.sum() <= 1e7 + n
    unlisted = Cells.of(adata).unlisted
    assert unlisted == pytest.approx(1 - values.sum() / 1e7, abs=1e-3)


@pytest.mark.parametrize(
    "lists",
    [pd.Series(LISTS), list(LISTS.values()), (some for some in LISTS.values())],
    ids=["series", "list", "iterator"],
)
def test_forms_of_lists(lists: Any) -> None:
    found = sb.pp.ranked_genes(lists)
    np.testing.assert_array_equal(found.X.toarray(), sb.pp.ranked_genes(LISTS).X.toarray())
    assert found.obs_names.tolist() == (["b", "m"] if isinstance(lists, pd.Series) else ["0", "1"])


def test_older_names_and_ids_are_the_gene_and_count_once() -> None:
    found = sb.pp.ranked_genes([["MS4A1", "ENSG00000156738", "CD19"]])
    assert of(found, "0") == ["MS4A1", "CD19"]


def test_what_is_no_gene_is_named_and_left_out() -> None:
    with pytest.warns(UserWarning, match=r"1 of 3 names are not a known human gene and are left out: Xyz1"):
        found = sb.pp.ranked_genes([["CD19", "Xyz1", "MS4A1"]])
    assert of(found, "0") == ["CD19", "MS4A1"]
    np.testing.assert_array_equal(found.X.data, np.sort(sb.pp.ranked_genes([["CD19", "MS4A1"]]).X.data)[::-1])


def test_only_what_was_measured() -> None:
    with pytest.warns(UserWarning, match=r"not a human gene among `genes` and are left out: CD79A"):
        found = sb.pp.ranked_genes(LISTS, genes=["CD74", "MS4A1", "LYZ", "S100A9", "S100A8", "CST3", "CD3D"])
    assert found.n_vars == 7
    assert of(found, "b") == ["CD74", "MS4A1"]


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ("CD3D CD3E", "data is of type str"),
        (None, "data is of type NoneType"),
        (pd.DataFrame({"names": ["CD3D"]}), r"data is of type DataFrame.*groupby"),
        ([], "data is empty"),
        ([["CD3D"], []], "the list of '1' is empty"),
        ([["CD3D"], "  "], "the list of '1' is empty"),
        ([["CD3D", 5]], "holds '5' of type int"),
        ([5], "holds '5' of type int"),
        (
            {"a": ["CD3D"], "b": ["Cd3d", "Ms4a1"]},
            r"no name in 1 of 2 lists \(b\) is a known human gene; found \['Cd3d'",
        ),
        (pd.Series([["CD3D"], ["CD19"]], index=["a", "a"]), "data names 'a' twice"),
        ({0: ["CD3D"], "0": ["CD19"]}, "data names '0' twice"),
        ({"CD3D CD19", "LYZ CST3"}, "data is a set, which has no order"),
        ([{"CD3D", "CD19"}], "the list of '0' is a set, which has no order"),
        (["CD3D", "CD19"], r"data is one list of genes \('CD3D', ...\), each of which would be a row"),
    ],
)
def test_lists_that_say_nothing_are_refused(lists: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sb.pp.ranked_genes(lists)


@pytest.mark.parametrize(("genes", "words"), [("CD3D", "one text"), (["Cd3d"], "no human gene")])
def test_measured_genes_that_say_nothing_are_refused(genes: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        sb.pp.ranked_genes(LISTS, genes=genes)


def first_genes(adata: AnnData, n: int) -> list[list[str]]:
    values = adata.X.toarray()
    return [[adata.var_names[at] for at in np.argsort(-row, kind="stable")[:n]] for row in values]


def test_real_cells_known_by_a_hundred_genes(tmp_path: Path) -> None:
    adata = sb.datasets.pbmc3k()
    adata = adata[adata.obs["cell_type"].isin(["B", "CD14+ Mono", "NK", "CD8 T"])][:300]
    truth = adata.obs["cell_type"].astype(str).to_numpy()
    lists = first_genes(adata, 100)
    options: dict[str, Any] = {"labels": sorted(set(truth)), "rationale": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "15 of 1262 names", UserWarning)
        found = sb.pp.ranked_genes(lists, genes=adata.var_names)
    # What is written and read again is known as lists, too.
    found.write_h5ad(tmp_path / "lists.h5ad")
    found = ad.read_h5ad(tmp_path / "lists.h5ad")
    assert Cells.of(found).unlisted > 0.3
    sb.tl.annotate(found, **options)
    assert (found.obs["bioverse_label"].astype(str) == truth).mean() > 0.9
    # The control: lists dealt to other cells.
    dealt = found.obs["bioverse_label"].astype(str).to_numpy()[np.random.default_rng(0).permutation(len(truth))]
    assert (dealt == truth).mean() < 0.6


def test_equal_ranks_of_many_rows_are_counts() -> None:
    # Of many rows many genes stand at the first rank, and have the same largest value, as after scaling by gene.
    genes = sb.pp.ranked_genes([["CD3D"]]).var_names[:40].tolist()
    found = Cells.of(sb.pp.ranked_genes([genes[i:] + genes[:i] for i in range(40)])).info
    assert found.scale == "counts"


def test_lists_stay_lists_in_data_that_are_joined_and_other_cells_become_none() -> None:
    found = sb.pp.ranked_genes(LISTS)
    joined = ad.concat([found, sb.pp.ranked_genes({"t": "CD3D CD3E TRAC"})])
    assert Cells.of(joined).unlisted == pytest.approx(Cells.of(found).unlisted, abs=0.02)
    cells = sb.datasets.toy_cells(n_obs=5)
    for join in ("inner", "outer"):
        assert Cells.of(ad.concat([found, cells], join=join, uns_merge="first")).unlisted == 0
    assert Cells.of(found["b"]).unlisted == Cells.of(found).unlisted


def test_what_is_not_listed_is_not_silent() -> None:
    found = sb.pp.ranked_genes(LISTS)
    without = found.copy()
    del without.obs["bioverse_unlisted"]
    for adata in (found, without):
        sb.tl.embed(adata)
    assert Cells.of(without).unlisted == 0
    assert not np.allclose(found.obsm["X_bioverse"], without.obsm["X_bioverse"], atol=1e-2)


@pytest.mark.filterwarnings("ignore:.* of the cells are more like types:UserWarning")
def test_an_embedding_is_made_anew_where_the_column_is_gone() -> None:
    found = sb.pp.ranked_genes(LISTS)
    sb.tl.embed(found)
    as_lists = found.obsm["X_bioverse"].copy()
    sb.tl.annotate(found, labels=["B", "Monocytes"], rationale=None)
    np.testing.assert_array_equal(found.obsm["X_bioverse"], as_lists)
    del found.obs["bioverse_unlisted"]
    sb.tl.annotate(found, labels=["B", "Monocytes"], rationale=None)
    assert not np.allclose(found.obsm["X_bioverse"], as_lists, atol=1e-2)


def test_what_is_said_of_lists_does_not_call_a_gene_silent() -> None:
    found = sb.pp.ranked_genes(LISTS | {"n": "NKG7 GNLY PRF1 GZMB"})
    sb.tl.annotate(found, labels=["B", "Monocytes", "NK"])
    assert all("one that is not listed may be expressed" in one for one in found.obs["bioverse_rationale"])
    by_cell = sb.tl.annotate(found, labels=["B", "Monocytes", "NK"], rationale="cell", copy=True)
    assert all("one that is not listed may be expressed" in one for one in by_cell.obs["bioverse_rationale"])
    with pytest.warns(UserWarning, match="but may be expressed"):
        sb.explain.check(found, "CD3D is not expressed.", groupby="bioverse_label", group="B")
    said = "'expressed' says that a gene is listed"
    for question in ("How many cells express CD3D?", "Is CD3D expressed in B cells?", "How many genes were measured?"):
        assert said in str(sb.tl.ask(found, question)), question
    assert said not in str(sb.tl.ask(found, "How many B cells are there?"))
    del found.obs["bioverse_unlisted"]
    assert said not in str(sb.tl.ask(found, "How many cells express CD3D?"))


def test_lists_are_not_compared_with_other_types(caplog: pytest.LogCaptureFixture) -> None:
    found = sb.pp.ranked_genes(LISTS | {"n": "NKG7 GNLY PRF1 GZMB"})
    options: dict[str, Any] = {"labels": ["B", "Monocytes"], "rationale": None}
    # As cells that were measured they are compared, and so this is the rows' being lists.
    whole = found.copy()
    del whole.obs["bioverse_unlisted"]
    with pytest.warns(UserWarning, match="more like types that are not among"):
        sb.tl.annotate(whole, **options)
    assert "bioverse_elsewhere" in whole.obs
    with caplog.at_level("INFO", "scbioverse"):
        sb.tl.annotate(found, **options)  # a warning would be an error
    assert "obs['bioverse_elsewhere'] is not written: rows are lists of genes" in caplog.text
    assert "bioverse_elsewhere" not in found.obs
    with pytest.warns(UserWarning, match=r"lists of genes.*confidence among the candidates alone"):
        sb.tl.annotate(found, unknown_threshold=1.0, parents=False, **options)
    assert (found.obs["bioverse_label"] == "unknown").all()


def test_made_up_values_are_not_shown_as_expression() -> None:
    found = sb.pp.ranked_genes({f"{name}{i}": some for i in range(4) for name, some in LISTS.items()})
    sb.tl.annotate(found, labels=["B", "Monocytes"])
    figure = sb.pl.evidence_dotplot(found, return_fig=True)
    said = " ".join(ax.get_title() for ax in figure.axes).replace("\n", " ")
    assert "Mean value, made from ranks in lists" in said
    assert "expression" not in said
    found.obsm["X_umap"] = found.obsm["X_bioverse"][:, :2]
    with pytest.raises(InputError, match=r"rows are lists of genes.*nothing was counted"):
        sb.get.cellxgene(found, title="lists")
    assert Shown(found).values("gene:CD74", found.obs)[0]["unit"] == "made from its rank in a list of genes"


def test_the_methods_say_that_nothing_was_measured(tmp_path: Path) -> None:
    found = sb.pp.ranked_genes(LISTS)
    sb.tl.annotate(found, labels=["B", "Monocytes"])
    sb.report(found, tmp_path / "page.html")
    assert "Rows are lists of genes in order" in (tmp_path / "page.html").read_text(encoding="utf-8")

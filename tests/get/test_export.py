"""Annotated data in the forms of other programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scbioverse as sb
from scbioverse._slots import write_record
from scbioverse.cli._app import app
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.knowledge.genes import gencode_genes

VALUES = {
    "assay_ontology_term_id": "EFO:0009899",
    "disease_ontology_term_id": "PATO:0000461",
    "is_primary_data": False,
    "suspension_type": "cell",
    "tissue_ontology_term_id": "UBERON:0000178",
    "tissue_type": "tissue",
}
UNKNOWN = {f"{name}_ontology_term_id": "unknown" for name in ("development_stage", "self_reported_ethnicity", "sex")}


@pytest.fixture
def adata() -> ad.AnnData:
    """Toy cells as `annotate` leaves them."""
    adata = sb.datasets.toy_cells(n_obs=30, n_genes=60)
    adata.obs["bioverse_label"] = pd.Categorical(["B cell", "odd"] * 15)
    adata.obs["bioverse_confidence"] = np.float32(0.5)
    adata.obs["bioverse_rationale"] = "why"
    adata.obs["bioverse_cl_id"] = pd.Categorical(["CL:0000236", ""] * 15)
    adata.obs["patient"] = "d1"
    logs = np.log(np.array([[0.9, 0.1], [0.2, 0.8]] * 15, np.float32))
    adata.obsm["bioverse_scores"] = pd.DataFrame(logs, index=adata.obs_names, columns=["B cell", "odd"])
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    labels = [{"name": one, "cl_id": None, "column": one} for one in ("B cell", "odd")]
    write_record(adata, "annotate", labels=labels, groups=[], groupby=None)
    adata.uns["log1p"] = {"base": None}
    adata.uns["cell_type_colors"] = ["#ff0000"] * 5
    return adata


def exported(adata: ad.AnnData, **options: Any) -> ad.AnnData:
    return sb.get.cellxgene(
        adata, **{"title": "toy", "values": VALUES | UNKNOWN, "columns": {"donor_id": "patient"}, **options}
    )


def test_cellxgene_counts_beside_values(adata: ad.AnnData) -> None:
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.log1p()
    adata.var["feature_name"] = "x"
    before = adata.copy()
    out = exported(adata)
    named = adata.var_names.get_indexer(out.var["author_gene_name"])
    assert (before.layers["counts"][:, named] != out.raw.X).nnz == 0
    np.testing.assert_allclose(out.X.toarray(), before.X[:, named].toarray())
    assert out.raw.var_names.equals(out.var_names)
    assert out.X.dtype == out.raw.X.dtype == np.float32
    assert isinstance(out.X, sparse.csr_matrix)
    assert set(out.var_names) <= gencode_genes()
    assert out.var_names[list(out.var["author_gene_name"]).index("CD3E")] == "ENSG00000198851"
    assert out.obs["cell_type_ontology_term_id"].tolist()[:2] == ["CL:0000236", "unknown"]
    assert out.obs["author_cell_type"].tolist() == before.obs["cell_type"].tolist()
    assert "author_feature_name" in out.var
    assert "feature_is_filtered" not in out.raw.var
    assert (out.uns["title"], out.uns["organism_ontology_term_id"]) == ("toy", "NCBITaxon:9606")
    assert "log1p" not in out.uns  # holds nothing but None
    assert "cell_type_colors" not in out.uns
    assert list(out.obsm) == ["X_umap"]
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert adata.var.columns.tolist() == before.var.columns.tolist()


def test_cellxgene_raw_has_more_genes(adata: ad.AnnData) -> None:
    adata.raw = adata.copy()
    adata = adata[:, adata.var_names != "CD3E"].copy()
    adata.X = adata.X.log1p()
    out = exported(adata)
    at = out.var_names.get_loc("ENSG00000198851")
    assert out.var["feature_is_filtered"].tolist() == [i == at for i in range(out.n_vars)]
    assert out.X[:, at].nnz == 0
    assert out.raw.X[:, at].nnz > 0
    other = out.var.index[out.var["author_gene_name"] == "MS4A1"][0]
    np.testing.assert_allclose(out[:, other].X.toarray(), adata[:, "MS4A1"].X.toarray())


def test_cellxgene_of_counts_alone_by_ids(adata: ad.AnnData) -> None:
    old = exported(adata)
    adata = adata[:, adata.var_names.get_indexer(old.var["author_gene_name"])].copy()
    adata.var["gene_ids"] = [f"{one}.7" for one in old.var_names]
    adata.var_names = [f"g{i}" for i in range(adata.n_vars)]
    out = exported(adata)
    assert out.raw is None
    assert out.var_names.equals(old.var_names)
    assert (out.X != adata.X).nnz == 0


def test_of_two_columns_for_one_gene_the_fuller_stays(adata: ad.AnnData) -> None:
    adata.var["gene"] = ["CD3E" if name == "MS4A1" else name for name in adata.var_names]
    for fuller, other in (("CD3E", "MS4A1"), ("MS4A1", "CD3E")):
        held = adata.copy()
        values = held.X.toarray()
        values[::3, held.var_names.get_loc(other)] = 0
        held.X = sparse.csr_matrix(values)
        out = exported(held, gene_key="gene")
        np.testing.assert_array_equal(out[:, "ENSG00000198851"].X.toarray(), held[:, fuller].X.toarray())


def test_what_is_still_to_fill_in_is_named(adata: ad.AnnData) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = sb.get.cellxgene(adata, title="toy")
    (said,) = (str(one.message) for one in caught)
    for name in (*VALUES, "donor_id", *UNKNOWN):
        assert name in said
    assert "donor_id" not in out.obs
    assert (out.obs["sex_ontology_term_id"] == "unknown").all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exported(adata)


def test_tissue_that_was_given_is_taken_and_a_guess_is_not(adata: ad.AnnData) -> None:
    from scbioverse.predict.tissue import read_tissues

    adata.obs["organ"] = ["blood", "lung"] * 15
    values = {name: one for name, one in (VALUES | UNKNOWN).items() if name != "tissue_ontology_term_id"}
    records = [dict(read_tissues(adata, one, method="cascade", modality="cell").record) for one in ("PBMC", "organ")]
    records.append({"given": None, "guessed": {"id": "UBERON:0000178", "name": "blood"}, "used": True})
    for record, expected in zip(
        records, (["UBERON:0000178"] * 2, ["UBERON:0000178", "UBERON:0002048"], []), strict=True
    ):
        write_record(adata, "annotate", labels=[], tissue=record)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = exported(adata, values=values)
        assert out.obs.get("tissue_ontology_term_id", pd.Series(dtype=str)).tolist()[:2] == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"values": {"assay_ontology_term_id": "10x"}}, "assay_ontology_term_id takes 'EFO"),
        ({"values": {"is_primary_data": "maybe"}}, "True or False"),
        ({"values": {"disease_ontology_term_id": "MONDO:0000002 || MONDO:0000001"}}, "stand in their order"),
        ({"values": {"colour": "red"}}, "'colour' is no field"),
        ({"values": {"donor_id": "d"}}, "donor_id is given as a column and as a value"),
        ({"title": " "}, "title is empty"),
    ],
)
def test_cellxgene_refuses(adata: ad.AnnData, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        exported(adata, **options)


def test_cellxgene_tells_genes_of_raw_by_names_that_do_not_repeat(adata: ad.AnnData) -> None:
    adata.raw = adata.copy()
    adata.X = adata.X.log1p()
    adata.var_names = ["CD3E", "CD3E", *adata.var_names[2:]]
    with pytest.raises(InputError, match="names of genes repeat"):
        exported(adata)


def test_cellxgene_needs_counts_cells_and_labels(adata: ad.AnnData) -> None:
    empty = adata.copy()
    empty.X[0] = 0
    empty.X.eliminate_zeros()
    with pytest.raises(InputError, match="1 cells have no counts"):
        exported(empty)
    adata.X = adata.X.log1p()
    with pytest.raises(InputError, match="asks for raw counts"):
        exported(adata)
    with pytest.raises(MissingKeyError, match="no 'nothing'"):
        exported(adata, layer="nothing")
    with pytest.raises(MissingKeyError, match="bioverse_cl_id"):
        exported(sb.datasets.toy_cells(n_obs=5, n_genes=60))


def test_celltypist_tables(adata: ad.AnnData, tmp_path: Path) -> None:
    tables = sb.get.celltypist(adata, path=tmp_path)
    assert tables["predicted_labels"]["predicted_labels"].tolist()[:2] == ["B cell", "odd"]
    assert tables["predicted_labels"]["conf_score"].tolist() == adata.obs["bioverse_confidence"].tolist()
    np.testing.assert_allclose(tables["probability_matrix"].sum(axis=1), 1, rtol=1e-6)
    for name, table in tables.items():
        read = pd.read_csv(tmp_path / f"{name}.csv", index_col="cell")
        pd.testing.assert_frame_equal(read, table.rename_axis("cell"), check_dtype=False)
    with pytest.raises(InputError, match="exists"):
        sb.get.celltypist(adata, path=tmp_path)
    with pytest.raises(InputError, match="no folder"):
        sb.get.celltypist(adata, path=tmp_path / "none")


def test_celltypist_tables_are_written_all_or_none(
    adata: ad.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = pd.DataFrame.to_csv

    def full_disk(self: pd.DataFrame, place: Path, **options: Any) -> None:
        if "odd" in self and self["odd"].min() >= 0:  # the last of the three
            raise OSError(28, "No space left on device")
        written(self, place, **options)

    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    with pytest.raises(OSError, match="No space"):
        sb.get.celltypist(adata, path=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:20 cells have no value:UserWarning")
@pytest.mark.filterwarnings("ignore:cells of 2 of 2 groups disagree:UserWarning")
def test_celltypist_of_groups() -> None:
    cells = sb.datasets.pbmc3k()[:60].copy()
    cells.obs["cluster"] = pd.Categorical(["0", "1", None] * 20)
    sb.tl.annotate(
        cells, labels=["B cell", "CD4 T cell", "CD8 T cell"], groupby="cluster", unknown_threshold=1.0, rationale=None
    )
    table = sb.get.celltypist(cells)["predicted_labels"]
    assert table.columns.tolist() == ["predicted_labels", "over_clustering", "majority_voting", "conf_score"]
    # What no group has become is what each has most of.
    assert set(table["majority_voting"].dropna()) == set(cells.obs["bioverse_label"].dropna())
    assert table["majority_voting"].isna().sum() == 20
    probable = table.groupby("over_clustering")[["predicted_labels", "conf_score"]].agg(["nunique", "first"])
    logs = sb.get.scores(cells)
    for cluster, row in zip("01", range(2), strict=True):
        assert probable.loc[cluster, ("predicted_labels", "nunique")] == 1
        assert probable.loc[cluster, ("predicted_labels", "first")] == logs.iloc[row].idxmax()
        assert probable.loc[cluster, ("conf_score", "first")] == pytest.approx(np.exp(logs.iloc[row].max()))
    assert not set(table["majority_voting"].dropna()) & set(logs)  # "unknown", or a term that they share


def test_excel_holds_text_and_no_formula(adata: ad.AnnData, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    adata.obs["bioverse_label"] = adata.obs["bioverse_label"].cat.rename_categories({"odd": '=HYPERLINK("x")\x07'})
    sb.get.celltypist(adata, path=tmp_path / "t.xlsx")
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert book.sheetnames == ["predicted_labels", "decision_matrix", "probability_matrix"]
    cell = book["predicted_labels"]["B3"]
    assert (cell.value, cell.data_type) == ('=HYPERLINK("x")', "s")
    assert book["probability_matrix"]["B2"].value == pytest.approx(0.9)
    assert book["predicted_labels"].max_row == 31


def test_command_line(adata: ad.AnnData, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    source = tmp_path / "in.h5ad"
    adata.write_h5ad(source)
    pairs = [f"--value={name}={value}" for name, value in (VALUES | UNKNOWN).items()]
    out = tmp_path / "out.h5ad"
    args = ["export", str(source), "--to", "cellxgene", "-o", str(out), *pairs, "--column", "donor_id=patient"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "30 cells" in done.stdout
    found = ad.read_h5ad(out)
    assert not found.obs["is_primary_data"].any()
    assert found.uns["title"] == "in"
    assert CliRunner().invoke(app, args).exit_code == 1  # the output exists
    done = CliRunner().invoke(app, ["export", str(source), "--to", "celltypist", "-o", str(tmp_path)])
    assert done.exit_code == 0
    assert (tmp_path / "probability_matrix.csv").is_file()


@pytest.mark.filterwarnings("ignore")
def test_tables_are_not_written_into_the_input(adata: ad.AnnData, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    source = tmp_path / "in.zarr"
    adata.write_zarr(source)
    before = sorted(source.rglob("*"))
    for place in (source, source / "obs"):
        done = CliRunner().invoke(app, ["export", str(source), "--to", "celltypist", "-o", str(place)])
        assert done.exit_code == 1
        assert "is the input, or lies in it" in done.stderr
    assert sorted(source.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cellxgene-schema") is None, reason="cellxgene-schema is not installed")
def test_its_own_validator_finds_nothing(adata: ad.AnnData, tmp_path: Path) -> None:
    exported(adata).write_h5ad(tmp_path / "out.h5ad")
    command = [str(shutil.which("cellxgene-schema")), "validate", str(tmp_path / "out.h5ad")]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # its environment is its own
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr

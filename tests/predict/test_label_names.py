"""What names of labels are taken for, as a user meets it: `annotate`, its warnings, and `sb.get.labels`."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scbioverse as sb

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from scbioverse.models import BioVerse


@pytest.fixture
def model(tiny_model: BioVerse) -> BioVerse:
    cell = tiny_model.config.encoders["cell"]
    tiny_model.config.encoders["cell"] = replace(cell, methods=("nearest",))
    return tiny_model


def annotated(cells: ad.AnnData, model: BioVerse, labels: Any) -> pd.DataFrame:
    done = sb.tl.annotate(cells, model=model, labels=labels, method="nearest", unknown_threshold=0, copy=True)
    return sb.get.labels(done).set_index("name")


def test_numbers_of_clusters(cells: ad.AnnData, model: BioVerse) -> None:
    found = annotated(cells, model, ["1: T cell", "2: B cell", "3: monocyte", "4: NK cell"])
    assert list(found["term"]) == ["T cell", "B cell", "monocyte", "natural killer cell"]
    assert set(found["how"]) == {"rule"}


def test_a_number_that_may_be_of_the_type_is_asked_about(cells: ad.AnnData, model: BioVerse) -> None:
    with pytest.warns(UserWarning, match=r"\['2 B'\].*Did you mean 2 B: B cell or B-2 B cell\?"):
        annotated(cells, model, ["2 B", "T cell", "NK cell"])
    found = annotated(cells, model, ["0 CD4 T", "2 B", "4 NK"])
    assert list(found["cl_id"]) == ["CL:0000624", "CL:0000236", "CL:0000623"]


def test_a_name_of_two_types_is_both(cells: ad.AnnData, model: BioVerse) -> None:
    labels = ["B/Plasma", "T and NK cells", "Endo/Hepatocyte"]
    done = sb.tl.annotate(cells, model=model, labels=labels, method="nearest", unknown_threshold=0, copy=True)
    found = sb.get.labels(done).set_index("name")
    assert list(found["term"]) == ["lymphocyte of B lineage", "lymphocyte", "Endo/Hepatocyte"]
    assert found.loc["B/Plasma", "because"] == "its parts, B cell and plasma cell"
    assert found.loc["Endo/Hepatocyte", "because"] == "its parts, endothelial cell and hepatocyte"
    assert done.obsm["bioverse_scores"].shape[1] == len(labels)
    # What the parts have as labels of their own is what the whole has.
    apart = ["B", "plasma cell", "T", "NK", "endothelial cell", "hepatocyte"]
    each = sb.tl.annotate(cells, model=model, labels=apart, method="nearest", unknown_threshold=0, copy=True)
    of_parts = np.exp(each.obsm["bioverse_scores"].to_numpy()).reshape(len(each), 3, 2).sum(axis=2)
    np.testing.assert_allclose(np.exp(done.obsm["bioverse_scores"].to_numpy()), of_parts, atol=1e-5)


def test_a_part_that_is_a_label_by_itself_is_that_labels(cells: ad.AnnData, model: BioVerse) -> None:
    def scores(labels: list[str]) -> np.ndarray:
        done = sb.tl.annotate(cells, model=model, labels=labels, method="nearest", unknown_threshold=0, copy=True)
        return done.obsm["bioverse_scores"].to_numpy()

    np.testing.assert_allclose(scores(["B", "B/Plasma", "T"]), scores(["B", "plasma cell", "T"]), atol=1e-5)


def test_a_type_in_two_names(cells: ad.AnnData, model: BioVerse) -> None:
    done = sb.tl.annotate(cells, model=model, labels=["T/NK", "B/T"], method="nearest", unknown_threshold=0, copy=True)
    np.testing.assert_allclose(np.exp(done.obsm["bioverse_scores"].to_numpy()).sum(axis=1), 1, atol=1e-5)


def test_other_means_kinds_that_no_other_label_is() -> None:
    cells = sb.datasets.pbmc3k()[::9].copy()
    plain = cells.obs["cell_type"].isin(["Naive CD4 T", "Memory CD4 T", "CD8 T"]).to_numpy()
    sb.tl.annotate(cells, labels=["B", "CD4 T", "CD8 T", "DC", "Mono", "NK", "other T"], rationale=None)
    found = sb.get.labels(cells).set_index("name")
    assert found.loc["other T", ["cl_id", "term"]].tolist() == ["CL:0000084", "T cell"]
    assert "gamma-delta T cell" in found.loc["other T", "because"]
    assert "CD8" not in found.loc["other T", "because"]
    assert (cells.obs["bioverse_label"][plain] == "other T").mean() < 0.05


def test_a_cell_that_lacks_a_gene_is_none_of_those_that_have_it(cells: ad.AnnData, model: BioVerse) -> None:
    model.config.default_labels = ["CL:0000084", "CL:0000624", "CL:0000625", "CL:0000798", "CL:0000236"]
    found = annotated(cells, model, ["CD4+ T", "CD4- T", "B"])
    said = "gamma-delta T cell and CD8-positive, alpha-beta T cell, the kinds that no other label is"
    assert sorted(found.loc["CD4- T", "because"].split()) == sorted(said.split())
    assert found.loc["CD4- T", "cl_id"] == "CL:0000084"


@pytest.mark.parametrize(("name", "said"), [("CD4- T", "CD4-"), ("other T", "other"), ("KRT5- epithelial", "KRT5-")])
def test_what_a_label_denies_is_named_where_it_is_not_read(
    cells: ad.AnnData, model: BioVerse, name: str, said: str
) -> None:
    with pytest.warns(UserWarning, match=f"what labels say that cells are not is not read: '{said}' of '{name}'"):
        found = annotated(cells, model, [name, "B", "monocyte"])
    assert found.loc[name, "because"] == f"its name without {said!r}"


def test_not_a_type_is_no_type(cells: ad.AnnData, model: BioVerse) -> None:
    with pytest.warns(UserWarning, match=r"match no Cell Ontology term.*'not B'"):
        assert annotated(cells, model, ["not B", "T", "monocyte"]).loc["not B", "cl_id"] is None


def test_the_plainer_of_two_names_of_one_type_goes_first(cells: ad.AnnData, model: BioVerse) -> None:
    labels = ["Activated B", "B", "IFN-stim Mono", "Mono", "NK"]
    with pytest.warns(UserWarning, match=r"\['Activated B', 'IFN-stim Mono'\] add to a plainer name, which goes first"):
        found = annotated(cells, model, labels)
    assert found.loc[["Activated B", "IFN-stim Mono"], "n"].tolist() == [0, 0]
    assert found.loc[["B", "Mono"], "n"].sum() > 0


def test_a_name_with_genes_of_its_own_is_no_mere_word(cells: ad.AnnData, model: BioVerse) -> None:
    labels = {"Activated B": ["CD69"], "B": "", "NK": ""}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        annotated(cells, model, labels)
    assert not any("plainer name" in str(one.message) for one in said)


def test_german_names_and_slips_of_the_pen(cells: ad.AnnData, model: BioVerse) -> None:
    names = {"B-Zelle": "B cell", "Monozyt": "monocyte", "NK-Zelle": "natural killer cell", "Thrombozyt": "platelet"}
    assert annotated(cells, model, list(names))["term"].to_dict() == names
    found = annotated(cells, model, ["Natural kiler", "Monocyts", "B"])
    assert list(found["term"]) == ["natural killer cell", "monocyte", "B cell"]

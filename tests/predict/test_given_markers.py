"""Marker genes as the value of a label: checked, said, and evidence."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.knowledge.markers import evidence_key, marker_weights
from scbioverse.predict.candidates import read_labels
from scbioverse.predict.embedding import Batch
from scbioverse.predict.given_markers import in_words
from scbioverse.predict.pool import _unshown

if TYPE_CHECKING:
    import anndata as ad

    from scbioverse.models import BioVerse


def test_genes_become_description_and_evidence(tiny_model: BioVerse) -> None:
    labels: dict[str, Any] = {
        "Exhausted T": ["PDCD1", "LAG3", "HAVCR2"],
        "B": "CL:0000236",
        "odd": ("ENSG00000177455",),
    }
    found = read_labels(labels, tiny_model)
    first, b, odd = found
    assert first.cl_id == "CL:0011025"
    assert first.genes == ("PDCD1", "LAG3", "HAVCR2")
    assert found.cards[0] == "Exhausted T: a cell that expresses PDCD1, LAG3 and HAVCR2"
    assert (b.genes, b.how) == ((), "given")
    assert (odd.cl_id, odd.genes) == (None, ("CD19",))
    assert found.evidence_keys == ["CL:0011025|PDCD1|LAG3|HAVCR2", "CL:0000236", "|CD19"]


def test_given_genes_add_to_those_of_the_term() -> None:
    genes = ["CD19", "MS4A1", "INS", "CD3E"]
    plain = marker_weights(["CL:0000236", "CL:0000084"], genes).toarray()
    more = marker_weights([evidence_key("CL:0000236", ["INS"]), "CL:0000084"], genes).toarray()
    alone = marker_weights([evidence_key(None, ["INS"]), "CL:0000084"], genes).toarray()
    assert plain[0, 2] == 0 < more[0, 2]
    assert more[0, 0] > 0
    assert np.flatnonzero(alone[0]).tolist() == [2]
    np.testing.assert_array_equal(marker_weights([None, "CL:0000084"], genes).toarray()[0], 0)


def test_older_names_and_case_are_understood_and_the_unknown_named(tiny_model: BioVerse) -> None:
    with pytest.warns(UserWarning, match=r"'Tex'.*'nonsense1'.*no gene"):
        found = read_labels({"Tex": ["PD1", "Lag3", "nonsense1"], "B cell": ""}, tiny_model)
    assert found[0].genes == ("PDCD1", "LAG3")


@pytest.mark.parametrize("value", [[], ["nonsense1"], [3], [" "]])
def test_lists_that_name_no_gene_are_refused(tiny_model: BioVerse, value: Any) -> None:
    with pytest.raises(sb.errors.InputError, match="'Tex'"):
        read_labels({"Tex": value, "B cell": ""}, tiny_model)


@pytest.mark.parametrize(
    ("said", "genes"),
    [
        ("CD3D", ("CD3D",)),
        ("CD20", ("MS4A1",)),
        ("KIT; TPSAB1, CPA3", ("KIT", "TPSAB1", "CPA3")),
        # Names of cell types, words, and genes among words are descriptions.
        ("NK", ()),
        ("RPE", ()),
        ("CD4", ()),
        ("expresses CD3D", ()),
        ("killer", ()),
    ],
)
def test_a_text_of_symbols_alone_is_a_list_of_markers_and_is_said(
    tiny_model: BioVerse, caplog: pytest.LogCaptureFixture, said: str, genes: tuple[str, ...]
) -> None:
    with caplog.at_level("INFO", "scbioverse"):
        found = read_labels({"X": said, "B cell": ""}, tiny_model)
    assert found[0].genes == genes
    assert found[0].description == (in_words(genes) if genes else said)
    assert (f"{said!r} is read as a list of marker genes" in caplog.text) == bool(genes)


def test_lost_labels_are_asked_about_by_name(tiny_model: BioVerse) -> None:
    with pytest.warns(UserWarning, match=r"Did you mean GC: \w.* or .*\?"):
        read_labels(["GC", "B cell", "Zorblax"], tiny_model)


def test_genes_that_the_data_lack_are_warned_about(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    labels = {"odd": ["OR4F5"], "B cell": "", "NK cell": ""}
    with pytest.warns(UserWarning, match="odd: OR4F5.*For odd none is left"):
        done = sb.tl.annotate(cells, model=tiny_model, labels=labels, method="nearest", copy=True)
    table = sb.get.labels(done).set_index("name")
    assert table.loc["odd", "genes"] == "OR4F5"
    assert table.loc["B cell", "genes"] == table.loc["B cell", "because"] == ""


def test_company_stands_in_the_table_and_the_log(
    cells: ad.AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(), caplog.at_level("INFO", "scbioverse"):
        warnings.simplefilter("ignore")
        done = sb.tl.annotate(cells, model=tiny_model, labels=["HSC", "Hepatocyte", "B"], method="nearest", copy=True)
    table = sb.get.labels(done).set_index("name")
    assert table.loc["HSC", "cl_id"] == "CL:0000632"
    assert table.loc["HSC", "because"] == "Hepatocyte (liver)"
    assert "HSC -> CL:0000632 (hepatic stellate cell) because of Hepatocyte (liver)" in caplog.text


def test_beside_what_holds_it_a_label_has_to_show_the_genes_given_for_it(tiny_model: BioVerse) -> None:
    labels = read_labels({"T": "CL:0000084", "Exhausted T": ["PDCD1"], "odd": ["CD19"]}, tiny_model)
    shown = {"|PDCD1": [0.5, -0.1], "|CD19": [-0.1, -0.1]}

    def evidence(keys: list[str]) -> np.ndarray:
        return np.array([shown[one] for one in keys], np.float32).T

    batch = Batch(tiny_model, np.zeros((2, 1, 4), np.float32), evidence=evidence)
    assert _unshown(batch, labels, {"weight": 1.0}).tolist() == [[False] * 3, [False, True, False]]
    assert not _unshown(batch, labels, {"weight": 0.0}).any()


def test_what_is_given_decides_not_a_letter_that_stands_for_it(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    genes: dict[str, Any] = {"A": ["MS4A1", "CD79A"], "D": ["LYZ", "CD14"], "E": ["CD3D", "CD3E"]}
    said = {"A": "B lymphocytes, which carry immunoglobulin", "D": "monocytes of the blood", "E": "killer cells"}
    for labels in (genes, said):
        done = sb.tl.annotate(cells, model=tiny_model, labels=labels, method="nearest", rationale=None, copy=True)
        assert sb.get.labels(done)["cl_id"].isna().all()
    # Nor do such letters speak for other names.
    found = read_labels({**genes, "PP": "", "B": "CL:0000236"}, tiny_model)
    assert [one.cl_id for one in found][:3] == [None, None, None]


@pytest.mark.parametrize(
    ("name", "meaning", "cl_id"),
    [
        ("NK", ["NKG7", "GNLY"], "CL:0000623"),
        ("T", "a lymphocyte with a T cell receptor", "CL:0000084"),
        ("B", ["MS4A1", "CD79A"], "CL:0000236"),
        ("B", ["LYZ", "CD14"], None),
        ("T", "natural killer cells", "CL:0000084"),  # both are lymphocytes
        ("T", "hepatocytes of the liver", None),
        ("1: NK cell", ["NKG7", "GNLY"], "CL:0000623"),
        ("pDC", ["GNLY"], None),
    ],
)
def test_a_name_counts_where_it_says_the_same(tiny_model: BioVerse, name: str, meaning: Any, cl_id: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_labels({name: meaning, "hepatocyte": ""}, tiny_model)
    assert found[0].cl_id == cl_id


def test_a_name_that_says_another_type_is_warned_of(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    labels = {"Mono": ["CD3D", "CD3E"], "B": ""}
    with pytest.warns(UserWarning, match=r"labels\['Mono'\] is no monocyte here.*none of the genes given is a marker"):
        done = sb.tl.annotate(cells, model=tiny_model, labels=labels, method="nearest", rationale=None, copy=True)
    assert sb.get.labels(done).set_index("name").loc["Mono", "cl_id"] is None


@pytest.mark.parametrize(
    "text",
    ["GNLY NKG7", "GNLY/NKG7", "GNLY | NKG7", "gnly, nkg7", "Gnly;Nkg7", "GNLY and NKG7", "GNLY+ NKG7+", "GNLY & NKG7"],
)
def test_genes_in_a_text(cells: ad.AnnData, tiny_model: BioVerse, text: str) -> None:
    labels = {"a": text, "T": "CL:0000084"}
    done = sb.tl.annotate(cells, model=tiny_model, labels=labels, method="nearest", rationale=None, copy=True)
    assert sb.get.labels(done)["genes"].tolist() == ["GNLY, NKG7", ""]


@pytest.mark.parametrize("text", ["rest", "set and met", "a cell that kills", "NK", "CD4/CD8"])
def test_words_that_are_genes_too_stay_words(tiny_model: BioVerse, text: str) -> None:
    assert read_labels({"a": text, "T": "CL:0000084"}, tiny_model)[0].genes == ()


@pytest.mark.parametrize("meaning", ["GNLY+ NKG7+ CD3D-", ["GNLY", "NKG7", "CD3D-"]])
def test_genes_that_cells_lack_are_refused(cells: ad.AnnData, tiny_model: BioVerse, meaning: Any) -> None:
    said = r"labels\['a'\] names genes that cells lack: \['CD3D-'\].*give \['GNLY', 'NKG7'\]"
    with pytest.raises(sb.errors.InputError, match=said):
        sb.tl.annotate(cells, model=tiny_model, labels={"a": meaning, "T": ""}, method="nearest")

from __future__ import annotations

import numpy as np
import pytest

from scbioverse.explain.check import read_claims
from scbioverse.explain.gene_mentions import gene_mentions
from scbioverse.explain.support import judge
from scbioverse.knowledge import load_genes
from scbioverse.knowledge.sentences import split_sentences

# A question mark: the sentence is not understood.
SIGN = {"high": "+", "low": "~", "absent": "-", None: "?"}


def read(text: str, *names: str) -> str:
    return " ".join(claim.said + SIGN[claim.direction] for claim in read_claims(text, own=names))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("CD3D and CD3E are high, whereas MS4A1 is low.", "CD3D+ CD3E+ MS4A1~"),
        ("These cells lack CD3D, CD3E and CD8A but express MS4A1.", "CD3D- CD3E- CD8A- MS4A1+"),
        ("MS4A1 but not CD3D is expressed.", "MS4A1? CD3D?"),
        ("They express MS4A1, not CD3D.", "MS4A1? CD3D?"),
        ("LYZ and CD14 are not expressed.", "LYZ- CD14-"),
        ("High levels of LYZ and low levels of CD3E were seen.", "LYZ? CD3E?"),
        ("Neither CD3D nor CD3E was detected.", "CD3D- CD3E-"),
        ("CD3+CD4-CD8+ cells", "CD3? CD4? CD8?"),
        ("They are CD3+CD4-CD8+ cells.", "CD3+ CD4- CD8+"),
        ("CD3D is low and MS4A1 and CD79A are expressed.", "CD3D~ MS4A1+ CD79A+"),
        ("They do not express LYZ or CD14, and they show MS4A1.", "LYZ? CD14? MS4A1?"),
        ("They do not express LYZ or CD14, and they express MS4A1.", "LYZ- CD14- MS4A1+"),
        ("They are negative for CD3D and are positive for MS4A1.", "CD3D- MS4A1+"),
        ("NKG7 expression is absent.", "NKG7-"),
        ("CD14 is expressed at low levels.", "CD14?"),
        ("They express CD14 at low levels.", "CD14?"),
        ("no LYZ, no CD14 and strong MS4A1", "LYZ? CD14? MS4A1?"),
        ("Cells that lack CD3D are high in LYZ.", "CD3D? LYZ?"),
        ("not only CD3D but also CD3E is expressed", "CD3D? CD3E?"),
        ("FCGR3A high, CD14 low", "FCGR3A? CD14?"),
        ("MS4A1 does not mark them.", "MS4A1?"),
        ("LYZ is not detected in these cells, which express MS4A1.", "LYZ? MS4A1?"),
        ("These CD14 monocytes are LYZ-positive and CD3E-negative.", "LYZ? CD3E?"),
        ("They don't express CD3D.", "CD3D-"),
        ("CD3D is not absent.", "CD3D?"),
        ("CD56dim CD16bright cells", "CD56? CD16?"),
        ("They lack CD3D and MS4A1 is high.", "CD3D- MS4A1+"),
        ("INS", "INS?"),
    ],
)
def test_directions(text: str, wanted: str) -> None:
    assert read(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "THE CAT WAS SET ON THE REST OF THE CELL AND HAD IMPACT IN MICE.",
        "It WAS the REST of the CELL types that had an IMPACT on the SET in MICE, not the CAT.",
        "The cat was set on the rest; not all mice were large, and the impact was high.",
        "These are CD4 T cells, CD14 monocytes and CD8-positive, alpha-beta T cells.",
        "TH17 cells, ILC2, M2 macrophages in G2M phase of COVID-19, day 3, UMAP1, GSE96583.",
        "No marker of B cell is known, so none was checked.",
    ],
)
def test_words_and_labels_are_no_claims(text: str) -> None:
    assert read(text) == ""


def test_everyday_words_count_among_genes() -> None:
    assert read("They express CAT, IL7R and REST.") == "CAT+ IL7R+ REST+"
    assert read("CAT (98 % of these cells, 1 % of others) marks B cell.", "B cell") == "CAT+"
    assert read("IMPACT expression is low.") == "IMPACT~"
    assert read("They are SET+ cells.") == "SET+"


def test_older_names_families_and_proteins() -> None:
    found = {one.said: one.genes for one in gene_mentions("CD20, CD3, HLA-DR, Ki-67, Cd79a and CD62L; perforin.")}
    assert found["CD20"] == ("MS4A1",)
    assert found["CD3"] == ("CD3D", "CD3E", "CD3G")
    assert {"HLA-DRA", "HLA-DRB1"} <= set(found["HLA-DR"])
    assert found["Ki-67"] == ("MKI67",)
    assert found["Cd79a"] == ("CD79A",)
    assert found["CD62L"] == ("SELL",)
    assert "perforin" not in found  # no table has it


def test_given_labels_are_no_claims() -> None:
    assert read("LYZ (90 %, 5 %) marks FCGR3A+ Mono.", "FCGR3A+ Mono") == "LYZ+"
    assert read("LYZ marks FCGR3A+ Mono.") == "LYZ? FCGR3A?"
    assert read("CD1C marks DC.", "DC") == "CD1C+"
    # A label that is a gene and nothing else hides no claim about that gene.
    assert read("MS4A1 is high.", "MS4A1") == "MS4A1+"


def test_unknown_genes_are_claims_that_cannot_be_checked() -> None:
    claims = read_claims("FOOB77 and ZORBLAX (98 % of these cells, 1 % of others) are high.")
    assert [(claim.said, claim.genes) for claim in claims] == [("FOOB77", ()), ("ZORBLAX", ())]
    assert judge(claims[0], {}) == ("not measured", "FOOB77")
    assert read("These cells express ZORBLAX.") == "ZORBLAX+"
    assert read("ZORBLAX marks them.") == "ZORBLAX+"


@pytest.mark.parametrize("form", ["{g} marks them.", "CD3D and {g} are high.", "They express {g}.", "{g}+ cells",
                                  "{g} (98 % of these cells, 2 % of others) marks B cell."])  # fmt: skip
def test_every_symbol_is_found_in_plain_sentences(form: str) -> None:
    rng = np.random.default_rng(0)
    for gene in rng.choice(load_genes().symbols, 300, replace=False):
        assert str(gene) in {one for claim in read_claims(form.format(g=gene)) for one in claim.genes}, gene


def test_percentages() -> None:
    claim = read_claims("CD79A (98 % of these cells, <1 % of others) marks B cell.")[0]
    assert (claim.percent_in, claim.percent_out) == (98.0, 1.0)


def test_sentences() -> None:
    assert split_sentences("CD3D, e.g. here, is high. LYZ is low!\nEnd") == [
        "CD3D, e.g. here, is high.", "LYZ is low!", "End",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("MS4A1 marks these cells. They express CD79A.", "MS4A1+ CD79A+"),
        ("These are B cells. They express CD79A.", "CD79A+"),
        ("The neighbours are T cells. They express CD3D.", "CD3D?"),
        ("CD3D marks T cells. It is high. CD3E marks these cells.", "CD3D? CD3E+"),
        ("There is no evidence that\nCD3D marks these cells.", "CD3D?"),
        ("None of this holds:\nCD3D marks these cells.\nCD3E is high.", "CD3D? CD3E?"),
        ("MS4A1 marks these cells.\nCD79A is high.", "MS4A1+ CD79A+"),
        ("\ue000 and CD79A mark these cells. \ue000 marks \ue002.", "CD79A?"),
    ],
)
def test_what_stands_before_counts(text: str, wanted: str) -> None:
    assert read(text, "B cell") == wanted

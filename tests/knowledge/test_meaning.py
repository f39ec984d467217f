"""What words mean of cells: names, genes, descriptions, what joins them, and nothing."""

from __future__ import annotations

import numpy as np
import pytest

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.genes import gene_summaries
from scbioverse.knowledge.meaning import described_labels, meaning_of
from scbioverse.knowledge.phrases import general_texts
from scbioverse.knowledge.said_of_terms import stem, stems

LABELS = {
    "plasma cell": "CL:0000786", "NK cell": "CL:0000623", "CD8 T cell": "CL:0000625", "monocyte": "CL:0000576",
    "erythrocyte": "CL:0000232", "beta cell": "CL:0000169", "alpha cell": "CL:0000171", "mast cell": "CL:0000097",
    "platelet": "CL:0000233", "hepatocyte": "CL:0000182", "B cell": "CL:0000236", "neuron": "CL:0000540",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("B cells", "B cell"),
        ("B cells or NK cells", "(B cell) or (natural killer cell)"),
        ("B cells and NK cells", "(B cell) or (natural killer cell)"),
        ("CD4 and CD8 T cells", "(CD4-positive, alpha-beta T cell) or (CD8-positive, alpha-beta T cell)"),
        ("not T cells", "not (T cell)"),
        ("everything but neurons", "not (neuron)"),
        ("non-immune cells", "not (leukocyte)"),
        ("non-classical monocytes", "non-classical monocyte"),
        ("classical monocytes", "classical monocyte, CD14-positive monocyte"),
        ("neither T cells nor B cells", "not ((T cell) or (B cell))"),
        ("T cells but not CD8 T cells", "(T cell) and (not (CD8-positive, alpha-beta T cell))"),
        ("cells expressing CD3D", "cells that express CD3D"),
        ("cells that do not express CD3D", "not (cells that express CD3D)"),
        ("CD14+ cells", "cells that express CD14"),
        ("monocytes that express FCGR3A", "(monocyte) and (cells that express FCGR3A)"),
        ("T cells expressing CD8A or CD8B", "(T cell) and ((cells that express CD8A) or (cells that express CD8B))"),
        ("NKG7 but not CD3D", "(cells that express NKG7) and (not (cells that express CD3D))"),
        ("macrophages of a tumour", "macrophage"),
    ],
)
def test_names_genes_and_what_joins_them(text: str, said: str) -> None:
    assert str(meaning_of(text)).replace("not not", "not") in (said, f"not {said}")


@pytest.mark.parametrize(
    ("text", "best"),
    [
        ("cells that make antibodies", "plasma cell"),
        ("cells that transport oxygen", "erythrocyte"),
        ("cells that make glucagon", "alpha cell"),
        ("cells that release histamine", "mast cell"),
        ("cells that kill infected cells and viruses", "NK cell"),
    ],
)
def test_descriptions(text: str, best: str) -> None:
    meaning = meaning_of(text)
    assert meaning.how == "description"
    held = described_labels(meaning, list(LABELS.values()))
    assert list(LABELS)[int(held.argmax())] == best
    assert held.max() == 1
    assert (held == 0).sum() >= len(LABELS) / 2


@pytest.mark.parametrize(
    "text", ["my grandmother's bicycle", "stock prices", "prison cells", "cells of my spreadsheet", "", "?!", "xyzzy"]
)
def test_nothing(text: str) -> None:
    assert meaning_of(text).op in ("nothing", "terms")
    assert str(meaning_of(text)) in ("", "any cell")


def test_everyday_sentences_mean_nothing() -> None:
    linked = [one for one in general_texts()[::6] if meaning_of(one).how == "description"]
    assert linked == []


def test_a_part_that_means_nothing_takes_the_whole_with_it() -> None:
    assert meaning_of("T cells but not bicycles of wood").op == "nothing"


def test_words_that_were_not_needed_are_told() -> None:
    assert meaning_of("macrophages of a tumour").left_out() == "of a tumour"


def test_stems() -> None:
    assert len({stem(one) for one in ("antibody", "antibodies")}) == 1
    assert stems("cells that secrete") == stems("secreting cells") == stems("secretory cells")
    assert stems("the cells of") == []


def test_summaries_of_genes() -> None:
    does = gene_summaries()
    assert "cytotoxic granules" in does["GNLY"]
    assert len(does) > 14_000
    assert all(text.endswith(".") and "\t" not in text for text in list(does.values())[:500])


def test_labels_are_weighed_alike_in_any_order() -> None:
    meaning, labels = meaning_of("cells that make antibodies"), list(LABELS.values())
    held = described_labels(meaning, labels)
    np.testing.assert_allclose(described_labels(meaning, labels[::-1]), held[::-1])
    assert set(labels) <= set(load_ontology())

"""Short and spoken wordings: what may be left out of a question, and what may not."""

from __future__ import annotations

import numpy as np
import pytest

import scbioverse as sb
from benchmarks.ask import made


@pytest.fixture(scope="module")
def talk():
    adata, _, options = made("cells")
    return sb.Chat(adata, model="none-is-loaded", reader="rules", **options)


@pytest.fixture(scope="module")
def truths():
    return made("cells")[1]


NUMBERS = {
    "so, how many of the B cells are there?": lambda t: t["is_"]("B").sum(),
    "mean raw count of LYZ in B cells": lambda t: t["x"]("LYZ")[t["is_"]("B")].mean(),
    "average number of GNLY UMIs per NK cell": lambda t: t["x"]("GNLY")[t["is_"]("NK")].mean(),
    "mean HLA-DRA in B cells": lambda t: t["x"]("HLA-DRA")[t["is_"]("B")].mean(),
    "avg mito % in NK cells": lambda t: t["t"].pct_mito[t["is_"]("NK")].mean(),
    "how many T cells in which neither CD4 nor CD8A was detected?": lambda t: (
        t["is_"]("T") & ~t["e"]("CD4") & ~t["e"]("CD8A")
    ).sum(),
}


@pytest.mark.parametrize("question", NUMBERS)
def test_the_number_is_that_of_pandas(talk, truths, question):
    talk.clear()
    answer = talk.ask(question)
    assert answer.computed
    assert float(answer.value) == pytest.approx(float(np.asarray(NUMBERS[question](truths))), rel=1e-5)


@pytest.mark.parametrize(
    "question",
    [
        "how many cells have an even number of genes?",
        "how many cells express LYZ then CD3D?",
        "sum of GNLY UMIs per NK cell",
        "average UMIs per T cell type",
        "raw B cells",
        "mean HLA-DRZ in B cells",
    ],
)
def test_what_is_nearly_the_same_is_refused(talk, question):
    talk.clear()
    assert not talk.ask(question).computed


def test_another_gene_takes_the_place_of_the_one_measured(talk, truths):
    talk.clear()
    talk.ask("mean LYZ in monocytes")
    assert talk.ask("what about S100A9?").value == pytest.approx(truths["x"]("S100A9")[truths["is_"]("Mono")].mean())
    talk.ask("mean LYZ in CD3D+ cells")
    assert not talk.ask("what about S100A9?").computed  # which of the two?

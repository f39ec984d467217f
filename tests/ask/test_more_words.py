"""Other words for the same, and words that say more than a query holds: these stay refused."""

from __future__ import annotations

import numpy as np
import pytest

import scbioverse as sb
from tests.ask._asked import asked, talk

NUMBERS = {
    "cells | thx, how many B cells took part?": lambda t: t["is_"]("B").sum(),
    "cells | how many cells total?": lambda t: len(t["t"]),
    "cells | I'm looking at the stim arm. How many NK cells are there?": lambda t: (
        t["is_"]("NK") & (t["t"].condition == "stim")
    ).sum(),
    "cells | What is the avergae pct_mito?": lambda t: t["t"].pct_mito.mean(),
    "cells | whcih share of total cells are T cells": lambda t: t["is_"]("T").mean(),
    "cells | B cells as a percentage of all cells": lambda t: t["is_"]("B").mean(),
    "cells | How many cells have above 500 and below 900 genes?": lambda t: t["t"].n_genes.between(501, 899).sum(),
    "cells | how many cells survive if I keep n_genes > 1000?": lambda t: (t["t"].n_genes > 1000).sum(),
    "cells | How many B cells have undetectable MS4A1?": lambda t: (t["is_"]("B") & ~t["e"]("MS4A1")).sum(),
    "cells | How many T cells if we exclude CD8 T cells?": lambda t: t["is_"]("CD4").sum(),
    "cells | How many cells are there in this cohort? I want to drop them.": lambda t: len(t["t"]),
    "cells | How many donors contributed more than 114 B cells?": lambda t: (
        (t["t"].donor[t["is_"]("B")].value_counts() > 114).sum()
    ),
    "cells | How many donors have more than 2000 B cells?": lambda t: 0,
    "cells | number of stim cells that arent B cells": lambda t: (
        ((t["t"].condition == "stim") & ~t["is_"]("B")).sum()
    ),
    "cells | Which donors have more than 114 B cells? | How many clusters have more than 300 cells?": lambda t: (
        (t["t"].leiden.value_counts() > 300).sum()
    ),
    "cells | How many donors have more than 114 B cells? | And NK cells?": lambda t: (
        (t["t"].donor[t["is_"]("NK")].value_counts() > 114).sum()
    ),
    "cells | How many different cell types occur in donor1?": lambda t: (
        t["t"].cell_type[t["t"].donor == "donor1"].nunique()
    ),
    "study | how many cells are from donors aged 60 and over?": lambda t: (t["s"].age >= 60).sum(),
    "study | What's the doublet rate?": lambda t: t["s"].predicted_doublet.mean(),
    "study | what is the oldest age": lambda t: t["s"].age.max(),
    "molecules | how many are halogen-free?": lambda t: (t["v"][["F", "Cl", "Br", "I"]].sum(axis=1) == 0).sum(),
    "molecules | How many entries pass all of Lipinski's criteria?": lambda t: t["v"].five.sum(),
    "proteins | How many entries are 100 residues or shorter?": lambda t: (t["p"].length <= 100).sum(),
}  # fmt: skip
REFUSED = """cells | How many QC-passing cells are there? | How many viable cells? | How many donors survived?
cells | How many cells do I lose if I keep cells with above 500 genes? | How many donors responded? | any QC hits?
cells | I'm looking at smokers. How many B cells are there? | I want to drop donor1. How many cells are left?
cells | We are working with the first batch: how many cells are there? | T cells minus B cells | DE genes in B cells
cells | How many patients recovered? | How many cells have a nucleus? | How many T cells together with B cells?
cells | Which gene has the highest median expression in NK cells? | top 5 genes in NK cells by median expression
cells | what rank does NK have by number of cells | B cells as a percentage of T cells
cells | How many differentially expressed genes between ctrl and stim?
molecules | How many hits contain fluorine? | How many violate all of Lipinski's criteria? | How many are drug-free?"""
TRAPS = [f"{name} | {one}" for name, *some in (line.split(" | ") for line in REFUSED.splitlines()) for one in some]


@pytest.mark.parametrize("line", NUMBERS)
def test_the_number_is_that_of_pandas(line):
    answer, truths = asked(line)
    assert answer.computed
    assert float(answer.value) == pytest.approx(float(np.asarray(NUMBERS[line](truths))), rel=1e-5)


@pytest.mark.parametrize(
    ("question", "kind", "n"),
    [
        ("top 5 genes in NK cells by mean expression", "NK", 5),
        ("What's the top gene in B cells by mean expression?", "B", 1),
        ("Which three genes have the highest mean expression in the DCs?", "DC", 3),
        ("List 4 genes with the highest expression in NK cells", "NK", 4),
    ],
)
def test_genes_are_ranked_by_their_mean_and_as_many_are_named_as_asked_for(question, kind, n):
    answer, truths = asked(f"cells | {question}")
    of_kind = truths["is_"](kind).to_numpy()
    adata = sb.datasets.pbmc3k()
    adata = adata[adata.obs["cell_type"].astype(str) != "unassigned"]
    means = np.asarray(adata.X[of_kind].mean(axis=0)).ravel()
    assert answer.value == list(adata.var_names[np.argsort(-means, kind="stable")[:n]])


@pytest.mark.parametrize("line", TRAPS)
def test_what_says_more_than_the_data_is_refused(line):
    assert not asked(line)[0].computed


def test_names_of_the_data_go_before_words_that_fill():
    adata = sb.datasets.pbmc3k()[:300].copy()
    adata.obs["status"] = ["recovered", "enrolled", "acute"] * 100
    adata.obs["cohort"] = ["one", "two"] * 150
    assert sb.tl.ask(adata, "How many cells are enrolled?", groupby="cell_type", reader="rules").value == 100
    assert not sb.tl.ask(adata, "How many cells are in this cohort?", groupby="cell_type", reader="rules").computed
    chat = talk("cells")[0]
    chat.clear()
    assert chat.ask("How many B cells are in this cohort?").computed
    assert not chat.ask("How many T cells are in this cohort?").computed  # all, or those of the question before?

"""Kinds of question that an author who saw no rule asked: each as a form of its own, in several wordings."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ask._asked import asked


def _gap(t, gene, first, second):
    return t["e"](gene)[t["is_"](first)].mean() - t["e"](gene)[t["is_"](second)].mean()


def _of(t, name):
    return t["t"]["sample"] == name


NUMBERS = {
    # Quantiles, linear between two values as in pandas.
    "cells | What is the 75th percentile of n_genes?": lambda t: t["t"].n_genes.quantile(0.75),
    "cells | upper quartile of pct_mito in B cells": lambda t: t["t"].pct_mito[t["is_"]("B")].quantile(0.75),
    "cells | What is the 0.9 quantile of n_umi among T cells?": lambda t: t["t"].n_umi[t["is_"]("T")].quantile(0.9),
    "cells | 95% quantile of n_umi": lambda t: t["t"].n_umi.quantile(0.95),
    "cells | second decile of n_umi": lambda t: t["t"].n_umi.quantile(0.2),
    "molecules | 25th percentile of TPSA": lambda t: t["v"].tpsa.quantile(0.25),
    # What two sides differ by.
    "cells | By how many percentage points is GNLY found more often in NK cells than in CD8 T cells?": lambda t: _gap(
        t, "GNLY", "NK", "CD8 T"
    ),
    "cells | How many percentage points more B cells than NK cells express HLA-DRA?": lambda t: _gap(
        t, "HLA-DRA", "B", "NK"
    ),
    "cells | By how much does the mean n_genes of monocytes exceed that of B cells?": lambda t: (
        t["t"].n_genes[t["is_"]("Mono")].mean() - t["t"].n_genes[t["is_"]("B")].mean()
    ),
    "cells | How much higher is the median n_umi in DCs than in platelets?": lambda t: (
        t["t"].n_umi[t["is_"]("DC")].median() - t["t"].n_umi[t["is_"]("Platelet")].median()
    ),
    "molecules | By how much is morphine heavier than aspirin?": lambda t: t["v"].w["morphine"] - t["v"].w["aspirin"],
    "molecules | How much heavier is morphine than aspirin?": lambda t: t["v"].w["morphine"] - t["v"].w["aspirin"],
    "molecules | What's the weight difference between morphine and aspirin?": lambda t: (
        t["v"].w["morphine"] - t["v"].w["aspirin"]
    ),
    # What is left out.
    "cells | If I drop all cells above 5 % mito, what percentage of cells would I lose?": lambda t: (
        (t["t"].pct_mito > 5).mean()
    ),
    "cells | How many cells would I lose if I dropped cells with more than 1500 genes?": lambda t: (
        (t["t"].n_genes > 1500).sum()
    ),
    "cells | What fraction of cells do we lose if we keep only cells with under 4 % mito?": lambda t: (
        (~(t["t"].pct_mito < 4)).mean()
    ),
    "molecules | What share of the drugs would we lose by requiring Lipinski's rule of five?": lambda t: (
        (~t["v"].five).mean()
    ),
    # Sums.
    "cells | How many UMIs are there in total?": lambda t: t["t"].n_umi.sum(),
    "cells | In total, how many UMIs were counted?": lambda t: t["t"].n_umi.sum(),
    "cells | What's the total UMI count of the monocytes?": lambda t: t["t"].n_umi[t["is_"]("Mono")].sum(),
    "proteins | What's the combined length of all secreted proteins?": lambda t: (
        t["p"].length[t["place"]("secreted")].sum()
    ),
    "cells | What is the sum of all UMIs in donor3?": lambda t: t["t"].n_umi[t["t"].donor == "donor3"].sum(),
    "proteins | Total number of residues over all hormones?": lambda t: t["p"].length[t["o"].kind == "hormone"].sum(),
    # Several groups as one.
    "cells | How many B and NK cells are there combined?": lambda t: (t["is_"]("B") | t["is_"]("NK")).sum(),
    "cells | Taken together, how many DCs and platelets are in stim?": lambda t: (
        (t["is_"]("DC") | t["is_"]("Platelet")) & (t["t"].condition == "stim")
    ).sum(),
    # Two genes at once.
    "cells | How many CD79A/MS4A1 double positives are there?": lambda t: (t["e"]("CD79A") & t["e"]("MS4A1")).sum(),
    "cells | How many CD4 CD8A double negative T cells are there?": lambda t: (
        t["is_"]("T") & ~t["e"]("CD4") & ~t["e"]("CD8A")
    ).sum(),
    # Words made of a group's name.
    "kang | How many cells are there after stimulation?": lambda t: _of(t, "STIM").sum(),
    "kang | What share of monocytes express CXCL10 after stimulation?": lambda t: (
        t["e"]("CXCL10")[t["is_"]("Mono") & _of(t, "STIM")].mean()
    ),
    "kang | How many unstimulated B cells are there?": lambda t: (t["is_"]("B") & _of(t, "CTRL")).sum(),
    # Bounds that a verb says.
    "molecules | How many compounds exceed a molecular weight of 400?": lambda t: (t["v"].w > 400).sum(),
    "molecules | How many of the launched drugs stay under a logP of 2?": lambda t: (
        (t["v"].logp < 2) & (t["o"].phase == "launched")
    ).sum(),
    "proteins | How many proteins exceed a length of 100 residues?": lambda t: (t["p"].length > 100).sum(),
    "proteins | How many proteins weigh in above 10 kDa?": lambda t: (t["p"].kda > 10).sum(),
    # Follow-ups.
    "kang | How many B cells express ISG15? | and IFI6 as well?": lambda t: (
        t["is_"]("B") & t["e"]("ISG15") & t["e"]("IFI6")
    ).sum(),
    "kang | How many T cells are there? | Only those from STIM?": lambda t: (t["is_"]("T") & _of(t, "STIM")).sum(),
    "kang | How many B cells are there? | How many of them express ISG15 as well?": lambda t: (
        t["is_"]("B") & t["e"]("ISG15")
    ).sum(),
    "cells | NK cells: what percentage express both GNLY and NKG7?": lambda t: (
        (t["e"]("GNLY") & t["e"]("NKG7"))[t["is_"]("NK")].mean()
    ),
}  # fmt: skip


@pytest.mark.parametrize("line", NUMBERS)
def test_the_number_is_that_of_pandas(line):
    answer, truths = asked(line)
    assert answer.computed, answer.text
    assert float(answer.value) == pytest.approx(float(np.asarray(NUMBERS[line](truths))), rel=1e-5)


def _turn(t, first, second, values=None):
    sides = [
        (
            t["t"].cell_type[_of(t, one)].value_counts()
            if values is None
            else values[_of(t, one)].groupby(t["t"].cell_type).mean()
        )
        for one in (first, second)
    ]
    return [(sides[0].reindex(sides[1].index) - sides[1]).idxmax()]


NAMES = {
    "cells | Rank the four commonest cell types": lambda t: t["t"].cell_type.value_counts().index[:4],
    "proteins | Which two proteins are the shortest?": lambda t: t["p"].length.nsmallest(2).index,
    "molecules | Which three beta blockers are the heaviest?": lambda t: (
        t["v"].w[t["o"]["class"] == "beta blocker"].nlargest(3).index
    ),
    "molecules | Which is the most lipophilic antidepressant, going by logP?": lambda t: [
        t["v"].logp[t["o"]["class"] == "antidepressant"].idxmax()
    ],
    "molecules | Which of caffeine, aspirin and morphine has the largest polar surface area?": lambda t: [
        t["v"].tpsa[["caffeine", "aspirin", "morphine"]].idxmax()
    ],
    "molecules | Of caffeine, aspirin and morphine, which is the lightest?": lambda t: [
        t["v"].w[["caffeine", "aspirin", "morphine"]].idxmin()
    ],
    "proteins | Which protein has the highest proportion of cysteine?": lambda t: [(t["p"].C / t["p"].length).idxmax()],
    "kang | Which cell type loses the most cells from CTRL to STIM?": lambda t: _turn(t, "CTRL", "STIM"),
    "kang | Which cell type falls the most in number from CTRL to STIM?": lambda t: _turn(t, "CTRL", "STIM"),
    "kang | Which cell type gains the most cells from CTRL to STIM?": lambda t: _turn(t, "STIM", "CTRL"),
    "kang | In which cell type does the mean n_umi rise the most between CTRL and STIM?": lambda t: _turn(
        t, "STIM", "CTRL", t["t"].n_umi
    ),
    "kang | Which cell type shows the largest drop in mean n_umi from CTRL to STIM?": lambda t: _turn(
        t, "CTRL", "STIM", t["t"].n_umi
    ),
    # The share is of the control cells of a type, not of all its cells.
    "kang | Which cell type has the biggest share of ISG15 positive cells in CTRL?": lambda t: [
        t["e"]("ISG15")[_of(t, "CTRL")].groupby(t["t"].cell_type).mean().idxmax()
    ],
    "cells | Which of the genes CD3D, CD4 and IFNB1 were measured?": lambda t: [
        one for one in ("CD3D", "CD4", "IFNB1") if one in t["genes"]
    ],
}  # fmt: skip


@pytest.mark.parametrize("line", NAMES)
def test_these_are_named_and_no_others(line):
    answer, truths = asked(line)
    assert answer.computed, answer.text
    assert sorted(answer.value) == sorted(NAMES[line](truths))


@pytest.mark.parametrize(
    "question",
    [
        "percentage of cells per cell type in stim",
        "What is the percentage of each cell type in stim?",
        "What percent of the stim cells does each cell type make up?",
        "In stim, what percentage of cells is in each cell type?",
    ],
)
def test_a_share_of_each_type_in_a_condition_is_what_that_condition_is_made_of(question):
    answer, truths = asked(f"cells | {question}")
    stim = truths["t"].cell_type[truths["t"].condition == "stim"]
    assert answer.value == pytest.approx(stim.value_counts(normalize=True).to_dict())
    assert answer.text.startswith("Cells condition = stim, by cell_type:")


def test_a_breakdown_as_counts_has_counts_for_its_value():
    answer, truths = asked("cells | Give me a breakdown of donor2 by cell type, as counts")
    assert answer.value == truths["t"].cell_type[truths["t"].donor == "donor2"].value_counts().to_dict()


@pytest.mark.parametrize(
    ("line", "yes"),
    [
        ("cells | Are CD3E and LYZ both among the measured genes?", True),
        ("cells | Are the genes PF4 and IFNB1 present?", False),
        ("cells | Is FOXP3 measured?", True),
        ("cells | Do stim and ctrl have the same number of B cells?", False),
    ],
)
def test_yes_or_no(line, yes):
    answer, _ = asked(line)
    assert answer.value is yes
    assert answer.text.startswith("Yes" if yes else "No")


@pytest.mark.parametrize(
    "question",
    [
        "Which genes distinguish NK cells from the rest?",
        "Marker genes for NK cells versus everything else",
        "What sets NK cells apart from all other cells?",
        "Which genes are higher in NK cells than in all other cells?",
    ],
)
def test_markers_are_against_the_rest(question):
    answer, _ = asked(f"cells | {question}")
    assert answer.kind == "markers"
    assert {"GNLY", "NKG7"} <= {one for some in answer.value.values() for one in some}


def test_the_rest_is_the_other_side():
    answer, truths = asked("cells | Is LYZ detected more often in monocytes than in the rest?")
    seen, mono = truths["e"]("LYZ"), truths["is_"]("Mono")
    assert answer.value is bool(seen[mono].mean() > seen[~mono].mean())


def test_what_type_it_is_is_asked_of_the_group_that_was_found():
    answer, _ = asked("cells | Which cluster has the highest mean GNLY? | And what cell type is it?")
    assert answer.value == ["NK"]


REFUSED = """cells | Which is the 0th percentile of n_genes? | What is the 120th percentile of n_genes?
cells | What's the interquartile range of n_genes? | How many UMIs in total per cell?
cells | total counts of B cells | Which cell type falls the most from ctrl to stim?
cells | Which of CD3D and FOXP3X are measured? | How many cells would be removed by a filter of pct_mito > 3?
cells | How many B cells in donor1 versus the rest? | How many cells are there after treatment?
cells | By how many percentage points is the mean n_genes higher in stim than in ctrl? | before stimulation
cells | How many cells do I lose? | typical number of genes in B cells
cells | How many cells would I lose with more than 5 % mito?
molecules | Which molecule has the highest proportion of nitrogen?"""


@pytest.mark.parametrize(
    "line", [f"{row.split(' | ')[0]} | {one}" for row in REFUSED.splitlines() for one in row.split(" | ")[1:]]
)
def test_what_has_no_single_meaning_is_refused(line):
    answer, _ = asked(line)
    assert not answer.computed, answer.text


# One question for forms that no set of questions meets.
OTHERS = {
    "molecules | aspirin logP": lambda t: t["v"].logp["aspirin"],
    "cells | Is the mean n_genes above 500 in B cells?": lambda t: t["t"].n_genes[t["is_"]("B")].mean() > 500,
    "molecules | Which of caffeine and aspirin is heavier?": lambda t: [t["v"].w[["caffeine", "aspirin"]].idxmax()],
    "cells | In which cell types do more than half of the cells express NKG7?": lambda t: sorted(
        name for name, share in t["e"]("NKG7").groupby(t["t"].cell_type).mean().items() if share > 0.5
    ),
    "cells | In which cell types is the mean n_genes higher in stim than in ctrl?": lambda t: sorted(
        name
        for name, some in t["t"].groupby("cell_type")
        if some.n_genes[some.condition == "stim"].mean() > some.n_genes[some.condition == "ctrl"].mean()
    ),
    "cells | How many B cells does donor1 have compared to donor2?": lambda t: {
        one: (t["is_"]("B") & (t["t"].donor == one)).sum() for one in ("donor1", "donor2")
    },
    "cells | Are there more B cells or NK cells?": lambda _: ["B"],
    "cells | Do NK cells occur only in cluster 6?": lambda _: True,
    "cells | Compare the number of B cells and NK cells": lambda t: {one: t["is_"](one).sum() for one in ("B", "NK")},
    "cells | What proportion of all cells does donor1 account for?": lambda t: (t["t"].donor == "donor1").mean(),
    "cells | From which donors are B cells absent?": lambda _: [],
    "cells | What is the ratio of mean n_umi between monocytes and B cells?": lambda t: (
        t["t"].n_umi[t["is_"]("Mono")].mean() / t["t"].n_umi[t["is_"]("B")].mean()
    ),
    "cells | percentage per cell type": lambda t: t["t"].cell_type.value_counts(normalize=True).to_dict(),
}  # fmt: skip


@pytest.mark.parametrize("line", OTHERS)
def test_forms_that_no_set_of_questions_meets(line):
    answer, truths = asked(line)
    want = OTHERS[line](truths)
    assert answer.computed, answer.text
    found = sorted(answer.value) if isinstance(want, list) else answer.value
    assert found == (pytest.approx(want) if not isinstance(want, list | bool) else want)

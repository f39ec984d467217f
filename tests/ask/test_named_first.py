"""What is named before the question, rows that are narrowed, groups that are counted, and two numbers with a sign."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ask._asked import asked

VALUES = {
    # A share is of what is named first.
    "cells | Of the cells positive for GNLY, what percentage are NK cells?": lambda t: t["is_"]("NK")[
        t["e"]("GNLY")
    ].mean(),
    "cells | Of the cells negative for CD3D, which fraction carries the label B?": lambda t: t["is_"]("B")[
        ~t["e"]("CD3D")
    ].mean(),
    "cells | What share of NK cells is positive for GNLY?": lambda t: t["e"]("GNLY")[t["is_"]("NK")].mean(),
    # A number is asked for, and no row that has it.
    "cells | Among platelets, the lowest UMI count is what?": lambda t: t["t"].n_umi[t["is_"]("Platelet")].min(),
    "cells | In NK cells, the highest n_umi?": lambda t: t["t"].n_umi[t["is_"]("NK")].max(),
    "cells | Subtract the number of B cells from the number of T cells": lambda t: (
        t["is_"]("T").sum() - t["is_"]("B").sum()
    ),
    "cells | number of T cells divided by number of B cells": lambda t: t["is_"]("T").sum() / t["is_"]("B").sum(),
    "cells | mean n_umi of DCs minus mean n_umi of NK cells, what do I get?": lambda t: (
        t["t"].n_umi[t["is_"]("DC")].mean() - t["t"].n_umi[t["is_"]("NK")].mean()
    ),
    "proteins | How many times longer is histoneH4 than glucagon?": lambda t: (
        t["p"].length["histoneH4"] / t["p"].length["glucagon"]
    ),
    "cells | How many cells have 1000 to 2000 genes, inclusive?": lambda t: t["t"].n_genes.between(1000, 2000).sum(),
    "cells | how many cells express CD3D | only those with CD8A?": lambda t: (t["e"]("CD3D") & t["e"]("CD8A")).sum(),
    "cells | what fraction of B cells express CD3D | only those with LYZ?": lambda t: t["e"]("CD3D")[
        t["is_"]("B") & t["e"]("LYZ")
    ].mean(),
    "cells | how many B cells are in donor1 | only those in donor2?": lambda t: (
        t["is_"]("B") & (t["t"].donor == "donor2")
    ).sum(),
    "cells | which clusters are mostly CD4 T cells? | how many cells are in these clusters?": lambda t: (
        t["t"].leiden.isin(t["most_of"]("CD4")).sum()
    ),
}
NAMED = {
    "cells | Which of the three donors has the fewest monocytes?": lambda t: [
        t["is_"]("Mono").groupby(t["t"].donor).sum().idxmin()
    ],
    "cells | Among the 8 clusters, which has the most cells?": lambda t: [t["t"].leiden.value_counts().idxmax()],
    "proteins | list the proteins with more than 100 residues | Only those without tryptophan?": lambda t: list(
        t["p"].index[(t["p"].length > 100) & (t["p"].W == 0)]
    ),
    "molecules | which drugs contain chlorine | only the launched ones": lambda t: list(
        t["v"].index[(t["v"].Cl > 0) & (t["o"].phase == "launched")]
    ),
}
REFUSED = {
    "cells | Which of the four donors has the fewest monocytes?": "holds 3",
    "cells | How many cells have more than 2000 UMIs inclusive?": "two ways",
    "cells | How many cells have between 2000 and 2500 UMIs, exclusive?": "exclusive",
    "cells | How many live cells are in donor1?": "live",
    "cells | How many cells express CD3D instead of CD8A?": "instead of",
    "cells | How many T cells express CD3D and vice versa?": "versa",
    "cells | How many B cells and T cells are in ctrl and stim respectively?": "respectively",
    "cells | mean n_umi of B cells divided by mean n_genes of B cells": "divided by",
    "molecules | the 5 heaviest drugs | only those with chlorine": "two ways",
}


@pytest.mark.parametrize("line", VALUES)
def test_the_number_is_that_of_pandas(line: str) -> None:
    answer, truths = asked(line)
    assert answer.computed, answer.text
    assert answer.value == pytest.approx(float(np.asarray(VALUES[line](truths))), rel=1e-6)


@pytest.mark.parametrize("line", NAMED)
def test_the_names_are_those_of_pandas(line: str) -> None:
    answer, truths = asked(line)
    assert answer.computed, answer.text
    assert sorted(answer.value) == sorted(map(str, NAMED[line](truths)))


@pytest.mark.parametrize("line", REFUSED)
def test_what_carries_meaning_is_not_passed_over(line: str) -> None:
    answer, _ = asked(line)
    assert not answer.computed
    assert REFUSED[line] in answer.text


def test_each_of_two_is_counted_by_itself() -> None:
    answer, truths = asked("cells | In donor1 and donor2, how many B cells are there, respectively?")
    counts = truths["is_"]("B").groupby(truths["t"].donor).sum()
    assert answer.value == counts[["donor1", "donor2"]].to_dict()

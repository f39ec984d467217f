"""Fewer than ten cells on either side: no p, and the reason says so. Genes that the user gave decide as known ones."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.explain.reasons import reasons

NAMES = ["B", "CD14+ Mono", "NK"]
IDS = ["CL:0000236", "CL:0001054", "CL:0000623"]
ALONE = "Too few cells for a test: judged by the size of the difference alone."
OF_THOSE = "Too few of those cells for a test: judged by the size of the difference alone."


@cache
def blood() -> Any:
    adata = sb.datasets.pbmc3k()
    return adata[adata.obs["cell_type"].isin(NAMES).to_numpy()][::3].copy()


def some(**most: int) -> Any:
    """Real cells, of each type at most so many."""
    kind = blood().obs["cell_type"].astype(str)
    place = kind.groupby(kind).cumcount()
    return blood()[(place < kind.map(most).fillna(60)).to_numpy()].copy()


def told(adata: Any, ids: list[str | None], given: list[list[str]] | None = None) -> Any:
    codes = np.array([NAMES.index(one) for one in adata.obs["cell_type"].astype(str)])
    probability = np.full((adata.n_obs, len(NAMES)), 0.01, np.float32)
    probability[np.arange(len(codes)), codes] = 0.9
    for code, rival in ((0, 2), (2, 0), (1, 0)):
        probability[codes == code, rival] = 0.08
    return reasons(adata, NAMES, ids, codes, log_probs=np.log(probability), given=given or ())


@pytest.mark.parametrize("many", [False, True], ids=["in memory", "over blocks"])
def test_what_was_not_tested_has_no_p(many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if many:
        monkeypatch.setattr("scbioverse.explain.reasons.SAMPLE_CELLS", 10)
    found = told(some(B=4), IDS)
    of_b = found.table[found.table["label"] == "B"]
    assert set(of_b["n_in"]) == {4}
    assert len(of_b) > 1
    assert of_b["p"].isna().all()
    assert (of_b["verdict"] == "supported").all()
    # What was tested keeps its p.
    others = found.table[(found.table["label"] != "B") & (found.table["against"] == "")]
    assert (others["p"] < 0.01).all()
    assert found.sentences[0].count(ALONE) == 1


def test_the_check_of_a_text_gives_no_p_either() -> None:
    table = sb.explain.check(some(B=4), "CD79A marks these cells.", groupby="cell_type", group="B")
    assert (table["verdict"].item(), table["n_in"].item()) == ("supported", 4)
    assert np.isnan(table["p"].item())
    assert sb.explain.check(some(B=10), "CD79A marks these cells.", groupby="cell_type", group="B")["p"].item() < 0.01


def test_a_comparison_with_few_cells_says_so() -> None:
    found = told(some(B=2), IDS)
    assert "Rather than B: " in found.sentences[2]
    assert found.sentences[2].endswith(OF_THOSE)
    assert ALONE not in found.sentences[2]
    row = found.table[(found.table["label"] == "NK") & (found.table["against"] == "B")]
    assert row["n_out"].item() == 2
    assert np.isnan(row["p"].item())
    whole = told(some(), IDS)
    assert not any("Too few" in one for one in whole.sentences)
    # What is said is read back and holds.
    table = sb.explain.check(some(B=2), found.sentences[2], groupby="cell_type", group="NK")
    assert (table["verdict"] == "supported").all()


def test_genes_that_the_user_gave_tell_two_labels_apart() -> None:
    given = [["MS4A1", "CD79A"], ["LYZ", "CD14"], ["NKG7"]]
    found = told(some(), [None, None, None], given)
    assert not any("no known marker of either" in one for one in found.sentences)
    assert "Rather than NK: " in found.sentences[0]
    rows = found.table[found.table["against"] != ""].set_index("label")
    assert set(rows["gene"]) <= {gene for one in given for gene in one}
    assert set(rows["kind"]) == {"given"}
    assert set(rows["source"]) == {"given by you"}
    plain = told(some(), [None, None, None])
    assert all("no known marker of either tells the two apart" in one for one in plain.sentences)


def test_given_genes_decide_in_annotate() -> None:
    adata = some()
    labels = {"one": ["MS4A1", "CD79A"], "two": ["LYZ", "CD14"], "three": ["NKG7", "GNLY"]}
    sb.tl.annotate(adata, labels=labels, rationale="template")
    said = adata.obs["bioverse_rationale"].astype(str)
    assert said.str.contains("Rather than ").any()
    assert not said.str.contains("no known marker of either").any()

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.explain.check import check, read_claims
from scbioverse.explain.reasons import reasons
from scbioverse.explain.support import runners_up

NAMES = ["B", "CD14+ Mono", "FCGR3A+ Mono", "NK"]
IDS = ["CL:0000236", "CL:0001054", "CL:0002396", "CL:0000623"]
BEYOND = "Rather than FCGR3A+ Mono: FCGR3A in 15 % of these cells, 98 % of those."


@cache
def blood() -> Any:
    adata = sb.datasets.pbmc3k()
    return adata[adata.obs["cell_type"].isin(NAMES).to_numpy()][::2].copy()


def told(names: list[str], rival: dict[str, str], adata: Any) -> Any:
    codes = np.array([names.index(one) for one in adata.obs["cell_type"].astype(str)])
    probability = np.full((adata.n_obs, len(names)), 0.01, np.float32)
    probability[np.arange(len(codes)), codes] = 0.9
    for one, other in rival.items():
        probability[codes == names.index(one), names.index(other)] = 0.08
    return reasons(adata, names, IDS, codes, log_probs=np.log(probability)), codes


def test_the_next_label_is_the_most_probable_of_those_that_cells_have() -> None:
    log_probs = np.log(np.array([[0.5, 0.1, 0.4], [0.6, 0.1, 0.3], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6]]))
    # The third label has no cells: it is no rival; the last row is called something that is no candidate.
    assert runners_up(log_probs, np.array([0, 0, 1, 3])) == {0: 1, 1: 0}
    assert runners_up(log_probs, np.array([0, 0, 1, 2])) == {0: 2, 1: 0, 2: 0}
    assert runners_up(log_probs[:, :2], np.array([0, 0, 0, -1])) == {}


def test_the_deciding_gene_is_measured_on_the_two_and_passes_check() -> None:
    adata = blood()
    rival = {"CD14+ Mono": "FCGR3A+ Mono", "FCGR3A+ Mono": "CD14+ Mono", "B": "NK", "NK": "B"}
    found, _ = told(NAMES, rival, adata)
    values, label = adata.X.toarray() > 0, adata.obs["cell_type"].astype(str).to_numpy()
    rows = found.table[found.table["against"] != ""]
    assert dict(zip(rows["label"], rows["against"], strict=True)) == rival
    for one in rows.itertuples():
        gene = values[:, adata.var_names.get_loc(one.gene)]
        assert one.fraction_in == pytest.approx(gene[label == one.label].mean())
        assert one.fraction_out == pytest.approx(gene[label == one.against].mean())
        assert (one.n_in, one.n_out) == ((label == one.label).sum(), (label == one.against).sum())
        assert (one.direction == "high") == (one.fraction_in > one.fraction_out)
    assert set(rows.loc[rows["label"].str.contains("Mono"), "gene"]) == {"FCGR3A"}
    for name, text in zip(NAMES, found.sentences, strict=True):
        assert f"Rather than {rival[name]}: " in text
        table = check(adata, text, groupby="cell_type", group=name)
        assert list(table["gene"]) == list(found.table.loc[found.table["label"] == name, "gene"])
        assert (table["verdict"] == "supported").all(), table


def test_where_no_known_marker_decides_it_is_said() -> None:
    adata = blood()
    half = adata[adata.obs["cell_type"] == "B"].copy()
    # One type under two names: nothing can tell them apart but chance.
    half.obs["cell_type"] = np.where(np.arange(half.n_obs) % 2, "B", "NK").astype(object)
    found, _ = told(NAMES, {"B": "NK", "NK": "B"}, half)
    assert found.sentences[0].endswith("NK comes next; no known marker of either tells the two apart.")
    assert (found.table["against"] == "").all()


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (BEYOND, "supported"),
        (BEYOND.replace("15 %", "70 %"), "contradicted"),
        (BEYOND.replace("15 %", "98 %").replace("98 % of those", "15 % of those"), "contradicted"),
        (BEYOND.replace("FCGR3A+ Mono", "B"), "contradicted"),
        (BEYOND.replace("FCGR3A+ Mono", "megakaryocytes"), "not checked"),
        (BEYOND.replace("FCGR3A in", "FOOB77 in"), "not measured"),
        (f"There is no sign that\n{BEYOND}", "not checked"),
    ],
)
def test_a_comparison_is_read_and_tested_against_the_cells_it_names(text: str, verdict: str) -> None:
    table = check(blood(), text, groupby="cell_type", group="CD14+ Mono")
    assert list(table["verdict"]) == [verdict]


def test_they_are_others_after_a_comparison() -> None:
    claims = read_claims(f"{BEYOND} They express CD14.", own=["CD14+ Mono"], against=["FCGR3A+ Mono"])
    assert [one.direction for one in claims] == ["low", None]

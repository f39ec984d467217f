"""Columns whose rows hold several values: counts, shares, lists and groups against pandas that splits by itself."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb

pytest.importorskip("rdkit")

REMARK = "may hold several values and counts for each"


def holds(column: pd.Series, value: str) -> pd.Series:
    """Which rows hold a value: written here, not by the package."""
    return column.map(lambda one: isinstance(one, str) and value in [part.strip() for part in one.split("|")])


@pytest.fixture
def drugs() -> ad.AnnData:
    """Return thirty alkanes: 24 for oncology, of these 6 by themselves."""
    areas = ["oncology"] * 6 + ["oncology|cardiology"] * 10 + ["pain|oncology"] * 8 + ["pain"] * 4 + ["cardiology"] * 2
    table = pd.DataFrame({"smiles": ["C" * n for n in range(1, 31)], "area": areas})
    table.index = [f"drug{n}" for n in range(30)]
    return sb.pp.molecules(table)


def as_lists(adata: ad.AnnData, kind: type) -> ad.AnnData:
    made = adata.copy()
    made.obs["area"] = pd.Series([kind(one.split("|")) for one in adata.obs["area"]], index=adata.obs_names)
    return made


def ask(adata: ad.AnnData, question: str, modality: str = "molecule", **options: Any) -> Any:
    return sb.tl.ask(adata, question, modality=modality, model="no-such-model", reader="rules", **options)


def test_a_row_of_several_values_counts_for_each(drugs: ad.AnnData) -> None:
    area = drugs.obs["area"]
    n = int(holds(area, "oncology").sum())
    assert n == 24
    answer = ask(drugs, "Which drugs are for oncology?")
    assert answer.evidence["row"].tolist() == drugs.obs_names[holds(area, "oncology")].tolist()
    assert answer.text.startswith("Molecules area = oncology: 24 of 30: ")
    assert REMARK in answer.text
    for question in ("How many drugs are for pain?", "What share of the drugs is for pain?"):
        counted = ask(drugs, question)
        assert counted.evidence["n"].tolist() == [int(holds(area, "pain").sum())]
        assert counted.evidence["fraction"].tolist() == pytest.approx([holds(area, "pain").mean()])
        assert REMARK in counted.text


def test_groups_are_single_values(drugs: ad.AnnData) -> None:
    table = ask(drugs, "How many groups are there in area?").evidence.set_index("group")
    for value in ("oncology", "cardiology", "pain"):
        assert table.loc[value, "n"] == holds(drugs.obs["area"], value).sum()
        assert table.loc[value, "fraction"] == pytest.approx(holds(drugs.obs["area"], value).mean())
    assert len(table) == 3
    said = ask(drugs, "What is the area of the drugs?").text
    assert "by area: oncology 24 (80.0 %)" in said


def test_two_values_are_counted_as_the_word_between_says(drugs: ad.AnnData) -> None:
    area = drugs.obs["area"]
    both = holds(area, "oncology") & holds(area, "cardiology")
    either = holds(area, "oncology") | holds(area, "cardiology")
    assert not ask(drugs, "How many are for oncology and cardiology?").computed  # for each, or for both?
    assert ask(drugs, "How many are for both oncology and cardiology?").evidence["n"].tolist() == [int(both.sum())]
    assert ask(drugs, "How many are for oncology or cardiology?").evidence["n"].tolist() == [int(either.sum())]


@pytest.mark.parametrize("kind", [list, tuple, set, np.array])
def test_lists_are_read_as_values(drugs: ad.AnnData, kind: Any) -> None:
    made = as_lists(drugs, kind)
    answer = ask(made, "Which drugs are for oncology?")
    assert answer.evidence["row"].tolist() == drugs.obs_names[holds(drugs.obs["area"], "oncology")].tolist()
    assert REMARK in answer.text
    assert "oncology" in ask(made, "What is the area of drug7?").text


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_any_kind_of_text_column(drugs: ad.AnnData, dtype: Any) -> None:
    made = drugs.copy()
    made.obs["area"] = pd.Series([*drugs.obs["area"][:29], None], index=drugs.obs_names, dtype=object).astype(dtype)
    assert ask(made, "How many drugs are for oncology?").evidence["n"].tolist() == [24]
    assert ask(made, "How many drugs are for cardiology?").evidence["n"].tolist() == [11]


def test_names_that_merely_hold_a_semicolon_stay_whole() -> None:
    names = ["poly(A;B)", "blend (C;D)", "water", "water"] * 5
    table = pd.DataFrame({"smiles": ["C" * n for n in range(1, 21)], "kind": names})
    drugs = sb.pp.molecules(table)
    answer = ask(drugs, "How many groups are there in kind?")
    assert sorted(answer.evidence["group"]) == ["blend (C;D)", "poly(A;B)", "water"]
    assert REMARK not in answer.text
    whole = ask(drugs, "How many are water?")
    assert whole.evidence["n"].tolist() == [10]
    assert REMARK not in whole.text


def test_a_name_within_a_longer_value_is_no_row() -> None:
    action = ["dopamine receptor agonist|opioid", "opioid", "dopamine receptor agonist"]
    table = pd.DataFrame({"smiles": ["NCCc1ccc(O)c(O)c1", "CCO", "CCC"], "moa": action})
    table.index = ["dopamine", "ethanol", "propane"]
    answer = ask(sb.pp.molecules(table), "Which are dopamine receptor agonists?")
    assert answer.evidence["row"].tolist() == ["dopamine", "propane"]
    about = ask(sb.pp.molecules(table), "What is the weight of dopamine?")
    assert about.evidence["row"].tolist() == ["dopamine"]


def test_the_name_of_the_column_may_be_the_verb() -> None:
    table = pd.DataFrame({"smiles": ["CCO", "CCC", "CCCC"], "target": ["DRD2|HTR1A", "DRD2", "HTR1A"]})
    answer = ask(sb.pp.molecules(table), "How many drugs target DRD2?")
    assert answer.evidence["n"].tolist() == [2]


def test_cells_of_several_labels() -> None:
    adata = sb.datasets.pbmc3k()[::27].copy()
    rng = np.random.default_rng(0)
    states = rng.choice(["healthy", "infected", "infected|treated", "treated"], adata.n_obs)
    adata.obs["state"] = pd.Categorical(states)
    n = int(holds(adata.obs["state"].astype(object), "infected").sum())
    assert n > (states == "infected").sum()
    for question in ("How many cells are infected?", "What fraction of the cells is infected?"):
        answer = ask(adata, question, modality="cell", groupby="state")
        assert answer.evidence["n"].tolist() == [n]
        assert REMARK in answer.text
    X = adata.X.toarray()[:, adata.var_names.get_loc("LYZ")]
    inside = holds(adata.obs["state"].astype(object), "infected").to_numpy()
    express = ask(adata, "Which fraction of infected cells expresses LYZ?", modality="cell", groupby="state")
    assert express.evidence[["n", "n_in"]].to_numpy().tolist() == [[int((X[inside] > 0).sum()), n]]
    groups = ask(adata, "How many groups are there?", modality="cell", groupby="state").evidence.set_index("group")["n"]
    assert groups.to_dict() == {
        one: int(holds(adata.obs["state"].astype(object), one).sum()) for one in ("healthy", "infected", "treated")
    }
    adata.obs["state"] = pd.Series([one.split("|") for one in states], index=adata.obs_names)
    lists = ask(adata, "How many cells are infected?", modality="cell", groupby="state")
    assert lists.evidence["n"].tolist() == [n]


def test_single_values_are_counted_as_before() -> None:
    adata = sb.datasets.pbmc3k()[::27].copy()
    answer = ask(adata, "How many B cells are there?", modality="cell", groupby="cell_type")
    assert answer.evidence["n"].tolist() == [int((adata.obs["cell_type"] == "B").sum())]
    assert REMARK not in answer.text


def test_proteins_of_several_places() -> None:
    table = pd.DataFrame(
        {"sequence": ["MKV", "MKL", "MKI", "MKA"], "place": ["nucleus; cytosol", "nucleus", "cytosol", "membrane"]},
        index=["p1", "p2", "p3", "p4"],
    )
    answer = ask(sb.pp.proteins(table), "Which proteins are in the nucleus?", modality="protein")
    assert answer.evidence["row"].tolist() == ["p1", "p2"]
    assert REMARK in answer.text


@pytest.mark.parametrize(
    ("values", "question", "n"),
    [
        (["oncology|pain", "Oncology", "ONCOLOGY", "pain", "pain"], "How many drugs are for oncology?", 3),
        (
            ["breast cancer", "Breast-cancer", "breast_cancer", "pain", "pain"],
            "How many drugs are for breast cancer?",
            3,
        ),
        (["lung  cancer|pain", "pain|lung cancer", "pain", "pain", "gout"], "What share is for Lung cancer?", 2),
    ],
)
def test_one_value_written_in_several_ways_is_counted_in_all_of_them(values: list[str], question: str, n: int) -> None:
    obs = pd.DataFrame({"smiles": ["C" * n for n in range(1, 11)], "area": [*values, *values]})
    adata = sb.pp.molecules(obs)
    answer = ask(adata, question)
    assert answer.evidence["n"].tolist() == [2 * n]
    assert "all are counted" in answer.text


def test_cells_of_a_group_written_in_two_ways_are_counted_together() -> None:
    adata = sb.datasets.pbmc3k()[::27].copy()
    natural = adata.obs["cell_type"] == "NK"
    said = np.where(np.arange(adata.n_obs) % 2, "NK Cells", "NK cells")
    adata.obs["type"] = pd.Categorical(np.where(natural, said, "other"))
    adata.obs.loc[adata.obs_names[natural][0], "type"] = "NK Cells"
    adata.obs.loc[adata.obs_names[natural][1], "type"] = "NK cells"
    answer = ask(adata, "How many NK cells are there?", modality="cell", groupby="type")
    assert answer.evidence["n"].tolist() == [int(natural.sum())]
    assert "'NK Cells', 'NK cells': all are counted" in answer.text


@pytest.mark.parametrize("joined", ["oncology, pain", "oncology / pain", "pain and oncology"])
def test_values_that_may_be_several_are_named_where_they_are_not_counted(joined: str) -> None:
    obs = pd.DataFrame(
        {"smiles": ["C" * n for n in range(1, 11)], "area": ["oncology", "oncology", joined, "a", "b"] * 2}
    )
    answer = ask(sb.pp.molecules(obs), "How many drugs are for oncology?")
    assert answer.evidence["n"].tolist() == [4]
    assert f"{joined!r} in obs['area'] is not counted" in answer.text
    assert "'a|b'" in answer.text


def test_short_names_are_told_apart_by_their_case() -> None:
    adata = sb.datasets.pbmc3k()[::27].copy()
    adata.obs["type"] = pd.Categorical(["b", "B", "B", "T"] * 25)
    answer = ask(adata, "How many B cells are there?", modality="cell", groupby="type")
    assert answer.evidence["n"].tolist() == [50]
    assert "all are counted" not in answer.text

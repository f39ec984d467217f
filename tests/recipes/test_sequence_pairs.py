"""Training pairs of molecules and proteins: nothing held out is trained on, and every text can be traced."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from recipes.bioverse_small.protein_clusters import families, kmers, split_families
from scbioverse import datasets
from scbioverse.errors import OfflineError

RNG = np.random.default_rng(0)
AMINO = list("ACDEFGHIKLMNPQRSTVWY")


def fetched(name: str) -> pd.DataFrame:
    try:
        return pd.read_csv(datasets.fetch(name), sep="\t", dtype=str).fillna("")
    except OfflineError:
        pytest.skip(f"{name} is not in the cache")


def changed(sequence: str, fraction: float) -> str:
    letters = np.array(list(sequence))
    places = RNG.random(len(letters)) < fraction
    letters[places] = RNG.choice(AMINO, int(places.sum()))
    return "".join(letters)


def test_families_link_relatives_through_each_other():
    first = "".join(RNG.choice(AMINO, 300))
    second = changed(first, 0.3)
    third = changed(second, 0.3)
    strangers = ["".join(RNG.choice(AMINO, 300)) for _ in range(20)]
    found = families([first, *strangers, second, third, "MK"])
    assert len({found[0], found[21], found[22]}) == 1
    assert len(np.unique(found)) == 22


def test_kmers_leave_out_what_is_no_residue():
    assert len(kmers("ACDEFGH")) == 3
    assert len(kmers("ACDXFGH")) == 0
    assert len(kmers("AC")) == 0


def test_families_stay_whole_and_large_ones_train():
    family = np.repeat(np.arange(400), RNG.integers(1, 6, 400))
    family = np.concatenate([family, np.full(150, 400)])
    split = split_families(family, dev=0.1, test=0.1, seed=0)
    assert pd.DataFrame({"f": family, "s": split}).groupby("f")["s"].nunique().max() == 1
    assert set(split[family == 400]) == {"train"}
    assert 0.08 < (split == "test").mean() <= 0.1
    assert 0.08 < (split == "dev").mean() <= 0.1
    np.testing.assert_array_equal(split, split_families(family, dev=0.1, test=0.1, seed=0))


def test_cytochrome_b_is_one_family():
    table = fetched("proteins_with_text")
    cytochromes = table.loc[table["name"] == "Cytochrome b", "sequence"]
    others = table.loc[table["name"] != "Cytochrome b", "sequence"].sample(600, random_state=0)
    found = families([*cytochromes, *others])
    assert len(cytochromes) == 307
    assert len(set(found[:307])) == 1
    assert (found[307:] == found[0]).sum() < 20


def test_protein_texts_are_traceable_and_shippable():
    from recipes.bioverse_small import proteins

    row = {
        "name": "Kinase X", "function": "Phosphorylates Y. [provided by Z] Found everywhere.", "ec": "2.7.11.1",
        "ec_name": "", "location": "Cell membrane", "membrane": "membrane", "go_cc": "cellular_component; nucleus",
        "go_mf": "hydrolase activity; hydrolase activity, acting on ester bonds; binding", "go_bp": "",
    }  # fmt: skip
    counts = {
        "go_mf": {"hydrolase activity": 9, "hydrolase activity, acting on ester bonds": 1},
        "go_cc": {},
        "go_bp": {},
    }
    found = proteins.sentences(row, counts, np.random.default_rng(0))
    assert set(found) == {"name", "function", "ec", "location", "membrane", "go_mf", "go_cc"}
    assert "a transferase" in found["ec"]
    assert found["go_mf"].count("hydrolase") == 1
    assert found["function"].endswith("Phosphorylates Y. Found everywhere.")
    assert "component;" not in found["go_cc"]
    assert proteins.sentences(row, counts, np.random.default_rng(0)) == found
    dubious = row | {"name": "Uncharacterized protein", "function": "Dubious open reading frame"}
    assert not {"name", "function"} & set(proteins.sentences(dubious, counts, np.random.default_rng(0)))


def test_protein_pairs(monkeypatch: pytest.MonkeyPatch):
    from recipes.bioverse_small import proteins

    table = fetched("proteins_with_text").query("informative == '1'").sample(600, random_state=1).reset_index(drop=True)
    table.insert(0, "row", table.index)
    table["family"] = families(table["sequence"].tolist())
    table["split"] = split_families(table["family"].to_numpy(), dev=0.1, test=0.1, seed=0)
    table["shippable"] = table["ship"] == "1"
    proteins.term_counts.cache_clear()
    monkeypatch.setattr(proteins, "proteins", lambda: table)
    shipped = proteins.pairs("train")
    assert (table.loc[shipped["row"], "ship"] == "1").all()
    assert len(proteins.pairs("train", shipped=False)) > len(shipped)
    assert not set(shipped["family"]) & set(proteins.pairs("test")["family"])
    two = proteins.pairs("train", variants=2)
    assert len(two) == 2 * len(shipped)
    assert (two["text"][two["variant"] == 0].to_numpy() == shipped["text"].to_numpy()).all()
    assert (two.groupby("row")["text"].nunique() == 2).mean() > 0.5
    proteins.term_counts.cache_clear()


def test_captions():
    pytest.importorskip("rdkit")
    from recipes.bioverse_small.molecules import caption, listed

    assert listed(["phenols", "ester", "17-oxo steroid"]) == "a member of phenols, an ester and a 17-oxo steroid"
    assert caption("A β-lactam that is\n x.", ["EC 1.1 inhibitor"], ["ester", "virus"]) == (
        "The molecule is a beta-lactam that is x. It has a role as an EC 1.1 inhibitor. It is an ester and a virus."
    )


@pytest.mark.slow
def test_no_held_out_molecule_trains():
    """Both forms of every development and test molecule, rebuilt captions included, against every training molecule."""
    pytest.importorskip("rdkit")
    from recipes.bioverse_small import molecules
    from scbioverse.pp._smiles import parse_smiles

    rebuilt, real = fetched("chebi_smiles_definitions"), fetched("chebi20_open")
    train, dev = molecules.pairs("train"), molecules.pairs("dev")
    held = [*rebuilt.loc[rebuilt["split_chebi20"] == "test", "smiles"], *real.loc[real["split"] == "test", "SMILES"]]
    held += dev["smiles"].tolist()
    for salts in ("keep", "largest"):
        barred = {one.canonical for one in parse_smiles(held, salts=salts)}
        column = "canonical" if salts == "keep" else "parent"
        assert len(barred) > 2000
        assert not barred & set(train[column])
    fresh = parse_smiles(train["smiles"].sample(300, random_state=0), salts="keep")
    assert [one.canonical for one in fresh] == train.loc[
        train["smiles"].sample(300, random_state=0).index, "canonical"
    ].tolist()
    allowed = set(rebuilt.loc[rebuilt["split_chebi20"] == "train", "chebi_id"])
    allowed |= set("CID:" + real.loc[real["split"] == "train", "CID"])
    assert set(train["row"]) <= allowed
    assert set(molecules.pairs("test")["source"]) == {"chebi20_open"}
    assert len(molecules.pairs("test")) == 1800

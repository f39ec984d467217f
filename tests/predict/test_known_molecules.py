"""Molecules of a reference are read once, and are the same as read anew."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

Chem = pytest.importorskip("rdkit.Chem")

from scbioverse.pp._molecule_properties import related  # noqa: E402
from scbioverse.predict import known_molecules as module  # noqa: E402
from scbioverse.predict.known_molecules import known_molecules  # noqa: E402
from scbioverse.predict.neighbours import fingerprints, greatest  # noqa: E402

SMILES = [
    "C[C@H](N)C(=O)O", "C/C=C\\C", "", "no smiles", "N.N.Cl[Pt]Cl", "[Na+].CC(=O)[O-]", "c1ccccc1O", "C[C@H](N)C(=O)O",
]  # fmt: skip


def table(smiles: list[str] = SMILES) -> ad.AnnData:
    return ad.AnnData(obs=pd.DataFrame({"smiles": smiles}, index=[f"m{i}" for i in range(len(smiles))]))


def test_molecules_and_fingerprints_are_those_of_the_column() -> None:
    known = known_molecules(table(), "smiles")
    assert [one is None for one in known] == [one in ("", "no smiles") for one in SMILES]
    assert Chem.MolToSmiles(known[0]) == "C[C@H](N)C(=O)O"
    assert Chem.MolToSmiles(known[1]) == "C/C=C\\C"
    # Counter-ions are left out, complexes are whole.
    assert Chem.MolToSmiles(known[5]) == "CC(=O)[O-].[Na+]"
    assert [one.GetNumHeavyAtoms() for one in list(known)[6:]] == [7, 6]
    np.testing.assert_array_equal(known.fingerprints(), fingerprints(table(), "smiles"))


def test_one_reference_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read = module.parse_smiles
    monkeypatch.setattr(module, "parse_smiles", lambda texts: reads.append(1) or read(texts))
    module._known.cache_clear()
    first = known_molecules(table(), "smiles")
    assert known_molecules(table(), "smiles") is first
    assert known_molecules(table(SMILES[:4]), "smiles") is not first
    assert reads == [1, 1]


def test_the_greatest_are_those_of_a_whole_sort() -> None:
    rng = np.random.default_rng(0)
    for levels in (3, 40, 10_000):  # of few levels many are equal: the first of them count
        values = rng.integers(levels, size=(50, 400)).astype(np.float32)
        values[0, 5] = -np.inf
        for k in (1, 7, 60):
            np.testing.assert_array_equal(greatest(values, k), np.argsort(-values, axis=1, kind="stable")[:, :k])


def test_what_is_taken_apart_is_not_remarked_on(capfd: pytest.CaptureFixture[str]) -> None:
    # Hydrogen in place of an iodine with three bonds.
    related(Chem.MolFromSmiles("CC(=O)OI(OC(C)=O)c1ccccc1"))
    assert "valence" not in capfd.readouterr().err

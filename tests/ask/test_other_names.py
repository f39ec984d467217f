"""Columns and properties of molecules and proteins asked for in other words."""

from __future__ import annotations

import pandas as pd
import pytest

import scbioverse as sb

pytest.importorskip("rdkit")


def test_mechanism_of_action_finds_moa_and_properties_are_computed() -> None:
    table = pd.DataFrame(
        {
            "smiles": ["CCO", "CC(C)NCC(O)COc1cccc2ccccc12", "CC(C)NCC(O)COc1cccc2[nH]ccc12"],
            "moa": ["solvent", "beta blocker", "beta blocker"],
        },
        index=["ethanol", "propranolol", "pindolol"],
    )
    drugs = sb.pp.molecules(table)

    def said(question: str) -> str:
        return str(sb.tl.ask(drugs, question, modality="molecule", model="none", reader="rules"))

    assert said("What is the mechanism of action of propranolol?") == "propranolol: moa beta blocker."
    assert "46.0419 Da" in said("What is the exact mass of ethanol?")
    assert said("Which has the highest QED?").startswith("propranolol (0.84)")
    proteins = sb.pp.proteins({"bradykinin": "RPPGFSPFR", "acidic": "MDDDEEE"})
    answer = str(sb.tl.ask(proteins, "Which has the lowest isoelectric point?", modality="protein", model="none"))
    assert answer.startswith("acidic")

"""A model of several modalities where the package that one of them needs is not installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.encoders.compact import CompactCellEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.llm import Backbone
    from scbioverse.models import BioVerse

HIDDEN = ("rdkit", "fcd_torch")


@pytest.fixture
def both(model: BioVerse, tiny_backbone: Backbone, tmp_path: Path) -> Path:
    """A saved model of cells and molecules, made where all packages were there."""
    pytest.importorskip("rdkit")
    pytest.importorskip("fcd_torch")
    from scbioverse.encoders import ChemNetEncoder

    made = sb.models.extend(model, ChemNetEncoder(), hidden=8, rng=0)
    return made.save(tmp_path / "both")


@pytest.fixture
def hidden(both: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and from now on neither rdkit nor fcd-torch can be imported or found."""
    for name in [one for one in sys.modules if one.split(".")[0] in HIDDEN] + list(HIDDEN):
        monkeypatch.setitem(sys.modules, name, None)
    return both


def described(folder: Path) -> bytes:
    return (folder / "encoders" / "molecule" / "encoder.json").read_bytes()


def test_what_was_loaded_can_be_saved(
    hidden: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sb.models.load(hidden, llm=str(tiny_llm))
    again = model.save(tmp_path / "again")
    assert described(again) == described(hidden)
    assert sb.models.load(again, llm=str(tiny_llm)).fingerprint() == model.fingerprint()
    monkeypatch.undo()
    encoder = sb.models.load(again, llm=str(tiny_llm)).encoders["molecule"]
    assert encoder.fingerprint() == model.config.encoders["molecule"].fingerprint


def test_tuned_and_aligned_models_can_be_saved(hidden: Path, tiny_llm: Path, tmp_path: Path) -> None:
    cells = sb.datasets.toy_cells(n_obs=60, n_genes=200)
    model = sb.models.load(hidden, llm=str(tiny_llm))
    tuned = sb.tl.tune(cells, text_key="cell_type", model=model, steps=1, batch_size=2, rank=2, rng=0)
    aligned = sb.tl.align(cells, text_key="cell_type", model=model, start="model", steps=1, rng=0)
    for name, made in (("tuned", tuned), ("aligned", aligned)):
        folder = made.save(tmp_path / name)
        assert described(folder) == described(hidden)
        assert sb.models.load(folder, llm=str(tiny_llm)).modalities == ["cell", "molecule"]


def test_models_are_put_together_and_taken_apart(hidden: Path, tiny_llm: Path, tmp_path: Path) -> None:
    from scbioverse.models.edit import only

    model = sb.models.load(hidden, llm=str(tiny_llm))
    three = sb.models.extend(model, sb.encoders.KmerEncoder(), hidden=8)
    molecules, cells = only(three, ["molecule"]), only(three, ["cell"])
    joined = sb.models.join(cells, molecules)
    assert joined.modalities == ["cell", "molecule"]
    for name, made in (("three", three), ("molecules", molecules), ("joined", joined), ("copy", model.copy())):
        assert described(made.save(tmp_path / name)) == described(hidden)
    assert joined.fingerprint() == model.fingerprint()
    assert "| molecule encoder | `chemnet`" in (tmp_path / "joined" / "README.md").read_text()


def test_the_model_of_the_package_is_listed_loaded_and_saved(hidden: Path, tmp_path: Path) -> None:
    assert sb.models.list_models().loc["bioverse-small", "modalities"] == "cell, molecule, protein"
    model = sb.models.load("bioverse-small")
    again = model.save(tmp_path / "again")
    assert sb.models.load(again).fingerprint() == model.fingerprint()


def test_an_encoder_with_tensors_of_its_own_is_kept_whole(
    saved: Path, tmp_path: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any, **__: Any) -> None:
        raise sb.errors.OptionalDependencyError("pip install 'scbioverse[scvi]'")

    with monkeypatch.context() as patch:
        patch.setattr(CompactCellEncoder, "from_folder", absent)
        model = sb.models.load(saved, llm=str(tiny_llm))
        with pytest.raises(sb.errors.OptionalDependencyError, match="scvi"):
            _ = model.encoders["cell"]
        again = model.save(tmp_path / "again")
    for file in (saved / "encoders" / "cell").iterdir():
        assert (again / "encoders" / "cell" / file.name).read_bytes() == file.read_bytes()
    assert sb.models.load(again, llm=str(tiny_llm)).encoders["cell"].dim == 8


@pytest.mark.parametrize("verb", ["embed", "annotate", "describe", "tune", "align"])
def test_using_it_names_the_extra_before_anything_is_computed(
    hidden: Path, tiny_llm: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drugs = ad.AnnData(np.zeros((4, 1), np.float32), obs=pd.DataFrame(index=list("abcd")))
    drugs.obs["smiles"], drugs.obs["kind"] = ["CCO", "CCN", "CCC", "CO"], ["alcohol", "amine", "alkane", "alcohol"]
    model = sb.models.load(hidden, llm=str(tiny_llm))
    monkeypatch.setattr(type(model), "backbone", property(lambda self: pytest.fail("the language model was loaded")))
    options: dict[str, Any] = {
        "annotate": {"labels": {"alcohol": "it has a hydroxyl group", "amine": "it has an amino group"}},
        "tune": {"text_key": "kind", "steps": 1},
        "align": {"text_key": "kind", "steps": 1, "start": "model"},
    }.get(verb, {})
    with pytest.raises(sb.errors.OptionalDependencyError, match=r"scbioverse\[molecules\]"):
        getattr(sb.tl, verb)(drugs, model=model, modality="molecule", key="smiles", **options)
    assert list(drugs.obs) == ["smiles", "kind"]
    assert not drugs.obsm
    assert not drugs.uns

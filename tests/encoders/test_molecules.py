"""ChemNet and Morgan fingerprints."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from scbioverse.encoders import MorganEncoder, build
from scbioverse.encoders.chemnet import LENGTH, ChemNetEncoder, characters
from scbioverse.errors import InputError, MismatchError, OptionalDependencyError, WeightsError
from tests._precision import SMALL_NET

rdkit = pytest.importorskip("rdkit")

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[N+](C)(C)CC(=O)[O-]",
    "O=C(O)[C@@H]1CCCN1",
    "Clc1ccc(Br)cc1[Si](C)(C)C",
    "C/C=C/[Se]C",
    "C",
    "C" * 400,
]


@pytest.fixture(scope="module")
def chemnet() -> ChemNetEncoder:
    pytest.importorskip("fcd_torch")
    return ChemNetEncoder(device="cpu")


def test_chemnet_gives_what_its_package_gives(chemnet: ChemNetEncoder) -> None:
    from fcd_torch import utils

    layers = torch.load(chemnet.path, weights_only=True)
    reference = utils.load_imported_model(layers).eval()
    onehot = np.stack([utils.get_one_hot(text, LENGTH) for text in SMILES])
    with torch.inference_mode():
        expected = reference(torch.from_numpy(onehot / onehot.shape[2]).float().transpose(1, 2)).numpy()
    found = chemnet.embed_texts(SMILES)
    assert found.shape == (7, 512)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=SMALL_NET)
    for text, row in zip(SMILES, onehot, strict=True):
        assert characters(text) == row.argmax(axis=1)[row.any(axis=1)].tolist()


def test_chemnet_rows_are_independent(chemnet: ChemNetEncoder) -> None:
    together = chemnet.embed_texts(SMILES)
    np.testing.assert_allclose(together[2:4], chemnet.embed_texts(SMILES[2:4]), atol=SMALL_NET)
    assert chemnet.embed_texts([]).shape == (0, 512)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_chemnet_reads_the_largest_part(chemnet: ChemNetEncoder) -> None:
    cleaned = chemnet.clean(["[Na+].OC(=O)C", "CC(O)=O", "bad"])
    assert cleaned == [("CC(=O)O", ""), ("CC(=O)O", ""), ("", "not a SMILES")]


def test_chemnet_saved_by_reference(chemnet: ChemNetEncoder, tmp_path: Path) -> None:
    chemnet.save(tmp_path)
    assert build("chemnet", tmp_path).fingerprint() == chemnet.fingerprint()
    config = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps(config | {"fingerprint": "00"}))
    with pytest.raises(MismatchError, match="fingerprint 00"):
        build("chemnet", tmp_path)


def test_chemnet_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is missing"):
        ChemNetEncoder(tmp_path / "absent.pt")
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="does not hold ChemNet"):
        ChemNetEncoder(tmp_path / "other.pt")
    torch.save([("Conv1d", (Path("x"), {}, {}))], tmp_path / "pickle.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(WeightsError, match="does not hold ChemNet"):
            ChemNetEncoder(tmp_path / "pickle.pt")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionalDependencyError, match=r"scbioverse\[molecules\].*pip install --no-deps fcd-torch"):
        ChemNetEncoder()


def test_morgan() -> None:
    encoder = MorganEncoder()
    found = encoder.embed_texts(["CCO", "CCN", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"])
    assert found.shape == (4, 2048)
    assert set(np.unique(found)) == {0, 1}
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    bits = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles("CCO"))
    assert sorted(bits.GetOnBits()) == np.flatnonzero(found[0]).tolist()
    assert (found[2] != found[3]).any()
    flat = MorganEncoder(chirality=False).embed_texts(["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"])
    assert (flat[0] == flat[1]).all()


def test_morgan_saved(tmp_path: Path) -> None:
    encoder = MorganEncoder(radius=3, n_bits=256, salts="keep")
    back = build("morgan", encoder.save(tmp_path))
    assert back.fingerprint() == encoder.fingerprint() != MorganEncoder().fingerprint()
    assert back.dim == 256
    with pytest.raises(InputError, match="n_bits at least 1"):
        MorganEncoder(n_bits=0)

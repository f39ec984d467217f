from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.models import BioVerse
from tests._precision import UNIT


def test_one_text(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    sb.tl.retrieve(cells, "cells that secrete antibodies", model=tiny_model)
    score = cells.obs["bioverse_retrieve_0"]
    assert score.dtype == np.float32
    wanted = (
        tiny_model.coordinates(cells.obsm["X_bioverse"])
        @ tiny_model.text_coordinates(["cells that secrete antibodies"]).T
    )
    np.testing.assert_allclose(score, wanted[:, 0], atol=UNIT)
    sb.tl.retrieve(cells, "platelets", model=tiny_model)
    assert "bioverse_retrieve_1" in cells.obs
    assert sb.get.records(cells)["retrieve_1"]["texts"] == [{"name": "platelets", "text": "platelets"}]
    # This model has no vocabulary of terms.
    assert sb.get.records(cells)["retrieve_1"]["scale"] == "cosine"


def test_a_name_used_again_keeps_nothing_of_the_search_before(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    sb.tl.retrieve(cells, "platelets", model=tiny_model, name="x")
    sb.tl.retrieve(cells, None, direction="similar", top_k=2, model=tiny_model, name="x")
    sb.tl.retrieve(cells, ["platelets", "B cells"], model=tiny_model, name="x")
    left = [one for one in (*cells.obs, *cells.obsm) if one.startswith("bioverse_retrieve_x")]
    assert left == ["bioverse_retrieve_x"]
    assert list(cells.obsm["bioverse_retrieve_x"]) == ["platelets", "B cells"]


@pytest.fixture(scope="module")
def blood() -> ad.AnnData:
    """A few cells of each type, from the data in the wheel."""
    pbmc = sb.datasets.pbmc3k()
    held = [np.flatnonzero(pbmc.obs["cell_type"] == one)[:12] for one in ("B", "NK", "CD14+ Mono", "Naive CD4 T")]
    return pbmc[np.concatenate(held)].copy()


def test_cells_by_what_words_mean(blood: ad.AnnData) -> None:
    texts = ["B cells or NK cells", "not T cells", "cells that kill virus-infected cells", "cells expressing MS4A1"]
    texts += ["classical monocytes", "CD14 monocytes"]  # the model also knows "monocyte", which has half of them
    with pytest.warns(UserWarning, match="Nothing fits 'stock prices'"):
        sb.tl.retrieve(blood, [*texts, "stock prices"], name="w")
    found, label = blood.obsm["bioverse_retrieve_w"], blood.obs["cell_type"].astype(str)
    assert found["stock prices"].isna().all()
    right = {
        texts[0]: {"B", "NK"}, texts[1]: {"B", "NK", "CD14+ Mono"}, texts[2]: {"NK"}, texts[3]: {"B"},
        texts[4]: {"CD14+ Mono"}, texts[5]: {"CD14+ Mono"},
    }  # fmt: skip
    for text, types in right.items():
        fits = found[text] >= 0.5
        assert label[fits].isin(types).mean() > 0.8, text
        assert label[~fits].isin(types).mean() < 0.3, text
        assert fits[label.isin(types)].mean() > 0.7, text
    record = sb.get.records(blood)["retrieve_w"]
    assert record["scale"] == "probability"
    assert "natural killer cell" in record["texts"][0]["meaning"]
    assert record["texts"][-1]["meaning"] == ""


def test_one_meaning_has_a_column_of_what_fits_and_needs_no_other_rows(blood: ad.AnnData) -> None:
    sb.tl.retrieve(blood, "lymphocytes", name="l")
    score, fits = blood.obs["bioverse_retrieve_l"], blood.obs["bioverse_retrieve_l_fits"]
    assert (fits == (score >= 0.5)).all()
    few = blood[::5].copy()
    sb.tl.retrieve(few, "lymphocytes", name="l")
    np.testing.assert_allclose(few.obs["bioverse_retrieve_l"], score[few.obs_names], atol=1e-4)
    with pytest.warns(UserWarning, match="was not measured"):
        sb.tl.retrieve(blood[:, blood.var_names != "CD3D"].copy(), "cells expressing CD3D")


def test_molecules_by_words_and_a_reference() -> None:
    pytest.importorskip("rdkit")
    smiles = {"propranolol": "CC(C)NCC(O)COc1cccc2ccccc12", "urea": "NC(N)=O", "sulfa": "NS(=O)(=O)c1ccccc1"}
    drugs = sb.pp.molecules(smiles)
    known = sb.pp.molecules({"pindolol": "CC(C)NCC(O)COc1cccc2[nH]ccc12", "ethanol": "CCO"})
    known.obs["text"] = ["It has a role as a beta-adrenergic antagonist.", "It has a role as a solvent."]
    with pytest.warns(UserWarning, match="no role or class"):
        sb.tl.retrieve(
            drugs, ["beta blockers", "sulfonamides", "bicycles"], modality="molecule", reference=known, name="r"
        )
    found = drugs.obsm["bioverse_retrieve_r"]
    assert found["beta blockers"].idxmax() == "propranolol"
    assert found["sulfonamides"].tolist() == [0, 0, 1]
    assert found["bicycles"].isna().all()
    with pytest.raises(InputError, match="reference is for"):
        sb.tl.retrieve(drugs, known, direction="similar", modality="molecule", reference=known)
    # Whole texts are compared with those of neighbours, too: a molecule finds that of the one most like it.
    sb.tl.retrieve(drugs, known, direction="text", modality="molecule", reference=known, top_k=1, name="own")
    assert drugs.obs["bioverse_retrieve_own"]["propranolol"] == known.obs["text"]["pindolol"]


def test_a_molecule_finds_the_text_that_names_its_own_part() -> None:
    pytest.importorskip("rdkit")
    said = "The molecule is a fatty acid methyl ester obtained by condensation of {} with methanol."
    smiles = ["CCCCCCCC(=O)OC", "CCCCCCCC(=O)O", "CCCCCCCCCC(=O)O", "CCO"]
    known = sb.pp.molecules(smiles)
    known.obs["name"] = ["methyl octanoate", "octanoic acid", "decanoic acid", "ethanol"]
    known.obs["text"] = [said.format("octanoic acid"), *["The molecule is an organic molecule."] * 3]
    drugs = sb.pp.molecules({"methyl decanoate": "CCCCCCCCCC(=O)OC"})
    texts = {"its own": said.format("decanoic acid"), "its neighbour's": said.format("octanoic acid")}
    for name in ("with", "without"):
        sb.tl.retrieve(drugs, texts, direction="text", modality="molecule", reference=known, name=name)
        known.obs = known.obs.drop(columns="name", errors="ignore")
    named, nameless = (drugs.obsm[f"bioverse_retrieve_{one}"].iloc[0] for one in ("with", "without"))
    assert named.idxmax() == "its own"
    assert named["its own"] - named["its neighbour's"] > nameless["its own"] - nameless["its neighbour's"] + 0.05


def test_several_texts_and_text_by_cell(cells: ad.AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    texts = {"b/c": "B cells make antibodies.", "pl": "Platelets clot."}
    sb.tl.retrieve(cells, texts, model=tiny_model, name="two", direction="text")
    table = cells.obsm["bioverse_retrieve_two"]
    assert list(table.columns) == ["b|c", "pl"]
    best = cells.obs["bioverse_retrieve_two"].astype(str)
    assert (best == np.array(["b/c", "pl"])[table.to_numpy().argmax(axis=1)]).all()
    np.testing.assert_allclose(cells.obs["bioverse_retrieve_two_score"], table.max(axis=1))
    cells.write_h5ad(tmp_path / "x.h5ad")
    assert ad.read_h5ad(tmp_path / "x.h5ad").obsm["bioverse_retrieve_two"].shape == (60, 2)


def test_standardised_and_row_order(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    done = sb.tl.retrieve(cells, ["B cell", "platelet"], model=tiny_model, scale="zscore", copy=True)
    assert done is not None
    np.testing.assert_allclose(done.obsm["bioverse_retrieve_0"].mean(), 0, atol=UNIT)
    np.testing.assert_allclose(done.obsm["bioverse_retrieve_0"].std(ddof=0), 1, atol=UNIT)
    order = np.random.default_rng(0).permutation(60)
    turned = sb.tl.retrieve(cells[order].copy(), "B cell", model=tiny_model, copy=True)
    plain = sb.tl.retrieve(cells, "B cell", model=tiny_model, copy=True)
    assert turned is not None
    assert plain is not None
    np.testing.assert_allclose(
        turned.obs["bioverse_retrieve_0"][cells.obs_names], plain.obs["bioverse_retrieve_0"], atol=UNIT
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "no readable character"),
        ("x" * 10_000, {}, "characters"),
        ([], {}, "must hold one"),
        ("B cell", {"direction": "text"}, "two or more"),
        (["B cell", "B  cell"], {}, "same name"),
        ("B cell", {"scale": "x"}, "scale"),
        ("B cell", {"name": "a/b"}, "slot's name"),
    ],
)
def test_bad_texts(cells: ad.AnnData, tiny_model: BioVerse, text: object, options: dict, message: str) -> None:
    before = set(cells.obs) | set(cells.obsm)
    with pytest.raises(InputError, match=message):
        sb.tl.retrieve(cells, text, model=tiny_model, **options)  # type: ignore[arg-type]
    assert set(cells.obs) | set(cells.obsm) == before

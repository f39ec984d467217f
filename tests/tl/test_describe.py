"""`tl.describe`, and `tl.retrieve` among rows and long lists of texts: a tiny model of three modalities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.predict.descriptions import agreed
from scbioverse.predict.neighbours import View, nearest_rows
from tests._precision import UNIT

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.models import BioVerse

SMILES = ["CCO", "CCCO", "CC(=O)O", "CCC(=O)O", "c1ccccc1", "Cc1ccccc1", "CCN", "CCCN"]
KINDS = ["an alcohol", "an alcohol", "a fatty acid", "a fatty acid", "an arene", "an arene", "an amine", "an amine"]


@pytest.fixture
def model(tiny_model: BioVerse) -> BioVerse:
    """Cells, molecules (fingerprints: no weights needed) and proteins, all untrained."""
    pytest.importorskip("rdkit")
    from scbioverse.encoders import KmerEncoder, MorganEncoder
    from scbioverse.models.edit import extend

    both = extend(tiny_model, MorganEncoder(n_bits=64), hidden=16, rng=1)
    return extend(both, KmerEncoder(), hidden=16, rng=2)


@pytest.fixture
def drugs() -> ad.AnnData:
    obs = pd.DataFrame({"smiles": SMILES, "text": [f"The molecule is {kind}." for kind in KINDS]})
    return ad.AnnData(obs=obs.set_index(pd.Index([f"m{i}" for i in range(len(SMILES))])))


@pytest.mark.parametrize("modality", ["molecule", "protein", "cell"])
def test_written_for_every_modality(model: BioVerse, drugs: ad.AnnData, cells: ad.AnnData, modality: str) -> None:
    proteins = ad.AnnData(obs=pd.DataFrame({"sequence": ["MKTAYIAKQR", "MALWMRLLPL", "MKTAYIAKQR"]}, index=list("abc")))
    data = {"molecule": drugs, "protein": proteins, "cell": cells[:5].copy()}[modality]
    sb.tl.describe(data, modality=modality, model=model, max_new_tokens=6)
    texts, score = data.obs["bioverse_description"], data.obs["bioverse_description_score"]
    assert all(isinstance(text, str) for text in texts)
    assert score.dtype == np.float32
    assert (score <= 0).all()
    record = sb.get.records(data)["describe"]
    assert (record["method"], record["modality"], record["beams"]) == ("written", modality, 1)
    if modality == "protein":
        assert texts.iloc[0] == texts.iloc[2]


def test_batches_and_row_order_change_nothing_and_beams_find_what_is_likelier(
    model: BioVerse, drugs: ad.AnnData
) -> None:
    options = {"modality": "molecule", "model": model, "max_new_tokens": 5, "copy": True}
    whole = sb.tl.describe(drugs, **options)
    single = sb.tl.describe(drugs[::-1].copy(), batch_size=1, **options)
    wide = sb.tl.describe(drugs, beams=3, **options)
    assert "bioverse_description" not in drugs.obs
    assert (single.obs["bioverse_description"][drugs.obs_names] == whole.obs["bioverse_description"]).all()
    assert (wide.obs["bioverse_description_score"] >= whole.obs["bioverse_description_score"] - 0.3).all()


def test_question_is_asked(model: BioVerse, drugs: ad.AnnData) -> None:
    sb.tl.describe(drugs, modality="molecule", model=model, question="What is this molecule?", max_new_tokens=4)
    assert sb.get.records(drugs)["describe"]["question"] == "What is this molecule?"
    assert drugs.obs["bioverse_description_score"].isna().all()


def test_rows_without_a_molecule_get_no_text(model: BioVerse, drugs: ad.AnnData, tmp_path: Path) -> None:
    treated = ad.AnnData(obs=pd.DataFrame({"smiles": ["CCO", "", None]}, index=list("abc")))
    sb.tl.describe(treated, modality="molecule", model=model, max_new_tokens=4)
    assert treated.obs["bioverse_description"].tolist()[1:] == ["", ""]
    assert treated.obs["bioverse_description_score"].isna().tolist() == [False, True, True]
    sb.tl.describe(treated, modality="molecule", model=model, reference=drugs, key_added="ref")
    assert treated.obs["ref_description_source"].tolist() == ["m0", "", ""]
    treated.write_h5ad(tmp_path / "x.h5ad")
    again = ad.read_h5ad(tmp_path / "x.h5ad")
    assert again.obs["ref_description"].astype(str).tolist() == ["The molecule is an alcohol.", "", ""]
    assert sb.get.records(again)["describe_ref"]["method"] == "reference"


def test_unreadable_rows_that_were_embedded_as_nan_get_no_text(model: BioVerse, drugs: ad.AnnData) -> None:
    odd = drugs.copy()
    odd.obs["smiles"] = ["CCO", "aspirin", *SMILES[2:]]
    with pytest.raises(InputError, match=r"'aspirin'.*invalid='skip'"):
        sb.tl.describe(odd, modality="molecule", model=model, reference=drugs)
    with pytest.raises(InputError, match=r"Of the reference: .*'aspirin'"):
        sb.tl.describe(drugs, modality="molecule", model=model, reference=odd)
    sb.tl.embed(odd, modality="molecule", model=model, invalid="skip")
    for reference, asked in ((drugs, odd), (odd, drugs.copy())):
        sb.tl.describe(asked, modality="molecule", model=model, reference=reference, min_similarity=0)
        said = asked.obs["bioverse_description"]
        assert (said == "").tolist() == [asked is odd and row == 1 for row in range(len(said))]
    sb.tl.retrieve(odd, "an alcohol", modality="molecule", model=model, scale="cosine")
    assert odd.obs["bioverse_retrieve_0"].isna().tolist() == [row == 1 for row in range(odd.n_obs)]
    # Rows that are NaN for no such reason are embedded anew.
    odd.obsm["X_bioverse_molecule"][3] = np.nan
    with pytest.raises(InputError, match="'aspirin'"):
        sb.tl.describe(odd, modality="molecule", model=model, reference=drugs)


def test_a_table_of_molecules_is_not_taken_for_cells(model: BioVerse, drugs: ad.AnnData) -> None:
    with pytest.raises(MissingKeyError, match="modality='molecule'"):
        sb.tl.embed(drugs, model=model)


def test_reference_gives_the_text_of_a_neighbour(model: BioVerse, drugs: ad.AnnData) -> None:
    new = sb.pp.molecules(["CCCCO", "CCc1ccccc1", "CCCC(=O)O"])
    for choose in ("nearest", "consensus", "aligned"):
        options = {"choose": choose, "n_neighbors": 2, "min_similarity": -1}
        sb.tl.describe(new, modality="molecule", model=model, reference=drugs, **options)
        source = new.obs["bioverse_description_source"]
        assert new.obs["bioverse_description"].tolist() == drugs.obs["text"][source].tolist()
        if choose != "aligned":
            assert [text.split()[-1] for text in new.obs["bioverse_description"]] == ["alcohol.", "arene.", "acid."]
    assert sb.get.records(new)["describe"]["n_texts"] == 8


def test_a_row_of_the_reference_without_text_is_nobodys_neighbour(model: BioVerse, drugs: ad.AnnData) -> None:
    drugs.obs["text"] = [None, *drugs.obs["text"].tolist()[1:]]
    one = sb.pp.molecules(["CCO"])
    sb.tl.describe(one, modality="molecule", model=model, reference=drugs, min_similarity=0)
    assert one.obs["bioverse_description_source"].tolist() == ["m1"]


def test_named_representation(model: BioVerse, drugs: ad.AnnData) -> None:
    other = drugs.copy()
    drugs.obsm["X_mine"], other.obsm["X_mine"] = np.eye(8), np.roll(np.eye(8), 1, axis=0)
    sb.tl.describe(drugs, modality="molecule", model=model, reference=other, use_rep="X_mine", metric="tanimoto")
    assert drugs.obs["bioverse_description_source"].tolist() == [*(f"m{i}" for i in range(1, 8)), "m0"]
    assert "X_bioverse_molecule" not in drugs.obsm


def test_texts_longer_than_a_name_can_be_learned(model: BioVerse, drugs: ad.AnnData) -> None:
    drugs.obs["text"] = [f"The molecule is {kind}, {'and so on ' * 25}." for kind in KINDS]
    new = sb.tl.align(
        drugs, text_key="text", model=model, modality="molecule", loss="autoregressive", steps=2, rng=0, start="model"
    )
    assert new.config.encoders["molecule"].writes
    sb.tl.describe(drugs, modality="molecule", model=new, max_new_tokens=4)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"choose": "best"}, InputError, "choose"),
        ({"beams": 0}, InputError, "beams"),
        ({"max_new_tokens": 10_000}, InputError, "max_new_tokens"),
        ({"use_rep": "X"}, InputError, "reference"),
        ({"text_key": "caption", "reference": "drugs"}, MissingKeyError, "caption"),
        ({"question": "What?", "reference": "drugs"}, InputError, "question"),
        ({"use_rep": "X_no", "reference": "drugs"}, MissingKeyError, "X_no"),
        ({"reference": ["text"]}, InputError, "AnnData"),
        ({"modality": "spectrum"}, InputError, "spectrum"),
    ],
)
def test_errors_leave_the_data(
    model: BioVerse, drugs: ad.AnnData, options: dict, error: type[Exception], message: str
) -> None:
    given = {"modality": "molecule", **options}
    if given.get("reference") == "drugs":
        given["reference"] = drugs.copy()
    with pytest.raises(error, match=message):
        sb.tl.describe(drugs, model=model, **given)
    assert list(drugs.obs) == ["smiles", "text"]
    assert not drugs.uns


# ---------------------------------------------------------------------------------------------- neighbours


def test_nearest_rows_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((7, 5)).astype(np.float32), rng.random((9, 5)).astype(np.float32)
    b[2] = np.nan
    found = nearest_rows([View(a, b)], 3)
    cosine = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    cosine[:, 2] = -2
    np.testing.assert_array_equal(found.rows, np.argsort(-cosine, axis=1)[:, :3])
    bits = (a > 0.5).astype(np.float32), (b > 0.5).astype(np.float32)
    tanimoto = nearest_rows([View(bits[0], bits[1], "tanimoto")], 1).similarity[0, 0]
    both, either = np.minimum(bits[0][0], bits[1]).sum(axis=1), np.maximum(bits[0][0], bits[1]).sum(axis=1)
    assert tanimoto == pytest.approx((both / either).max())


def test_rows_without_a_representation_leave_fewer_to_choose_from(model: BioVerse, drugs: ad.AnnData) -> None:
    drugs.obsm["X_mine"] = np.eye(8)
    drugs.obsm["X_mine"][5:] = np.nan
    given = {"modality": "molecule", "model": model, "use_rep": "X_mine"}
    sb.tl.retrieve(drugs, None, direction="similar", **given)
    assert drugs.obsm["bioverse_retrieve_0_rows"].shape == (8, 4)
    sb.tl.describe(drugs, reference=drugs.copy(), choose="consensus", n_neighbors=8, **given)
    assert drugs.obs["bioverse_description"].astype(bool).tolist() == [True] * 5 + [False] * 3
    drugs.obsm["X_mine"][:] = np.nan
    with pytest.raises(InputError, match="nothing to compare"):
        sb.tl.retrieve(drugs, None, direction="similar", **given)


def test_none_is_its_own_neighbour() -> None:
    x = np.eye(4, dtype=np.float32)
    assert (nearest_rows([View(x, x)], 2, same=True).rows != np.arange(4)[:, None]).all()


def test_agreement_prefers_what_most_say_and_nearness_decides() -> None:
    texts = [Counter(["a", "b", "c", "d"]), Counter(["x", "y", "z"]), Counter(["x", "y", "z", "w"])]
    assert agreed(texts, np.array([0.5, 0.5, 0.5], dtype=np.float32)) in (1, 2)
    assert agreed(texts, np.array([0.9, 0.5, 0.5], dtype=np.float32)) == 0


# ---------------------------------------------------------------------------------------------- retrieve


def test_text_to_molecule(model: BioVerse, drugs: ad.AnnData) -> None:
    sb.tl.retrieve(drugs, "an alcohol", direction="rows", modality="molecule", model=model)
    wanted = model.coordinates(drugs.obsm["X_bioverse_molecule"], "molecule") @ model.text_coordinates(["an alcohol"]).T
    np.testing.assert_allclose(drugs.obs["bioverse_retrieve_0"], wanted[:, 0], atol=UNIT)


def test_molecule_to_texts_of_a_list_and_of_a_column(model: BioVerse, drugs: ad.AnnData, tmp_path: Path) -> None:
    sb.tl.retrieve(drugs, drugs, direction="text", modality="molecule", model=model, top_k=3, name="column")
    texts = list(dict.fromkeys(drugs.obs["text"]))
    sb.tl.retrieve(drugs, texts, direction="text", modality="molecule", model=model, top_k=3, name="list")
    rows = drugs.obsm["bioverse_retrieve_column_rows"]
    assert rows.shape == (8, 3)
    np.testing.assert_array_equal(rows, drugs.obsm["bioverse_retrieve_list_rows"])
    assert drugs.obs["bioverse_retrieve_column"].tolist() == [texts[row] for row in rows[:, 0]]
    # The whole table, as it always was, has the same best.
    sb.tl.retrieve(drugs, texts, direction="text", modality="molecule", model=model, name="all")
    assert drugs.obs["bioverse_retrieve_all"].astype(str).tolist() == drugs.obs["bioverse_retrieve_list"].tolist()
    drugs.write_h5ad(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "x.h5ad").obsm["bioverse_retrieve_list_rows"], rows)


def test_molecule_to_similar_molecule(model: BioVerse, drugs: ad.AnnData) -> None:
    sb.tl.retrieve(drugs, None, direction="similar", modality="molecule", model=model, top_k=2)
    best = drugs.obs["bioverse_retrieve_0"]
    assert best["m0"] == "m1"
    assert best["m5"] == "m4"
    assert (best != drugs.obs_names).all()
    new = sb.pp.molecules(["CCCCCO"])
    sb.tl.retrieve(new, drugs, direction="similar", modality="molecule", model=model, top_k=1)
    assert new.obs["bioverse_retrieve_0"].tolist() == ["m1"]


def test_cells_and_molecules_meet_in_the_shared_space(model: BioVerse, drugs: ad.AnnData, cells: ad.AnnData) -> None:
    sb.tl.retrieve(cells, drugs, direction="similar", query_modality="molecule", model=model, top_k=8)
    points = model.coordinates(cells.obsm["X_bioverse"])
    sb.tl.embed(drugs, model=model, modality="molecule")
    others = model.coordinates(drugs.obsm["X_bioverse_molecule"], "molecule")
    np.testing.assert_allclose(
        cells.obsm["bioverse_retrieve_0"], np.sort(points @ others.T, axis=1)[:, ::-1], atol=UNIT
    )


@pytest.mark.parametrize(
    ("query", "options", "error", "message"),
    [
        ("text", {"direction": "rows", "top_k": 3}, InputError, "top_k"),
        (["a", "b"], {"direction": "text", "top_k": 0}, InputError, "top_k"),
        (["a", "b"], {"direction": "text", "top_k": 1, "scale": "zscore"}, InputError, "zscore"),
        ("table", {"direction": "rows"}, InputError, "direction"),
        ("table", {"direction": "text", "text_key": "caption"}, MissingKeyError, "caption"),
        (["a", "b"], {"direction": "similar"}, InputError, "AnnData or None"),
        ("table", {"direction": "similar", "query_modality": "protein", "use_rep": "X"}, InputError, "use_rep"),
        (["a", "b"], {"direction": "text", "use_rep": "X"}, InputError, "use_rep"),
        ("a", {"direction": "rows", "query_modality": "protein"}, InputError, "query_modality"),
    ],
)
def test_options_that_do_not_fit(
    model: BioVerse, drugs: ad.AnnData, query: object, options: dict, error: type[Exception], message: str
) -> None:
    asked = drugs.copy() if query == "table" else query
    with pytest.raises(error, match=message):
        sb.tl.retrieve(drugs, asked, modality="molecule", model=model, **options)  # type: ignore[arg-type]
    assert not drugs.uns


def test_a_modality_that_was_trained_for_retrieval_alone_is_not_written_of(drugs: ad.AnnData, model: BioVerse) -> None:
    model.config.encoders["molecule"] = replace(model.config.encoders["molecule"], methods=("score", "nearest"))
    before = set(drugs.obs)
    with pytest.raises(InputError, match="trained to find texts of a molecule, not to write them"):
        sb.tl.describe(drugs, modality="molecule", model=model)
    with pytest.raises(InputError, match="trained to find texts of a molecule, not to write them"):
        sb.tl.describe(drugs, modality="molecule", model=model, question="What is it?")
    assert set(drugs.obs) == before
    sb.tl.describe(drugs, modality="molecule", model=model, reference=drugs)
    assert drugs.obs["bioverse_description"].tolist() == drugs.obs["text"].tolist()


def test_the_shipped_model_writes_of_molecules_and_not_of_proteins() -> None:
    shipped = sb.models.load("bioverse-small")
    config = shipped.config
    assert {name: one.writes for name, one in config.encoders.items()} == {
        "cell": True,
        "molecule": True,
        "protein": False,
    }
    assert list(shipped.phrase_books) == ["molecule"]


def test_the_shipped_model_is_frank_about_labels_of_molecules() -> None:
    pytest.importorskip("fcd_torch")
    rows = sb.pp.molecules(["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CCO"])
    with pytest.warns(UserWarning, match="4 labels fit about equally.*labels of a molecule are right was not measured"):
        sb.tl.annotate(rows, modality="molecule", labels=["analgesic", "stimulant", "sugar", "alcohol"])

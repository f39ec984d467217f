"""Projectors trained apart, used together; encoders of a folder that are built on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import scbioverse as sb
from scbioverse.encoders import KmerEncoder
from scbioverse.errors import InputError, MismatchError, WeightsError
from scbioverse.llm.adapter import AdapterConfig, trained_adapter, training_twin
from scbioverse.models import BioVerse, load
from scbioverse.models.edit import extend, join, only

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from scbioverse.llm import Backbone

NAMES = ["B cell", "platelet", "CD8 T cell"]


@pytest.fixture
def proteins(model: BioVerse, tiny_backbone: Backbone) -> BioVerse:
    """A model of proteins alone, made by itself, in the text space of the first."""
    made = BioVerse.new(KmerEncoder(), name="proteins", llm=tiny_backbone, n_soft=2, hidden=12, rng=3)
    made.space.set(model.text_space, model.config.text_space)  # type: ignore[arg-type]
    return made


def test_both_read_as_they_did_alone(model: BioVerse, proteins: BioVerse, points: np.ndarray, tmp_path: Path) -> None:
    x = KmerEncoder().embed_texts(["MKTAYIAKQR", "MALWMRLLPLLALLALWGPD"])
    proteins.space.centre(proteins.project(x, "protein"), "protein")
    with torch.no_grad():
        proteins.tokens.trained[0] += 1.0
    both = join(model, proteins, name="both")
    again = load(both.save(tmp_path / "both"), llm=model.backbone)
    for one in (both, again):
        assert one.modalities == ["cell", "protein"]
        np.testing.assert_array_equal(
            one.score(points, NAMES, progress=False), model.score(points, NAMES, progress=False)
        )
        np.testing.assert_array_equal(one.coordinates(points), model.coordinates(points))
        np.testing.assert_array_equal(one.coordinates(x, "protein"), proteins.coordinates(x, "protein"))
        assert torch.equal(one.tokens.trained[1], proteins.tokens.trained[0])
    assert only(again, ["cell"]).fingerprint() == model.fingerprint()


def test_models_tuned_alike_go_together_and_others_do_not(model: BioVerse, proteins: BioVerse) -> None:
    config = AdapterConfig(rank=2)
    one, other = (trained_adapter(config, training_twin(model.backbone, config, seed=seed)[1]) for seed in (0, 1))
    model.set_adapter(one)
    proteins.set_adapter(one)
    both = join(model, proteins)
    assert both.adapter is not None
    assert both.adapter.fingerprint == one.fingerprint
    for adapter in (other, None):
        model.set_adapter(adapter)
        with pytest.raises(MismatchError, match="was tuned"):
            join(model, proteins)


def test_one_prompt_holds_both(model: BioVerse, proteins: BioVerse, points: np.ndarray) -> None:
    both = join(model, proteins)
    x = KmerEncoder().embed_texts(["MKTAYIAKQR", "WWWWPPPPGG"])
    asks = both.text_writer
    prompt = asks.prompt("Do these go together?", objects=[("cell", "A"), ("protein", "B")])
    composed = asks._compose(
        [prompt] * 2, [{"cell": points[:1, None], "protein": one[None, None]} for one in x]
    ).inputs_embeds
    soft = {
        "cell": model.project(points[:1], "cell"),
        "protein": proteins.project(x, "protein"),
    }
    ids = np.array(prompt)
    for modality, row in (("cell", 0), ("protein", 1)):
        places = np.flatnonzero(ids == both.tokens.placeholder(modality))
        wanted = soft[modality][0 if modality == "cell" else row]
        torch.testing.assert_close(composed[1, places], wanted)
    assert not torch.equal(composed[0], composed[1])
    assert len(asks.write([prompt], [{"cell": points[:1, None], "protein": x[:1, None]}], max_new_tokens=3)) == 1


def test_what_does_not_go_together_is_refused(model: BioVerse, proteins: BioVerse, tiny_backbone: Backbone) -> None:
    with pytest.raises(InputError, match="two models"):
        join(model)
    with pytest.raises(InputError, match="both read"):
        join(model, model.copy(name="twin"))
    other = BioVerse.new(KmerEncoder(), llm=tiny_backbone, n_soft=3, hidden=12)
    with pytest.raises(MismatchError, match="soft tokens"):
        join(model, other)
    proteins.space.fit(["Other texts.", *NAMES, "A fifth.", "A sixth.", "A seventh.", "An eighth."], dim=6)
    with pytest.raises(MismatchError, match="text spaces fitted on different texts"):
        join(model, proteins)


def test_extend_leaves_the_model_and_is_seeded(model: BioVerse) -> None:
    before = model.fingerprint()
    made = [extend(model, KmerEncoder(), hidden=8, rng=seed).fingerprint() for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert model.fingerprint() == before
    assert model.modalities == ["cell"]


def test_an_encoder_that_is_not_installed_fails_when_it_is_asked_for(
    model: BioVerse, proteins: BioVerse, points: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = join(model, proteins).save(tmp_path / "both")

    def absent(*_: object, **__: object) -> None:
        raise WeightsError("not installed")

    monkeypatch.setattr(KmerEncoder, "from_folder", absent)
    again = load(folder, llm=model.backbone)
    assert "protein" in again.encoders
    again.score(points, NAMES, progress=False)
    with pytest.raises(WeightsError, match="not installed"):
        again.encoders["protein"]


def aligned(cells: AnnData, modality: str, llm: str, **options: object) -> BioVerse:
    rows = cells.copy()
    rows.obsm["X_given"] = np.random.default_rng(3).normal(size=(rows.n_obs, 6)).astype(np.float32)
    given = {"text_key": "cell_type", "use_rep": "X_given", "model": None, "llm": llm, "steps": 2, "rng": 0}
    return sb.tl.align(rows, **{**given, "modality": modality, **options})  # type: ignore[arg-type]


@pytest.fixture
def rows() -> AnnData:
    return sb.datasets.toy_cells(n_obs=60, n_genes=100)


def test_models_aligned_apart_from_scratch_are_joined(rows: AnnData, tiny_llm: Path) -> None:
    cells = aligned(rows, "cell", str(tiny_llm), loss="both")
    other = rows[rows.obs["cell_type"].isin(sorted(set(rows.obs["cell_type"]))[:3])].copy()
    molecules = aligned(other, "molecule", str(tiny_llm), loss="contrastive", general_text=False)
    both = join(cells, molecules)
    x = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_array_equal(both.coordinates(x), cells.coordinates(x))
    np.testing.assert_array_equal(both.coordinates(x, "molecule"), molecules.coordinates(x, "molecule"))
    np.testing.assert_array_equal(both.text_coordinates(NAMES), molecules.text_coordinates(NAMES))
    np.testing.assert_array_equal(both.score(x, NAMES, progress=False), cells.score(x, NAMES, progress=False))
    assert both.config.encoders["molecule"].chooses_by == ["nearest"]


def test_a_model_without_a_text_space_is_joined_and_has_no_place_in_one(rows: AnnData, tiny_llm: Path) -> None:
    cells = aligned(rows, "cell", str(tiny_llm), loss="both")
    molecules = aligned(rows, "molecule", str(tiny_llm), loss="autoregressive")
    x = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32)
    for first, second in ((cells, molecules), (molecules, cells)):
        both = join(first, second)
        np.testing.assert_array_equal(both.coordinates(x), cells.coordinates(x))
        modality = first.modalities[0]
        found, wanted = (one.score(x, NAMES, modality=modality, progress=False) for one in (both, first))
        np.testing.assert_array_equal(found, wanted)
        assert both.score(x, NAMES, modality=second.modalities[0], progress=False).shape == (4, 3)
        with pytest.raises(InputError, match="was not trained to place one among texts"):
            both.nearest(x, NAMES, modality="molecule")


def test_the_advice_for_models_that_do_not_go_together_works(model: BioVerse, rows: AnnData) -> None:
    from scbioverse.encoders import PrecomputedEncoder

    rows.obsm["X_given"] = np.random.default_rng(3).normal(size=(rows.n_obs, 6)).astype(np.float32)
    more = extend(model, PrecomputedEncoder("X_given", dim=6, modality="molecule"))
    made = sb.tl.align(rows, model=more, start="model", modality="molecule", text_key="cell_type", steps=1, rng=0)
    assert made.modalities == ["cell", "molecule"]
    assert made.nearest(np.asarray(rows.obsm["X_given"]), NAMES, modality="molecule").shape == (60, 3)

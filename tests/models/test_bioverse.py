from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scbioverse.errors import InputError, MismatchError, WeightsError
from scbioverse.llm.backbone import Backbone
from scbioverse.llm.prompts import PromptTemplate
from scbioverse.models import BioVerse, Calibration, clear_cache, load
from tests._naive_scores import naive_scores
from tests._precision import LOG_PROBS, TOTALS, UNIT

NAMES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


def test_score_equals_the_naive_full_forward(model: BioVerse, points: np.ndarray) -> None:
    prompt = model.reader.prompt()
    start = model.reader.composer.compose([prompt.prefix]).inputs_embeds[0].detach()
    suffix = model.reader.compose(model.project(points[:6])).inputs_embeds.detach()
    wanted = naive_scores(model.backbone, start, suffix, [model.reader.answer_ids(name) for name in NAMES])
    np.testing.assert_allclose(model.score(points[:6], NAMES, progress=False), wanted, atol=LOG_PROBS)


def test_scores_are_probabilities_in_the_order_asked(model: BioVerse, points: np.ndarray) -> None:
    scores = model.score(points, NAMES, progress=False)
    assert scores.shape == (24, 5)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1.0, atol=TOTALS)
    turned = model.score(points, NAMES[::-1], progress=False)
    np.testing.assert_allclose(turned[:, ::-1], scores, atol=LOG_PROBS)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_batch_size_does_not_matter(model: BioVerse, points: np.ndarray, batch_size: int) -> None:
    wanted = model.score(points, NAMES, batch_size=16, progress=False)
    np.testing.assert_allclose(
        model.score(points, NAMES, batch_size=batch_size, progress=False), wanted, atol=LOG_PROBS
    )


def test_row_order_does_not_matter_at_all(model: BioVerse, points: np.ndarray) -> None:
    order = np.random.default_rng(2).permutation(24)
    wanted = model.score(points, NAMES, batch_size=5, progress=False)[order]
    np.testing.assert_array_equal(model.score(points[order], NAMES, batch_size=5, progress=False), wanted)
    np.testing.assert_allclose(model.nearest(points[order], NAMES), model.nearest(points, NAMES)[order], atol=LOG_PROBS)


def test_equal_rows_are_computed_once(model: BioVerse, points: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from scbioverse.models import score as _score

    seen = []

    def count(backbone: Any, prefix: Any, embeds: torch.Tensor, *rest: Any, **more: Any) -> np.ndarray:
        seen.append(embeds.shape[0])
        return original(backbone, prefix, embeds, *rest, **more)

    original = _score.score_labels
    monkeypatch.setattr(_score, "score_labels", count)
    scores = model.score(points, NAMES, progress=False)
    assert sum(seen) == 22
    np.testing.assert_array_equal(scores[5], scores[0])


def test_one_row_and_none(model: BioVerse, points: np.ndarray) -> None:
    assert model.score(points[:1], NAMES, progress=False).shape == (1, 5)
    assert model.score(points[:0], NAMES, progress=False).shape == (0, 5)
    assert model.nearest(points[:0], NAMES).shape == (0, 5)


def test_temperature_flattens_and_keeps_the_order(model: BioVerse, points: np.ndarray) -> None:
    raw = model.score(points, NAMES, progress=False)
    model.config.calibration["score"] = Calibration(temperature=2.0)
    cooler = model.score(points, NAMES, progress=False)
    np.testing.assert_allclose(np.exp(cooler).sum(axis=1), 1.0, atol=TOTALS)
    np.testing.assert_array_equal(cooler.argmax(axis=1), raw.argmax(axis=1))
    assert (cooler.max(axis=1) < raw.max(axis=1)).all()
    np.testing.assert_array_equal(model.score(points, NAMES, progress=False, calibrated=False), raw)


def test_names_that_read_the_same(model: BioVerse, points: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"'B  cell' and 'B cell' read the same|'B cell' and 'B  cell' read the same"):
        model.score(points, ["B cell", "B  cell"], progress=False)
    with pytest.raises(InputError, match="no names"):
        model.score(points, [], progress=False)


def test_nearest_is_cosine_over_temperature(model: BioVerse, points: np.ndarray) -> None:
    found = model.nearest(points, NAMES)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=TOTALS)
    cells, texts = model.coordinates(points), model.text_coordinates(NAMES)
    np.testing.assert_allclose(np.linalg.norm(cells, axis=1), 1.0, atol=UNIT)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=UNIT)
    logits = cells @ texts.T / model.config.calibration["nearest"].temperature
    np.testing.assert_allclose(found, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), atol=LOG_PROBS)


def test_coordinates_start_centred(model: BioVerse, points: np.ndarray) -> None:
    model.space.centre(model.project(points))
    # Cells must not all lie in one direction, as they would beside the texts' own centre.
    cells = model.coordinates(points)
    assert np.linalg.norm(cells.mean(axis=0)) < 0.3
    np.testing.assert_allclose(model.coordinates(points[:3]), cells[:3], atol=UNIT)
    model.space.centre(model.project(points[:4]))  # only the first call sets it
    np.testing.assert_array_equal(model.coordinates(points), cells)


def test_texts_are_represented_once(model: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    from scbioverse.models import reader

    first = model.text_coordinates(["B cell", "new", "new"])
    np.testing.assert_allclose(first[1], first[2], atol=LOG_PROBS)
    monkeypatch.setattr(reader, "represent", lambda *_, **__: pytest.fail("represented again"))
    np.testing.assert_allclose(model.text_coordinates(["new", "B cell"]), first[[1, 0]], atol=UNIT)


def test_without_text_space(encoder: Any, tiny_backbone: Backbone, points: np.ndarray) -> None:
    bare = BioVerse.new(encoder, llm=tiny_backbone, n_soft=2, hidden=16)
    for call in (lambda: bare.nearest(points, NAMES), lambda: bare.coordinates(points), lambda: bare.space.dim):
        with pytest.raises(InputError, match="no text space"):
            call()
    assert bare.mean_soft_token(points).shape == (24, tiny_backbone.d_llm)


def test_wrong_embeddings_and_modality(model: BioVerse, points: np.ndarray) -> None:
    with pytest.raises(MismatchError, match=r"shape \(24, 1, 7\).*reads \(n, 1, 8\)"):
        model.project(points[:, :7])
    with pytest.raises(InputError, match=r"reads \['cell'\], not 'protein'"):
        model.score(points, NAMES, modality="protein")


def test_seed_decides_the_start(encoder: Any, tiny_backbone: Backbone) -> None:
    prints = [
        BioVerse.new(encoder, llm=tiny_backbone, n_soft=2, hidden=16, rng=seed).fingerprint() for seed in (1, 1, 2)
    ]
    assert prints[0] == prints[1]
    assert prints[0] != prints[2]


def test_fingerprint_sees_all_that_a_result_depends_on(model: BioVerse) -> None:
    first = model.fingerprint()
    assert model.copy(name="other").fingerprint() == first
    model.config.calibration["score"] = Calibration(temperature=1.5)
    second = model.fingerprint()
    with torch.no_grad():
        model.tokens.trained[0, 0] += 1e-3
    third = model.fingerprint()
    model.tokens.trained.data[0, 0] += 1e-3
    assert len({first, second, third, model.fingerprint()}) == 4


def test_a_model_goes_through_pickle(saved: Path, points: np.ndarray) -> None:
    model = load(saved)
    again = pickle.loads(pickle.dumps(model))
    assert again.fingerprint() == model.fingerprint()
    wanted = model.score(points, NAMES, progress=False)
    np.testing.assert_allclose(again.score(points, NAMES, progress=False), wanted, atol=LOG_PROBS)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])  # one of them is not what "auto" is on this machine
def test_number_types_go_through_pickle(saved: Path, tiny_llm: Path, dtype: Any) -> None:
    model = load(saved, llm=Backbone.load(str(tiny_llm), dtype=dtype))
    model.modules.half()
    again = pickle.loads(pickle.dumps(model))
    assert {one.dtype for one in again.modules.parameters()} == {torch.float16}
    assert again.fingerprint() == model.fingerprint()
    assert again.backbone.dtype == getattr(torch, dtype)
    # What was not handed in is loaded as is best where it is loaded.
    assert pickle.loads(pickle.dumps(load(saved))).readers.language.dtype == "auto"


def test_copy_has_weights_of_its_own(model: BioVerse, points: np.ndarray) -> None:
    before = model.score(points, NAMES, progress=False)
    other = model.copy(name="other")
    with torch.no_grad():
        other.modules["projectors"]["cell"].out.weight.add_(1.0)
    np.testing.assert_array_equal(model.score(points, NAMES, progress=False), before)
    assert other.name == "other"
    assert model.name == "tiny"


def test_encoders_of_one_modality(encoder: Any, tiny_backbone: Backbone) -> None:
    with pytest.raises(InputError, match="different modalities"):
        BioVerse.new([encoder, encoder], llm=tiny_backbone)
    with pytest.raises(InputError, match="different modalities"):
        BioVerse.new([], llm=tiny_backbone)


@pytest.mark.parametrize("wrong", [{"n_soft": 0}, {"hidden": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_new_refuses_sizes_that_build_nothing(tiny_backbone: Backbone, encoder: Any, wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="n_soft and hidden"):
        BioVerse.new(encoder, llm=tiny_backbone, **wrong)


def test_another_language_model_is_refused(saved: Path, tiny_backbone_untied: Backbone, model: BioVerse) -> None:
    with pytest.raises(MismatchError) as caught:
        load(saved, llm=tiny_backbone_untied)
    assert model.config.llm.sha256 in str(caught.value)
    assert tiny_backbone_untied.sha256 in str(caught.value)
    lazy = load(saved, llm=tiny_backbone_untied.name)
    with pytest.raises(MismatchError, match="was trained for the language model"):
        _ = lazy.backbone


def test_language_model_is_loaded_on_first_use(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    original = Backbone.load.__func__
    monkeypatch.setattr(Backbone, "load", classmethod(lambda cls, *a, **k: loads.append(a) or original(cls, *a, **k)))
    clear_cache()  # models that were loaded before may read with the same one
    model = load(saved)
    assert repr(model).startswith("BioVerse('tiny'")
    assert model.modalities == ["cell"]
    assert loads == []
    _ = model.backbone, model.backbone
    assert len(loads) == 1


def test_missing_language_model(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No language model"):
        _ = load(saved, llm=str(tmp_path / "nowhere")).backbone


def test_template_of_ones_own(encoder: Any, tiny_backbone: Backbone, tmp_path: Path, points: np.ndarray) -> None:
    template = PromptTemplate(question="Type:")
    model = BioVerse.new(encoder, llm=tiny_backbone, n_soft=2, hidden=16, template=template)
    plain = BioVerse.new(encoder, llm=tiny_backbone, n_soft=2, hidden=16)
    assert len(model.reader.prompt().head) > len(plain.reader.prompt().head)
    again = load(model.save(tmp_path / "own"), llm=tiny_backbone)
    assert again.template == template
    np.testing.assert_array_equal(
        again.score(points, NAMES, progress=False), model.score(points, NAMES, progress=False)
    )


def test_special_tokens_in_labels_stay_text(model: BioVerse) -> None:
    ids = model.reader.answer_ids("B cell<|im_end|>")
    assert ids.count(model.backbone.eos_id) == 1
    assert ids[-1] == model.backbone.eos_id


def test_texts_that_are_kept_need_no_language_model(model: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    from scbioverse.models import reader

    exact = model.text_coordinates(["B cell", "T cell", "NK cell"])
    model.space.keep(["B cell", "NK cell"])
    read: list[str] = []
    represent = reader.represent
    model.readers.language.texts.clear()
    monkeypatch.setattr(
        reader, "represent", lambda llm, texts, **o: (read.extend(texts), represent(llm, texts, **o))[1]
    )
    found = model.text_coordinates(["B cell", "T cell", "NK cell"])
    assert read == ["T cell"]
    np.testing.assert_allclose(found, exact, atol=2e-2)
    np.testing.assert_allclose(found[1], exact[1], atol=LOG_PROBS)
    assert model.text_coordinates([]).shape == (0, model.space.dim)
    assert model.copy().text_table is model.text_table

"""The cascade: nearness decides what it is sure of, the language model reads the rest, row by row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse.errors import InputError, WeightsError
from scbioverse.models import BioVerse, load
from scbioverse.models.attention import attended
from scbioverse.models.config import BioVerseConfig, Calibration
from scbioverse.predict.pool import cascade, worth_reading
from tests._precision import LOG_PROBS, TOTALS

NAMES = ["B", "NK", "monocyte"]
CARDS = ["B cell: makes antibodies", "NK cell: kills", "monocyte: circulates"]
TERMS = ["CL:0000236", "CL:0000623", "CL:0000576"]


@pytest.fixture
def pooled(model: BioVerse) -> BioVerse:
    copy = model.copy(name="pooled")
    if copy.text_space is None:
        copy.fit_text_space([*CARDS, "T cell", "neuron", "skin cell", "a chair"], dim=4)
    copy.config.calibration["cascade"] = Calibration(
        {"language_model": 0.5, "nearest": 3.0, "markers": 2.0}, thresholds={"sure": 0.6, "reach": 500.0}
    )
    copy.config.calibration["nearest"] = replace(copy.config.calibration["nearest"], weights={"markers": 1.0})
    return copy


def _rows(model: BioVerse, n: int = 12) -> np.ndarray:
    made = model.config.encoders["cell"]
    return np.random.default_rng(0).standard_normal((n, made.n_tokens, made.dim)).astype(np.float32)


def test_sure_rows_are_not_read_and_the_others_are_pooled(pooled: BioVerse) -> None:
    rows = _rows(pooled)
    evidence = np.zeros((len(rows), 3), np.float32)
    evidence[:5, 1] = 40.0
    found = cascade(pooled, rows, NAMES, CARDS, evidence=evidence)
    assert not found.read[:5].any()
    assert (found.log_probs[:5].argmax(axis=1) == 1).all()
    np.testing.assert_allclose(np.exp(found.log_probs).sum(axis=1), 1, atol=TOTALS)
    assert found.read.any()
    read = found.read
    cosine = pooled.coordinates(rows[read]) @ pooled.text_coordinates(CARDS).T
    said = pooled.score(rows[read], NAMES, calibrated=False)
    wanted = log_softmax(0.5 * said + 3.0 * cosine + 2.0 * evidence[read], axis=1)
    np.testing.assert_allclose(found.log_probs[read], wanted, atol=LOG_PROBS)


def test_a_row_does_not_depend_on_the_others(pooled: BioVerse) -> None:
    rows = _rows(pooled)
    whole = cascade(pooled, rows, NAMES, CARDS)
    for at in range(3):
        one = cascade(pooled, rows[at : at + 1], NAMES, CARDS)
        assert one.read[0] == whole.read[at]
        np.testing.assert_allclose(one.log_probs[0], whole.log_probs[at], atol=LOG_PROBS)


def test_sure_at_zero_never_asks_and_at_one_always(pooled: BioVerse) -> None:
    rows = _rows(pooled)
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 1.0, "nearest": 0.0}, thresholds={"sure": 0.0}
    )
    assert not cascade(pooled, rows, NAMES, CARDS).read.any()
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 1.0, "nearest": 0.0}, thresholds={"sure": 1.0}
    )
    found = cascade(pooled, rows, NAMES, CARDS)
    assert found.read.all()
    np.testing.assert_allclose(found.log_probs, pooled.score(rows, NAMES, calibrated=False), atol=LOG_PROBS)


def test_rows_that_no_word_could_change_are_not_read(pooled: BioVerse) -> None:
    rows = _rows(pooled)
    pool = Calibration({"language_model": 0.1, "nearest": 1.0, "markers": 1.0}, thresholds={"sure": 0.9, "reach": 20.0})
    apart = np.array([[0.0, 0.0, 0.0], [1.9, 0.0, 0.0], [2.1, 0.0, 0.0], [2.1, 0.2, 0.0]])
    assert worth_reading(pool, apart).tolist() == [True, True, False, True]
    assert not worth_reading(replace(pool, thresholds={"sure": 0.3}), apart).any()
    mute = replace(pool, weights={"nearest": 1.0, "markers": 1.0})  # its word has no weight
    assert not worth_reading(mute, np.zeros((4, 3))).any()
    assert not worth_reading(pool, np.zeros((4, 1))).any()
    # What is left out changes no label.
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 0.5, "nearest": 30.0}, thresholds={"sure": 1.0, "reach": 500.0}
    )
    whole = cascade(pooled, rows, NAMES, CARDS)
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 0.5, "nearest": 30.0}, thresholds={"sure": 1.0, "reach": 20.0}
    )
    part = cascade(pooled, rows, NAMES, CARDS)
    assert part.read.sum() < whole.read.sum()
    assert (part.log_probs.argmax(axis=1) == whole.log_probs.argmax(axis=1)).all()


def test_attention_has_a_say_where_prototypes_stand_for_terms(spoken: BioVerse) -> None:
    rows = _rows(spoken)
    spoken.config.calibration["cascade"] = Calibration({"nearest": 2.0, "markers": 0.0, "prototypes": 0.7})
    found = cascade(spoken, rows, NAMES, CARDS, terms=TERMS)
    cosine = spoken.coordinates(rows) @ spoken.text_coordinates(CARDS).T
    wanted = log_softmax(2.0 * cosine + 0.7 * attended(spoken, rows, TERMS), axis=1)
    np.testing.assert_allclose(found.log_probs, wanted, atol=LOG_PROBS)
    assert not found.read.any()
    without = cascade(spoken, rows, NAMES, CARDS)
    np.testing.assert_allclose(without.log_probs, log_softmax(2.0 * cosine, axis=1), atol=LOG_PROBS)
    with pytest.raises(InputError, match="2 terms"):
        cascade(spoken, rows, NAMES, CARDS, terms=TERMS[:2])


def test_no_rows(pooled: BioVerse) -> None:
    assert cascade(pooled, _rows(pooled, 0), NAMES, CARDS).log_probs.shape == (0, 3)


def test_refused_without_a_pool_and_with_wrong_shapes(pooled: BioVerse) -> None:
    with pytest.raises(InputError, match="evidence"):
        cascade(pooled, _rows(pooled), NAMES, CARDS, evidence=np.zeros((2, 3), np.float32))
    with pytest.raises(InputError, match="negative"):
        Calibration({"language_model": -1.0, "nearest": 0.0})
    del pooled.config.calibration["cascade"]
    with pytest.raises(InputError, match="no calibrated pool"):
        cascade(pooled, _rows(pooled), NAMES, CARDS)


def test_the_pool_is_kept_in_files_and_changes_the_fingerprint(pooled: BioVerse, tmp_path) -> None:
    before = pooled.fingerprint()
    kept = load(pooled.save(tmp_path / "m"), llm=pooled.backbone)
    assert kept.config.calibration == pooled.config.calibration
    assert kept.fingerprint() == before
    pooled.config.calibration["cascade"] = Calibration({"language_model": 0.6, "nearest": 3.0, "markers": 2.0})
    assert pooled.fingerprint() != before
    values = pooled.config.to_dict()
    values["calibration"]["cascade"]["weights"]["nearest"] = -2
    with pytest.raises(WeightsError, match="not the configuration"):
        BioVerseConfig.from_dict(values)

"""The pool: the other sources decide what they are sure of, the language model reads the rest, row by row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse.errors import InputError, WeightsError
from scbioverse.models import BioVerse, load
from scbioverse.models.config import BioVerseConfig, Calibration
from scbioverse.predict.candidates import Candidates, Label
from scbioverse.predict.embedding import Batch
from scbioverse.predict.pool import Scores, Weights, pick_method, pool, weights_of, worth_reading
from tests._precision import LOG_PROBS, TOTALS

NAMES = ["B", "NK", "monocyte"]
CARDS = ["makes antibodies", "kills", "circulates"]
TERMS = ["CL:0000236", "CL:0000623", "CL:0000576"]
LABELS = Candidates(
    tuple(Label(name, name, term, name, "given", card) for name, term, card in zip(NAMES, TERMS, CARDS, strict=True))
)
UNNAMED = Candidates(tuple(replace(one, cl_id=None) for one in LABELS))


@pytest.fixture
def pooled(model: BioVerse) -> BioVerse:
    copy = model.copy(name="pooled")
    if copy.text_space is None:
        copy.space.fit([*LABELS.cards, "T cell", "neuron", "skin cell", "a chair"], dim=4)
    copy.config.calibration["cascade"] = Calibration(
        {"language_model": 0.5, "nearest": 3.0, "markers": 2.0}, thresholds={"sure": 0.6, "reach": 500.0}
    )
    copy.config.calibration["nearest"] = replace(copy.config.calibration["nearest"], weights={"markers": 1.0})
    return copy


def _row(language_model: float, nearest: float, markers: float, prototypes: float = 0.0, **said: float) -> Calibration:
    weights = {"language_model": language_model, "nearest": nearest, "markers": markers, "prototypes": prototypes}
    return Calibration(weights, thresholds=said)


def _rows(model: BioVerse, n: int = 12) -> np.ndarray:
    made = model.config.encoders["cell"]
    return np.random.default_rng(0).standard_normal((n, made.n_tokens, made.dim)).astype(np.float32)


def _cascade(
    model: BioVerse, rows: np.ndarray, labels: Candidates = LABELS, evidence: np.ndarray | None = None
) -> Scores:
    batch = Batch(model, rows, evidence=None if evidence is None else lambda _: evidence)
    return pool(batch, labels, weights_of(model, "cascade", labels))


def test_sure_rows_are_not_read_and_the_others_are_pooled(pooled: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, score = _rows(pooled), pooled.score
    evidence = np.zeros((len(rows), 3), np.float32)
    evidence[:5, 1] = 40.0
    seen: list[np.ndarray] = []

    def listen(values: np.ndarray, *given: object, **more: object) -> np.ndarray:
        seen.append(values)
        return score(values, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(pooled, "score", listen)
    found = _cascade(pooled, rows, evidence=evidence)
    assert (found.log_probs[:5].argmax(axis=1) == 1).all()
    np.testing.assert_allclose(np.exp(found.log_probs).sum(axis=1), 1, atol=TOTALS)
    assert 0 < found.read == len(seen[0]) <= 7
    read = (rows[:, None] == seen[0][None]).all(axis=(2, 3)).any(axis=1)
    assert not read[:5].any()
    cosine = pooled.coordinates(rows[read]) @ pooled.text_coordinates(LABELS.cards).T
    said = score(rows[read], NAMES, terms=TERMS, calibrated=False)
    wanted = log_softmax(0.5 * said + 3.0 * cosine + 2.0 * evidence[read], axis=1)
    np.testing.assert_allclose(found.log_probs[read], wanted, atol=LOG_PROBS)


def test_a_row_does_not_depend_on_the_others(pooled: BioVerse) -> None:
    rows = _rows(pooled)
    whole = _cascade(pooled, rows)
    ones = [_cascade(pooled, rows[at : at + 1]) for at in range(len(rows))]
    np.testing.assert_allclose(np.concatenate([one.log_probs for one in ones]), whole.log_probs, atol=LOG_PROBS)
    assert sum(one.read for one in ones) == whole.read


def test_sure_at_zero_never_asks_and_at_one_always(pooled: BioVerse) -> None:
    rows = _rows(pooled)
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 1.0, "nearest": 0.0, "markers": 0.0}, thresholds={"sure": 0.0}
    )
    assert not _cascade(pooled, rows).read
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 1.0, "nearest": 0.0, "markers": 0.0}, thresholds={"sure": 1.0}
    )
    found = _cascade(pooled, rows)
    assert found.read == len(rows)
    wanted = pooled.score(rows, NAMES, terms=TERMS, calibrated=False)
    np.testing.assert_allclose(found.log_probs, wanted, atol=LOG_PROBS)


def test_rows_that_no_word_could_change_are_not_read(pooled: BioVerse) -> None:
    rows = _rows(pooled)
    weights = Weights({"language_model": 0.1, "nearest": 1.0, "markers": 1.0}, sure=0.9, reach=20.0)
    apart = np.array([[0.0, 0.0, 0.0], [1.9, 0.0, 0.0], [2.1, 0.0, 0.0], [2.1, 0.2, 0.0]])
    assert worth_reading(apart, weights).tolist() == [True, True, False, True]
    assert not worth_reading(apart, replace(weights, sure=0.3)).any()
    # A word without weight.
    assert not worth_reading(np.zeros((4, 3)), replace(weights, of={"nearest": 1.0})).any()
    assert not worth_reading(np.zeros((4, 1)), weights).any()
    # What is left out changes no label.
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 0.5, "nearest": 30.0, "markers": 0.0}, thresholds={"sure": 1.0, "reach": 500.0}
    )
    whole = _cascade(pooled, rows)
    pooled.config.calibration["cascade"] = Calibration(
        {"language_model": 0.5, "nearest": 30.0, "markers": 0.0}, thresholds={"sure": 1.0, "reach": 20.0}
    )
    part = _cascade(pooled, rows)
    assert part.read < whole.read
    assert (part.log_probs.argmax(axis=1) == whole.log_probs.argmax(axis=1)).all()


def test_attention_has_a_say_where_prototypes_stand_for_terms(spoken: BioVerse) -> None:
    rows = _rows(spoken)
    spoken.config.calibration["cascade"] = Calibration(
        {"language_model": 0.0, "nearest": 2.0, "markers": 0.0, "prototypes": 0.7}
    )
    found = _cascade(spoken, rows)
    cosine = spoken.coordinates(rows) @ spoken.text_coordinates(LABELS.cards).T
    wanted = log_softmax(2.0 * cosine + 0.7 * spoken.attention(rows, TERMS), axis=1)
    np.testing.assert_allclose(found.log_probs, wanted, atol=LOG_PROBS)
    assert not found.read
    without = _cascade(spoken, rows, UNNAMED)
    np.testing.assert_allclose(without.log_probs, log_softmax(2.0 * cosine, axis=1), atol=LOG_PROBS)


def test_no_rows(pooled: BioVerse) -> None:
    assert _cascade(pooled, _rows(pooled, 0)).log_probs.shape == (0, 3)


def test_refused_without_a_pool(pooled: BioVerse) -> None:
    with pytest.raises(InputError, match="negative"):
        _row(-1.0, 0.0, 0.0)
    del pooled.config.calibration["cascade"]
    with pytest.raises(InputError, match="no calibrated pool"):
        pick_method(pooled, "cascade")


def test_the_pool_is_kept_in_files_and_changes_the_fingerprint(pooled: BioVerse, tmp_path) -> None:
    before = pooled.fingerprint()
    kept = load(pooled.save(tmp_path / "m"), llm=pooled.backbone)
    assert kept.config.calibration == pooled.config.calibration
    assert kept.fingerprint() == before
    pooled.config.calibration["cascade"] = _row(0.6, 3.0, 2.0)
    assert pooled.fingerprint() != before
    values = pooled.config.to_dict()
    values["calibration"]["cascade"]["weights"]["nearest"] = -2
    with pytest.raises(WeightsError, match="not the configuration"):
        BioVerseConfig.from_dict(values)

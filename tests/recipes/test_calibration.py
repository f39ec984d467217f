"""How sources are weighed: on which studies, and never on cells of the study at hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import log_softmax

from recipes.bioverse_small import make
from recipes.bioverse_small.calibration import (
    CALIBRATORS,
    SURER,
    WEIGHERS,
    Answers,
    Calibration,
    Question,
    fit,
    pool_weights,
    share_weights,
)
from recipes.bioverse_small.rehearsals import SORTED, STUDY_FOLDS, share_cells
from scbioverse.train import fit_pool

B, NK, T = "CL:0000236", "CL:0000623", "CL:0000084"


def answers(study: str, seed: int, *, noise: float = 0.0) -> Answers:
    """A study whose markers know the labels, whose language model does not."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=400)
    sources = {name: rng.standard_normal((400, 3)) for name in ("score", "whole", "nearest", "head", "attention")}
    evidence = rng.standard_normal((400, 3)) + 2 * np.eye(3)[truth]
    sources["nearest"] += np.eye(3)[truth]
    said = np.where(rng.random(400) < noise, rng.integers(3, size=400), truth)
    asked = Question(study, [B, NK, T], np.zeros((400, 2), np.float32), evidence.astype(np.float32), said)
    return asked, {name: log_softmax(values, axis=1) for name, values in sources.items()}


def test_studies_of_one_experiment_share_cells() -> None:
    assert share_cells("kang_ifnb_pbmc", "kang_ifnb_pbmc")
    assert not share_cells("kang_ifnb_pbmc", "pancreas_baron_human")
    assert all(share_cells(one, other) for one in SORTED for other in SORTED)
    assert set(SORTED) <= set(STUDY_FOLDS["sorted+mouse"].studies)


def test_sources_that_know_nothing_get_no_weight_and_noisy_labels_set_no_confidence() -> None:
    clean = {study: answers(study, i) for i, study in enumerate(CALIBRATORS)}
    noisy = {study: answers(study, 9 + i, noise=0.6) for i, study in enumerate(set(WEIGHERS) - set(CALIBRATORS))}
    alone, both = fit(clean), fit({**clean, **noisy})
    assert alone.pool is not None
    assert both.pool is not None
    score, nearest, markers, attention = both.pool
    assert markers > 1
    assert nearest > 0.3
    assert max(score, attention) < 0.15
    assert markers == pytest.approx(alone.pool[2], rel=0.15)
    # Temperatures are the calibrators' business alone.
    assert (both.score, both.nearest, both.head) == (alone.score, alone.nearest, alone.head)


def test_what_is_read_with_markers_has_weights_and_temperatures_of_its_own() -> None:
    held = {study: answers(study, i) for i, study in enumerate(CALIBRATORS)}
    assert fit(held).asked is None  # nobody asked so
    for asked, values in held.values():
        # Answers three times as sure as they should be.
        values["asked"] = log_softmax(3 * asked.evidence, axis=1)  # type: ignore[index]
    found = fit(held)
    assert found.asked is not None
    attention, markers, temperature, alone = found.asked
    sets = [((values["attention"], asked.evidence), asked.truth) for asked, values in held.values()]
    assert (attention, markers) == pytest.approx([SURER * weight for weight in fit_pool(sets)], rel=1e-3)
    assert attention < 0.2 * markers  # it knows nothing
    assert temperature == pytest.approx(3 * SURER / markers, rel=0.1)
    assert alone > 5  # what it says without markers is noise
    assert found.table["candidate_tokens"].weight("prototypes") == attention
    assert found.table["candidate_tokens_alone"].temperature == alone
    # Sorted cells have a say in what to go by, none in how sure to be.
    noisy = {study: answers(study, 9 + i, noise=0.6) for i, study in enumerate(set(WEIGHERS) - set(CALIBRATORS))}
    assert share_weights({**held, **noisy})[1] == pytest.approx(markers, rel=0.15)


def test_no_study_is_calibrated_on_its_own_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[set[str]] = []

    def fitted(others: dict[str, Answers]) -> Calibration:
        used.append(set(others))
        return Calibration()

    monkeypatch.setattr(make, "fit", fitted)
    monkeypatch.setattr(make, "evaluate", lambda *_, **__: {})
    monkeypatch.setattr(make.data, "load_study", lambda name, _: name)
    rehearsed = {name: (_Model(), _Trained()) for name in STUDY_FOLDS}
    make.study_figures(rehearsed, {study: answers(study, 0) for study in WEIGHERS}, 0)  # type: ignore[arg-type]
    studies = [study for name in STUDY_FOLDS for study in STUDY_FOLDS[name].studies]
    assert len(used) == len(studies)
    for study, others in zip(studies, used, strict=True):
        assert others
        assert not any(share_cells(study, other) for other in others)


class _Model:
    config = SimpleNamespace()  # takes any temperature


class _Trained:
    class stats:  # noqa: N801 - stands for an attribute
        genes = ("A", "B")


def test_the_language_model_is_pooled_where_its_word_is_worth_reading() -> None:
    held = {study: answers(study, i) for i, study in enumerate(CALIBRATORS)}
    assert pool_weights(held)[0] == 0.0
    weights = {}
    for strength in (0.2, 1.5):
        for i, (asked, values) in enumerate(held.values()):
            spoken = np.random.default_rng(i).standard_normal((400, 3)) + strength * np.eye(3)[asked.truth]
            values["score"] = log_softmax(spoken, axis=1)  # type: ignore[index]
        sets = [((v["score"], v["nearest"], a.evidence, v["attention"]), a.truth) for a, v in held.values()]
        weights[strength] = fit_pool(sets)[0], pool_weights(held)
    fitted, pooled = weights[0.2]
    assert fitted > 0.05  # it knows a little, and would be weighed
    assert pooled[0] == 0.0
    quick = fit_pool([((v["nearest"], a.evidence, v["attention"]), a.truth) for a, v in held.values()])
    assert pooled[1:] == pytest.approx(quick, abs=1e-3)
    fitted, pooled = weights[1.5]
    assert pooled[0] == pytest.approx(fitted)
    assert pooled[0] > 0.5

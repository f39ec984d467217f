from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse.train import expected_calibration_error, fit_pool, fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_the_temperature_that_was_planted(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6000, 5)) * 2
    truth = np.array([rng.choice(5, p=np.exp(row)) for row in log_softmax(logits, axis=1)])
    sharp = log_softmax(logits * temperature, axis=1)
    assert fit_temperature(sharp, truth) == pytest.approx(temperature, rel=0.08)


def test_rows_without_truth_do_not_count() -> None:
    rng = np.random.default_rng(1)
    scores, truth = log_softmax(rng.normal(size=(300, 4)), axis=1), rng.integers(0, 4, 300)
    one = fit_temperature(scores, np.where(np.arange(300) < 200, truth, -1))
    assert one == pytest.approx(fit_temperature(scores[:200], truth[:200]), rel=1e-6)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, False, True, True])
    assert expected_calibration_error(confidence, right) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert expected_calibration_error(np.ones(3), np.ones(3, bool)) == 0.0


def test_finds_the_temperature_and_the_weight_that_were_planted() -> None:
    rng = np.random.default_rng(2)
    sets = []
    for m in (4, 7):
        logits, evidence = rng.normal(size=(5000, m)) * 2, rng.normal(size=(5000, m))
        truth = np.array([rng.choice(m, p=np.exp(row)) for row in log_softmax(logits + 1.5 * evidence, axis=1)])
        sets.append(((log_softmax(logits * 2.0, axis=1), evidence), truth))
    inverse, weight = fit_pool(sets)
    assert 1 / inverse == pytest.approx(2.0, rel=0.08)
    assert weight == pytest.approx(1.5, rel=0.08)


def test_worthless_evidence_gets_no_weight() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 2000)
    scores = log_softmax(rng.normal(size=(2000, 3)) + 2 * np.eye(3)[truth], axis=1)
    against = -np.eye(3)[truth] + rng.normal(size=(2000, 3))
    assert fit_pool([((scores, against), truth)])[1] == pytest.approx(0.0, abs=1e-3)


def test_each_set_counts_the_same() -> None:
    rng = np.random.default_rng(4)

    def one(n: int, share: float) -> tuple[tuple[np.ndarray], np.ndarray]:
        truth = rng.integers(0, 2, n)
        shown = np.where(rng.random(n) < share, truth, 1 - truth)
        return (log_softmax(3.0 * np.eye(2)[shown], axis=1),), truth

    small, large = one(200, 0.95), one(20_000, 0.6)
    both = fit_pool([small, large])
    assert fit_pool([small]) > both > fit_pool([large])


def test_a_pool_gives_weight_to_the_source_that_knows_and_none_to_noise():
    rng = np.random.default_rng(3)
    truth = rng.integers(4, size=600)
    knows = rng.standard_normal((600, 4))
    knows[np.arange(600), truth] += 1.5
    noise = rng.standard_normal((600, 4))
    one, other = fit_pool([((knows[:300], noise[:300]), truth[:300]), ((knows[300:], noise[300:]), truth[300:])])
    # Equal normal distributions shifted by d have the log-likelihood ratio d · x.
    assert one == pytest.approx(1.5, abs=0.3)
    assert abs(other) < 0.2


def test_a_pool_of_one_source_is_a_temperature():
    rng = np.random.default_rng(4)
    truth = rng.integers(3, size=400)
    scores = rng.standard_normal((400, 3)) * 2
    scores[np.arange(400), truth] += 2
    (weight,) = fit_pool([((scores,), truth)])
    assert 1 / weight == pytest.approx(fit_temperature(scores, truth), rel=0.02)


def test_a_set_with_a_scale_of_its_own_weighs_sources_and_sets_no_confidence():
    rng = np.random.default_rng(5)

    def one(n: int, noise: float) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        truth = rng.integers(4, size=n)
        good, worse = rng.standard_normal((2, n, 4))
        good[np.arange(n), truth] += 1.5
        worse[np.arange(n), truth] += 0.5
        said = np.where(rng.random(n) < noise, rng.integers(4, size=n), truth)
        return (good, worse), said

    clean, noisy = one(3000, 0.0), one(3000, 0.5)
    alone = fit_pool([clean])
    both = fit_pool([clean, noisy], own_scale=[False, True])
    mixed = fit_pool([clean, noisy])
    assert alone == pytest.approx((1.5, 0.5), rel=0.15)
    assert both == pytest.approx(alone, rel=0.1)
    assert mixed[0] < 0.8 * alone[0]  # noise in labels counted as doubt


def test_the_noisy_set_has_a_say_in_the_ratio():
    rng = np.random.default_rng(6)
    truth = rng.integers(3, size=2000)
    first, second = rng.standard_normal((2, 2000, 3))
    first[np.arange(2000), truth] += 1.0
    second[np.arange(2000), truth] += 1.0
    blank = np.zeros_like(second)
    # The first set knows nothing of the second source: alone it gives no weight that means anything.
    found = fit_pool([((first, blank), truth), ((first, second), truth)], own_scale=[False, True])
    assert found[1] / found[0] == pytest.approx(1.0, rel=0.15)

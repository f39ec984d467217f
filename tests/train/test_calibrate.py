from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse._errors import InputError
from scbioverse.train import expected_calibration_error, fit_temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_the_temperature_that_was_planted(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6000, 5)) * 2
    truth = np.array([rng.choice(5, p=np.exp(row)) for row in log_softmax(logits, axis=1)])
    sharp = log_softmax(logits * temperature, axis=1)
    assert fit_temperature(sharp, truth) == pytest.approx(temperature, rel=0.08)


def test_rows_without_truth_and_weights_of_zero_do_not_count() -> None:
    rng = np.random.default_rng(1)
    scores, truth = log_softmax(rng.normal(size=(300, 4)), axis=1), rng.integers(0, 4, 300)
    weights = np.ones(300)
    weights[200:] = 0
    masked = np.where(np.arange(300) < 200, truth, -1)
    one, two = fit_temperature(scores, masked), fit_temperature(scores, truth, weights=weights)
    assert one == pytest.approx(two, rel=1e-6)
    assert one == pytest.approx(fit_temperature(scores[:200], truth[:200]), rel=1e-6)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, False, True, True])
    assert expected_calibration_error(confidence, right) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert expected_calibration_error(np.ones(3), np.ones(3, bool)) == 0.0


def test_bad_input() -> None:
    with pytest.raises(InputError, match="do not fit"):
        fit_temperature(np.zeros((3, 2)), np.array([0, 1]))
    with pytest.raises(InputError, match="no row has a truth"):
        fit_temperature(np.zeros((1, 2)), np.array([-1]))
    with pytest.raises(InputError, match="one length"):
        expected_calibration_error(np.zeros(0), np.zeros(0, bool))

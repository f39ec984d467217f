"""Attention over prototypes as a classifier of candidates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse.errors import InputError, WeightsError
from scbioverse.models import load
from scbioverse.models.config import EncoderConfig
from scbioverse.models.score import KIN_NATS, best_of_columns
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.models import BioVerse

B, NAIVE_B, NK, MONOCYTE, CD14, CD16, NEURON = (f"CL:{i:07}" for i in (236, 788, 623, 576, 1054, 2396, 540))


def test_a_candidate_gets_the_best_of_what_lies_below_it(spoken: BioVerse, points: np.ndarray) -> None:
    projector, x = spoken.ready(points, "cell")
    logits = projector.logits(x).detach().numpy()
    found = spoken.attention(points, [B, NK, MONOCYTE])
    assert found is not None
    wanted = np.stack([logits[:, :2].max(axis=1), logits[:, 2], logits[:, 3]], axis=1)
    np.testing.assert_allclose(found, log_softmax(wanted, axis=1), atol=LOG_PROBS)
    # A finer candidate takes its own term away from the coarser one.
    finer = spoken.attention(points, [B, NK, NAIVE_B])
    assert finer is not None
    np.testing.assert_allclose(finer, log_softmax(logits[:, [0, 2, 1]], axis=1), atol=LOG_PROBS)


def test_candidates_that_nothing_is_known_of_are_neither_favoured_nor_ruled_out() -> None:
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 5.0, 1.0]])
    found = best_of_columns(logits, [[0], [], [1, 2]])
    assert found is not None
    np.testing.assert_allclose(found, log_softmax([[3.0, 2.0, 1.0], [0.0, 2.5, 5.0]], axis=1))
    assert best_of_columns(logits, [[0], [], []]) is None
    np.testing.assert_allclose(best_of_columns(logits, [[0], [], [1, 2]], [[], [], []]), found)


def test_a_candidate_without_terms_is_judged_by_its_kin() -> None:
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 5.0, 1.0]])
    found = best_of_columns(logits, [[0], [], [1, 2], []], [[1], [1, 2], [0], []])  # kin of others does not count
    wanted = [[3.0, 0.5 - KIN_NATS, 1.0, 2.0], [0.0, 3.0 - KIN_NATS, 5.0, 2.5]]
    np.testing.assert_allclose(found, log_softmax(wanted, axis=1))


def test_an_untrained_type_is_likely_where_its_kin_is(spoken: BioVerse, points: np.ndarray) -> None:
    # CD14 monocytes are trained, CD16 monocytes are not.
    projector, x = spoken.ready(points, "cell")
    logits = projector.logits(x).detach().numpy()
    found = spoken.attention(points, [B, NK, CD16])
    assert found is not None
    wanted = np.stack([logits[:, :2].max(axis=1), logits[:, 2], logits[:, 3] - KIN_NATS], axis=1)
    np.testing.assert_allclose(found, log_softmax(wanted, axis=1), atol=LOG_PROBS)


def test_nothing_is_said_without_terms_or_with_one_known_candidate(
    spoken: BioVerse, model: BioVerse, points: np.ndarray
) -> None:
    assert spoken.attention(points, [B, NEURON]) is None
    assert spoken.attention(points, [B, None]) is None
    assert spoken.attention(points[:0], [B, NK]) is None
    assert model.attention(points, [B, NK]) is None  # a perceptron
    assert spoken.attention(points, [B, None, NK]) is not None


def test_terms_are_kept_in_files_and_must_be_as_many_as_prototypes(spoken: BioVerse, tmp_path: Path) -> None:
    kept = load(spoken.save(tmp_path / "m"), llm=spoken.backbone)
    assert kept.config.encoders["cell"].terms == spoken.config.encoders["cell"].terms
    assert kept.fingerprint() == spoken.fingerprint()
    with pytest.raises(InputError, match="name the prototypes' terms"):
        EncoderConfig("compact", "x", "y", 8, 1, candidates=("CL:0000236",), terms=("",))
    values = json.loads((tmp_path / "m" / "config.json").read_text())
    del values["sha256"], values["encoders"]["cell"]["terms"][1:]
    (tmp_path / "m" / "config.json").write_text(json.dumps(values))
    with pytest.raises(WeightsError, match="does not fit"):
        load(tmp_path / "m", llm=spoken.backbone)

"""A new source is one file and one weight."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from scbioverse.models import BioVerse
from scbioverse.predict import sources
from scbioverse.predict.candidates import read_labels
from scbioverse.predict.embedding import Batch
from scbioverse.predict.pool import Weights, pool
from tests._precision import LOG_PROBS

FILE = '''
import numpy as np

class Length:
    """The longer a name, the less it is believed."""

    name = "length"

    def scores(self, batch, candidates):
        return -np.ones((len(batch), 1)) * [len(name) for name in candidates.names]

SOURCE = Length
'''


def test_a_file_and_a_weight_are_enough(model: BioVerse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "length.py").write_text(FILE)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "scbioverse.predict.sources.length", raising=False)
    labels = read_labels(["B cell", "platelet", "NK cell"], model)
    rows = np.random.default_rng(0).standard_normal((5, 1, 8)).astype(np.float32)
    batch = Batch(model, rows)
    found = pool(batch, labels, Weights({"nearest": 2.0, "length": 0.3}))
    cosine = model.coordinates(rows) @ model.text_coordinates(labels.cards).T
    wanted = log_softmax(2.0 * cosine - 0.3 * np.array([6, 8, 7]), axis=1)
    np.testing.assert_allclose(found.log_probs, wanted, atol=LOG_PROBS)

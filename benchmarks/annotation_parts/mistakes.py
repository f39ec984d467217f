"""Why cells are called wrongly: the commonest confusions of the default, and which sources and genes spoke for them."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from benchmarks.annotation_parts.measures import Row
from benchmarks.annotation_parts.ours import Raw, pooled_answer
from recipes.bioverse_small.calibration import Calibration
from recipes.bioverse_small.data import Study
from scbioverse.encoders._panel_share import GeneStats, panel_evidence
from scbioverse.knowledge.markers import marker_weights

GENES = 4


def mistakes(raw: Raw, calibration: Calibration, study: Study, stats: GeneStats, *, most: int = 3) -> list[Row]:
    """Return the commonest confusions of the cascade, the commonest first.

    Parameters
    ----------
    raw
        What was said of the study's cells.
    calibration
        Its pool weighs the sources; without one there is nothing to tell.
    study
        The cells that were asked about.
    stats
        Means and standard deviations of genes that marker evidence was computed with.
    most
        Confusions to return.

    Returns
    -------
    For each: names `true` and `called`; how many cells, and `of` how many of the label; `attention`, `nearest` and
    `markers`, by how many nats the source prefers the wrong name to the right one, the mean over these cells, weighed
    as the pool weighs it; `genes`, whose z-scores add most to what markers say for the wrong name.
    """
    pool, asked = calibration.cascade, raw.asked
    if pool is None:
        return []
    called = pooled_answer(raw.answers, pool)[0].argmax(1)
    wrong = np.flatnonzero(called != asked.truth)
    pairs, count = np.unique(np.stack([asked.truth[wrong], called[wrong]], axis=1), axis=0, return_counts=True)
    panel = stats.panel(np.flatnonzero(study.panel))
    genes = [str(stats.genes[at]) for at in panel.vocab]
    weights = marker_weights(asked.candidates, genes).toarray()
    sources = {
        "attention": pool.weight("prototypes") * raw.values["attention"],
        "nearest": pool.weight("nearest") * raw.values["nearest"],
        "markers": pool.weight("markers") * asked.evidence,
    }
    rows: list[Row] = []
    for one in np.argsort(-count, kind="stable")[:most]:
        right, name = pairs[one]
        cells = np.flatnonzero((asked.truth == right) & (called == name))
        z = panel_evidence(
            study.counts[cells][:, panel.vocab], stats, panel, sparse.eye_array(len(genes), format="csr")
        )
        spoken = pool.weight("markers") * z.mean(0) * (weights[name] - weights[right])
        top = [at for at in np.argsort(-spoken, kind="stable")[:GENES] if spoken[at] > 0]
        rows.append(
            {
                "true": asked.names[right],
                "called": asked.names[name],
                "cells": len(cells),
                "of": int((asked.truth == right).sum()),
                **{key: round(float((v[cells, name] - v[cells, right]).mean()), 2) for key, v in sources.items()},
                "genes": {genes[at]: round(float(spoken[at]), 2) for at in top},
            }
        )
    return rows

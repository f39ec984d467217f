"""Marker scoring as people do it: over the pooled marker tables, against the other cells of the study."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData

from benchmarks.annotation_parts.measures import Meter, Row, cost, measures
from benchmarks.annotation_parts.posing import Test, log_shares
from scbioverse.knowledge.markers import markers_for

MAX_MARKERS = 50


def marker_lists(candidates: list[str], genes: list[str]) -> list[list[str]]:
    """Return the 50 strongest measured markers of each candidate; those of terms below it where it has none."""
    measured = set(genes)
    found = []
    for one in candidates:
        own = [gene for gene in markers_for(one)["gene"] if gene in measured]
        own = own or [gene for gene in markers_for(one, include="descendants")["gene"] if gene in measured]
        found.append(own[:MAX_MARKERS])
    return found


def marker_rows(test: Test, vocabulary: list[str], seed: int) -> dict[str, Row]:
    """Mean z-score of the markers, and scanpy's `score_genes`; both see the study's other cells."""
    panel = np.flatnonzero(test.study.panel)
    genes = [vocabulary[at] for at in panel]
    n, m = len(test.truth), len(test.candidates)
    out = {}
    with Meter() as meter:
        lists = marker_lists(test.candidates, genes)
        logged = log_shares(test.study.counts[:, panel])
        column = {gene: i for i, gene in enumerate(genes)}
        used = sorted({gene for one in lists for gene in one})
        dense = logged[:, [column[gene] for gene in used]].toarray()
        z = (dense - dense.mean(0)) / (dense.std(0) + 1e-6)
        at = {gene: i for i, gene in enumerate(used)}
        scores = np.full((n, m), -np.inf)
        for i, one in enumerate(lists):
            if one:
                scores[:, i] = z[:, [at[gene] for gene in one]].mean(1)
        called = scores.argmax(1)
    out["marker z-mean"] = measures(called, test.truth, test.candidates) | cost(n, meter.seconds, meter)
    with Meter() as meter, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lists = marker_lists(test.candidates, genes)
        adata = AnnData(log_shares(test.study.counts[:, panel]), var=pd.DataFrame(index=pd.Index(genes, dtype=str)))
        scores = np.full((n, m), -np.inf)
        for i, one in enumerate(lists):
            # The controls are other genes of the same expression: with all genes as markers there are none.
            if one and len(one) < len(genes):
                sc.tl.score_genes(adata, one, score_name="score", random_state=seed)
                scores[:, i] = adata.obs["score"]
        called = scores.argmax(1)
    out["score_genes"] = measures(called, test.truth, test.candidates) | cost(n, meter.seconds, meter)
    return out

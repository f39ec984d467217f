"""Genes that set labelled cells apart, for the lessons of :func:`scbioverse.tl.tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..explain.claims import Claim
from ..explain.test import judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..explain.sample import MeasuredCells

# Genes looked at closely: those with the largest difference in the share of cells that express them.
_SHORTLIST = 120
_KEPT = 50
_COLUMNS = ["gene", "fraction_in", "fraction_out", "log_fold_change", "p_high", "n_in", "n_out"]


def top_genes(data: MeasuredCells | None, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> pd.DataFrame:
    """Genes that are higher inside than outside by the rules that claims are tested with, the clearest first.

    Ordered by the difference of the fractions that express them times the log2 fold change; none without data.
    """
    if data is None or not inside.any() or not outside.any():
        return pd.DataFrame(columns=_COLUMNS)
    genes = sorted(data.expression.positions)
    here, there = inside[data.rows], outside[data.rows]
    hits = data.expression.logs(genes)
    hits.data = np.ones_like(hits.data)
    rows = hits.tocsr()
    difference = np.asarray(rows[here].mean(axis=0)).ravel() - np.asarray(rows[there].mean(axis=0)).ravel()
    short = [genes[i] for i in np.argsort(-difference, kind="stable")[:_SHORTLIST] if difference[i] > 0]
    found = [
        (gene, one.fraction_in, one.fraction_out, one.log_fold_change, one.p_high, one.n_in, one.n_out)
        for gene, one in data.measure(inside, short, outside).items()
        if judge(Claim(gene, (gene,), "high", 0), {gene: one})[0] == "supported"
    ]
    table = pd.DataFrame(found, columns=_COLUMNS)
    strength = (table["fraction_in"] - table["fraction_out"]) * table["log_fold_change"]
    order = np.lexsort((table["gene"].astype(str), -strength))
    return table.iloc[order].head(_KEPT).reset_index(drop=True)

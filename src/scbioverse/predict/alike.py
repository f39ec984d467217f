"""Cells that are alike by what they express themselves, whatever a model makes of them.

A model that was trained on other tissues, or on other genes, tells the types of a study apart less well than the
study's own variable genes do, and an embedding knows nothing of these. So a cell also hears what cells like it are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.special import log_softmax

from .._logging import logger
from ..errors import BioverseError
from ..io import row_blocks
from ..io.cells import SAMPLE_CELLS
from .groups import nearest_each

if TYPE_CHECKING:
    from ..io import Cells

Float = NDArray[np.float32]
# Variable genes, principal components of these, and cells that each cell hears. Others from 1,000 to 3,000, 15 to 50
# and 5 to 30 are as good (`python -m benchmarks.first_call`, "not by their own genes", is without).
N_GENES, N_COMPONENTS, N_ALIKE = 1000, 30, 10
# A gene has to be in so many cells: of one in fewer nothing can be told.
_FEWEST = 10
_BINS = 20
_SUM = 1e4
_ROWS = 2048  # rows that are scaled at once
_CLIP = 10.0
# What the sum of a cell's log-probabilities and its neighbours' is divided by: they are not independent. Of 1, 1.3, 1.6
# and 2, by the calibration error on the development studies of `benchmarks.first_call`.
SOFTEN = 1.6


def alike_cells(cells: Cells) -> NDArray[np.int64] | None:
    """Find for each cell those that are most like it in this data set's own variable genes: int64 (n, k), -1 for none.

    Each cell is brought to a sum of 10,000, the 1,000 genes are taken that vary most beside others of their
    mean (as Satija et al. 2015 do), and of their standardised logarithms 30 principal components; alike is what has
    the largest cosine there. Of the cells without any of these genes nothing is known.

    All values are held in memory for it: those of a file that were not kept are read once more. None, said in the log,
    where no genes can be read; and for more than 20,000 cells, or fewer than there are neighbours to look for.
    """
    if not N_ALIKE < cells.n_obs <= SAMPLE_CELLS:
        return None
    try:
        counts = cells.linear(slice(0, cells.n_obs))
    except BioverseError as error:
        logger.info("names go by the model alone, since the genes cannot be read: %s", error)
        return None
    return nearest(components(counts))


def components(counts: sparse.csr_array) -> Float:
    """Return principal components, float32 (n, at most 30), of the variable genes of `counts`, CSR (n, m), linear."""
    sums = np.asarray(counts.sum(axis=1)).ravel()
    # Logarithms have lost their sums, so that a sum of the data's own would treat them otherwise than counts.
    factors = (_SUM / np.where(sums > 0, sums, 1)).astype(np.float32)
    columns = variable_genes(counts, factors)
    values = np.empty((counts.shape[0], columns.size), dtype=np.float32)
    for rows in row_blocks(counts, _ROWS):
        np.log1p(counts[rows][:, columns].toarray() * factors[rows, None], out=values[rows])
    values -= values.mean(axis=0)
    spread = values.std(axis=0)
    values /= np.where(spread > 0, spread, 1)
    values.clip(-_CLIP, _CLIP, out=values)
    # Of the covariance rather than of the values: nothing random, and few genes.
    among = values.T @ values
    kept = min(N_COMPONENTS, len(among))
    if not kept:
        return np.zeros((len(values), 0), dtype=np.float32)
    _, directions = linalg.eigh(among, subset_by_index=(len(among) - kept, len(among) - 1))
    return np.asarray(values @ directions, dtype=np.float32)


def variable_genes(counts: sparse.csr_array, factors: Float) -> NDArray[np.int64]:
    """Columns that vary most beside others of their mean, increasing: at most 1,000 of those in 10 cells or more.

    Of the logarithm of variance over mean, standardised among the genes of a twentieth of all means. `counts` are CSR
    (n, m), each row of which is multiplied with one of the `factors`, (n,).
    """
    n, m = counts.shape
    held, total, squares = np.zeros(m), np.zeros(m), np.zeros(m)
    for rows in row_blocks(counts, _ROWS):
        block = counts[rows]
        scaled = block.data.astype(np.float64) * np.repeat(factors[rows], np.diff(block.indptr))
        for out, weights in ((held, scaled > 0), (total, scaled), (squares, scaled**2)):
            out += np.bincount(block.indices, weights, minlength=m)
    columns = np.flatnonzero(held >= _FEWEST)
    if not columns.size:
        return columns
    mean = total[columns] / n
    dispersion = np.log((squares[columns] / n - mean**2).clip(1e-12) / mean)
    score = np.empty(columns.size)
    for some in np.array_split(np.argsort(mean, kind="stable"), min(_BINS, columns.size)):
        score[some] = (dispersion[some] - np.median(dispersion[some])) / (dispersion[some].std() + 1e-9)
    return np.sort(columns[np.argsort(-score, kind="stable")[:N_GENES]])


def nearest(places: Float) -> NDArray[np.int64]:
    """Return the 10 rows with the largest cosine to each row of `places` (n, d), int64 (n, 10); -1 for zeros."""
    out = np.full((len(places), N_ALIKE), -1, dtype=np.int64)
    rows, near = nearest_each(places, N_ALIKE, 0)  # so few rows are searched whole: no seed decides
    if near.shape[1] == N_ALIKE:
        out[rows] = near
    return out


def hear(log_probs: Float, near: NDArray[np.int64]) -> Float:
    """Let the mean probability of alike cells count as a prior for each: log-probabilities, float32 (n, m).

    `near` as :func:`alike_cells` gives it. One cell's weight is spread over all names, so that none is ruled out, and
    the sum is divided by :data:`SOFTEN`. Cells that hear none keep their own.
    """
    heard = near[:, 0] >= 0
    spread = 1 / (near.shape[1] * log_probs.shape[1])
    prior = np.log(np.exp(log_probs)[near[heard]].mean(axis=1) + spread)
    out = log_probs.astype(np.float32, copy=True)
    out[heard] = log_softmax((log_probs[heard] + prior) / SOFTEN, axis=1)
    return out

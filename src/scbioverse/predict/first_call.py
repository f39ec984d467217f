"""Annotation without candidates: groups are found and named, and every cell chooses among the names found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax

from .._logging import logger
from ..knowledge.candidates import is_within
from ..knowledge.levels import lift
from .candidates import own_labels
from .find_groups import MOST_CELLS, content_keys, find_groups
from .group_reading import read_groups_of
from .groups import Groups, group_scores
from .levels import name_groups
from .options import pick_method
from .pool import Scores, pool, weights_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .candidates import Candidates
    from .decide import Calls
    from .group_reading import Reading
    from .levels import Level, Named
    from .sources import Batch
    from .tissue_rows import RowTissues

    Float = NDArray[np.float32]

# A name is offered to all cells if a group has it that is of this type by more than an even chance, or that is large; a
# group of three or four cells has to be surer, since three alike cells are soon found.
SURE, SURE_OF_FEW, LARGE = 0.5, 0.8, 0.03
_FEW = 5
# Cells that are named one by one where no groups are found.
_MOST_ALONE = 100
# Of many cells so many of a group are enough to name it by, or all that it has.
_LEAST_ROWS = 20
# Best names by the pooled scores that the record shows beside those that the language model said.
_SHOWN = 3


@dataclass(frozen=True)
class Found:
    """What was found before any cell was called.

    Attributes
    ----------
    groups
        Groups of cells.
    names
        Cell Ontology ids: the names that cells choose among.
    record
        One dict a group: `proposed` (the pooled scores' best names and what the language model said), `read` (what it
        said of the mean, and of single cells).
    n_read
        Means and cells that the language model read.
    tissues
        Those given, doubted, or guessed.
    """

    groups: Groups
    names: list[str]
    record: list[dict[str, Any]]
    n_read: int
    tissues: RowTissues | None = None


def first_call(
    batch: Batch,
    vocabulary: Candidates,
    groups: Groups | None,
    *,
    method: str | None = None,
    level: Level = "auto",
    markers: bool | None = None,
    seed: int = 0,
    tissues: RowTissues | None = None,
) -> Scores:
    """Find names and score them for every cell.

    Parameters
    ----------
    batch
        The cells.
    vocabulary
        The model's own, with nested terms.
    groups
        The user's; None: they are found (:func:`.find_groups.find_groups`).
    method
        How cells choose among the names; None: the model's best.
    level
        See :func:`.levels.name_groups`.
    markers
        As in :func:`.pool.pool`.
    seed
        For the groups.
    tissues
        The tissue of each cell; where none was given, one is guessed. None: all are alike.

    Returns
    -------
    Log-probabilities of the names for every cell, with its group as a prior where groups were found.
    """
    found = find_names(batch, vocabulary, groups, level=level, markers=markers, seed=seed, tissues=tissues)
    names = own_labels(found.names, batch.model.config.names)
    weights = weights_of(batch.model, pick_method(batch.model, method, batch.modality), names, batch.modality)
    scores = pool(batch, names, weights, markers=markers, say=False)
    given = scores.log_probs if groups is not None else group_prior(scores.log_probs, found.groups)
    read = scores.read + found.n_read
    word = f"the language model read {found.n_read} means and cells of groups, and its word was added"
    logger.info(
        "%d groups of cells, %d names found for them by embeddings and markers; %s",
        len(found.groups.names), len(names), word if found.n_read else "the language model was not read",
    )  # fmt: skip
    return replace(scores, log_probs=given, read=read, found=found.groups, told=found.record, tissues=found.tissues)


def find_names(
    batch: Batch,
    vocabulary: Candidates,
    groups: Groups | None,
    *,
    level: Level = "auto",
    markers: bool | None = None,
    seed: int = 0,
    tissues: RowTissues | None = None,
) -> Found:
    """Name groups by the pooled scores of the vocabulary and the language model's word; parameters as `first_call`."""
    of_all = find_groups(batch.values, seed) if groups is None else groups
    if not of_all.names:
        of_all = _each_alone(batch.values, seed)
    rows = _enough(of_all, batch.values, seed)
    part = batch if rows is None else batch.with_genes(rows)
    some = of_all if rows is None else Groups(of_all.names, of_all.codes[rows])
    method = pick_method(batch.model, None, batch.modality)
    weights = weights_of(batch.model, method, vocabulary, batch.modality)
    pooled = group_scores(pool(part, vocabulary, weights, markers=markers, say=False).log_probs, some).astype(
        np.float64
    )
    reading = read_groups_of(part, some, vocabulary)
    ranked = pooled + (0.0 if reading is None else reading.log_probs)
    ids = [str(one) for one in vocabulary.terms]
    if tissues is not None:
        adjusted, tissues = tissues.in_groups(ranked, pooled, ids, of_all)
        ranked = adjusted.astype(np.float64)
    named = name_groups(ranked, ids, of_all.sizes, level)
    names = _worth_offering(named, of_all.sizes, len(batch))
    record = _record(pooled, reading, vocabulary)
    return Found(of_all, names, record, 0 if reading is None else reading.n_read, tissues)


def _each_alone(values: Float, seed: int) -> Groups:
    """Name cells one by one where they are too few, or too unlike, for groups; equal cells are one, many are together.

    Together, cells of several types would get one name: of up to 16 all are each other's nearest.
    """
    _, codes = np.unique(content_keys(values, seed), return_inverse=True)
    n = int(codes.max()) + 1
    return Groups([str(i + 1) for i in range(n)], codes) if n <= _MOST_ALONE else Groups(["1"], np.zeros_like(codes))


def _enough(groups: Groups, values: Float, seed: int) -> NDArray[np.int64] | None:
    """Rows that are enough to name groups by: of each its share of 20,000, at least 20; None: all of them."""
    if groups.codes.size <= MOST_CELLS:
        return None
    n = groups.codes.size
    # By group, and in a group by what is in the cells, so that the order of the rows changes nothing.
    order = np.lexsort((content_keys(values, seed), groups.codes))
    ordered = groups.codes[order]
    rank = np.arange(n) - np.searchsorted(ordered, ordered, side="left")
    most = groups.spread(np.maximum(_LEAST_ROWS, groups.sizes * MOST_CELLS // n), 0)
    return np.sort(order[(ordered >= 0) & (rank < most[order])])


def _worth_offering(named: Named, sizes: NDArray[np.integer], n: int) -> list[str]:
    """Names of groups that are certain enough, or large; at least two, or nothing could be decided."""
    kept = (named.sure >= np.where(sizes < _FEW, SURE_OF_FEW, SURE)) | (sizes >= LARGE * n)
    # Where none is, the largest group has to do.
    kept[int(sizes.argmax())] |= not kept.any()
    names = {named.terms[i] for i in np.flatnonzero(kept)}
    cells = {one: int(sizes[[term == one for term in named.terms]].sum()) for one in names}
    # Few cells of "epithelial cell" beside ductal cells are rather what the groups could not tell.
    names = {
        one for one in names if cells[one] >= LARGE * n or not any(is_within(other, one) for other in names - {one})
    }
    held = {lift(one, "broad") for one in names}
    if len(names) < 2:
        names |= set([one for one in named.broad if one not in held][:1])
    return sorted(names)


def group_prior(log_probs: Float, groups: Groups) -> Float:
    """Let each cell's group count as a prior: what the cells of the group are likely to be.

    The prior of a name is its mean probability in the group, with one cell's weight spread over all names; multiplied
    with the cell's own probabilities and normalised. It is one step of the adjustment of a classifier to a sample with
    other shares of classes (Saerens et al. 2002): a cell that is sure by itself is not overruled.

    Parameters
    ----------
    log_probs
        float32 (n, m), each cell by itself.
    groups
        Groups of cells; a cell in none keeps its own.
    """
    sizes = groups.sizes[:, None]
    prior = (groups.mean(np.exp(log_probs)) * sizes + 1 / log_probs.shape[1]) / (sizes + 1)
    own = log_probs.astype(np.float64) + groups.spread(np.log(prior), 0.0)
    return np.asarray(log_softmax(own, axis=1), dtype=np.float32)


def groups_found(groups: Groups, told: list[dict[str, Any]], calls: Calls) -> list[dict[str, Any]]:
    """Return what the record says of groups that were found, each cell of which was called by itself.

    Returns
    -------
    One dict a group: `group`, `n`, `label` (that of most of its cells), `confidence` (their mean), `agreement` (share
    of its cells that have it), and what was told of it.
    """
    out = []
    for i, (name, more) in enumerate(zip(groups.names, told, strict=True)):
        rows = groups.codes == i
        codes, counts = np.unique(calls.codes[rows & calls.known], return_counts=True)
        code = -1 if not codes.size else int(codes[counts.argmax()])
        same = rows & calls.known & (calls.codes == code) if code >= 0 else rows & ~calls.known
        row = {"group": name, "n": int(rows.sum()), "label": calls.called[code].name if code >= 0 else calls.unknown}
        row |= {"confidence": round(float(calls.confidence[same].mean()), 6)}
        out.append(row | {"agreement": round(float(same.sum() / rows.sum()), 6)} | more)
    return out


def _record(pooled: NDArray[np.floating], reading: Reading | None, vocabulary: Candidates) -> list[dict[str, Any]]:
    """Return what was proposed for each group, and what the language model read and said."""
    best = np.argsort(-pooled, axis=1, kind="stable")[:, :_SHOWN]
    out: list[dict[str, Any]] = []
    for i, row in enumerate(best):
        said = [] if reading is None else reading.said[i]
        proposed = list(dict.fromkeys([vocabulary[int(at)].name for at in row] + said))
        read = {} if reading is None else {"read": {"mean": said[0], "cells": said[1:]}}
        out.append({"proposed": proposed} | read)
    return out

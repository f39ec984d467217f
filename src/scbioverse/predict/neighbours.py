"""The nearest rows of a reference, by one representation of them or several, and their vote.

The vote is the one way in which what is said of known rows becomes a share for a new one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .._logging import logger
from ..errors import InputError, MissingKeyError, check_choice
from ..io import row_blocks
from .embedding import represent_rows
from .known_molecules import known_molecules

if TYPE_CHECKING:
    from anndata import AnnData

    from .._slots import Slots
    from ..models import BioVerse
    from .embedding import Representation

# Similarity below which a known molecule says nothing of another: of the roles and classes that the nearest has, fewer
# than one in four hold below. Looked up on real training captions, each with the others as reference, by Tanimoto
# similarity and by the mean over views; `python -m benchmarks.modalities` shows the same on the test.
FLOOR = 0.45
# How much faster than similarity a neighbour's weight grows, where shares are probabilities.
POWER = 4.0
# Share of the neighbours' weight that an item of a column needs to be said.
MOST_SAY = 0.5
_BETWEEN = re.compile(r"\s*[;|]\s*")


def vote_weights(similarity: NDArray[np.floating], *, floor: float = FLOOR) -> NDArray[np.float64]:
    """Weight of each neighbour, (n, k): a power of its similarity, 0 below the floor; the weights of a row sum to 1.

    Neighbours below the floor take their part of the sum: who has none but distant ones is told little.
    """
    held = np.clip(np.nan_to_num(np.asarray(similarity, dtype=np.float64), nan=0.0), 0.0, None)
    weight = held**POWER
    total = np.maximum(weight.sum(axis=1, keepdims=True), max(floor, 1e-9) ** POWER)
    voted: NDArray[np.float64] = np.where(held >= floor, weight, 0.0) / total
    return voted


def shares(
    rows: NDArray[np.integer], similarity: NDArray[np.floating], holds: NDArray[np.bool_], *, floor: float = FLOOR
) -> NDArray[np.float64]:
    """Share of each row's neighbours, by weight, of which something holds: float64 (n,).

    `rows` and `similarity` are (n, k), positions of neighbours, -1 for none; `holds`, bool (m,), of each known row.
    """
    held = np.append(np.asarray(holds, dtype=bool), False)  # the last is for rows without neighbours
    found: NDArray[np.float64] = (vote_weights(similarity, floor=floor) * held[rows]).sum(axis=1)
    return found


def said_by(items: Sequence[Sequence[str]], weights: NDArray[np.floating]) -> dict[str, float]:
    """Share of the weight of those that say each item, the most said first; of equals, the first said."""
    total, found = float(np.sum(weights)), defaultdict[str, float](float)
    for some, weight in zip(items, weights, strict=True):
        for one in dict.fromkeys(some):
            found[one] += float(weight)
    return {one: part / total for one, part in sorted(found.items(), key=lambda pair: -pair[1])} if total > 0 else {}


def items_of(text: str) -> list[str]:
    """Items of a cell of a table, parted by ";" or "|", each once: classes of an enzyme, GO terms, roles."""
    return list(dict.fromkeys(one for one in _BETWEEN.split(text.strip()) if one))


def voted(
    items: Sequence[Sequence[str]], rows: NDArray[np.integer], weights: NDArray[np.floating]
) -> tuple[list[list[str]], NDArray[np.float32]]:
    """Items that most of the weight of each row's neighbours says, the most said first.

    Of `items` of each known row, and (n, k) neighbours, `rows`, -1 for none, with `weights` that sum to 1 or, where
    less is known by them, to less: items of each row, and the share of the one said most, float32 (n,), NaN where
    nobody says any.
    """
    said: list[list[str]] = []
    most = np.full(len(rows), np.nan, dtype=np.float32)
    for at, (some, weight) in enumerate(zip(rows.tolist(), weights, strict=True)):
        sure = float(weight.sum())
        shares = said_by([items[at] if at >= 0 else () for at in some], weight)
        held = {one: part * sure for one, part in shares.items()}
        said.append([one for one, share in held.items() if share >= MOST_SAY])
        most[at] = next(iter(held.values()), np.nan)
    return said, most


Float = NDArray[np.float32]
Metric = Literal["cosine", "tanimoto"]
_BLOCK = 1024  # rows of the matrix of similarities held at once
_DENSE = 8192  # rows of a sparse pool made dense at once
_FEW = 8  # so many times as many columns as are wanted are sorted whole
FINGERPRINT_WEIGHT = 2.0


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest rows of a reference."""

    rows: NDArray[np.int64]  # (n, k), the nearest first; -1 for rows without a representation
    similarity: Float  # (n, k); NaN where `rows` is -1


@dataclass(frozen=True, eq=False)
class View:
    """One way to compare rows."""

    # float32 (n, d) and (m, d), dense or CSR; NaN for rows without a representation, of CSR one is enough.
    queries: Float | csr_array
    pool: Float | csr_array
    metric: Metric = "cosine"  # or "tanimoto": a·b / (|a|² + |b|² − a·b), which for bits is their Tanimoto similarity
    weight: float = 1.0  # of this similarity in the mean over views

    def __post_init__(self) -> None:
        check_choice("metric", self.metric, "cosine", "tanimoto")
        shapes = self.queries.shape, self.pool.shape
        if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][1]:
            raise InputError(f"rows of shape {shapes[0]} and {shapes[1]} cannot be compared.")


def nearest_rows(
    views: Sequence[View], k: int, *, same: bool = False, among: NDArray[np.bool_] | None = None
) -> Neighbours:
    """Find the `k` rows that are most similar to each query, by the weighted mean of the views' similarities.

    The views are of the same rows; one that some view does not know has no neighbours and is nobody's. `same`: queries
    and pool are the same rows, of which none is its own neighbour. `among`, bool (m,), are rows that may be neighbours,
    all if None. An :class:`InputError` where the pool has fewer than `k` rows.
    """
    held = known_rows(views, among)
    known = np.flatnonzero(np.all([_finite(one.queries) for one in views], axis=0))
    if k < 1 or held.size < k + same:
        raise InputError(f"{held.size} rows with a representation do not give each row {k} neighbours.")
    inside = [one.pool[held].astype(np.float32) for one in views]
    total = sum(one.weight for one in views)
    n = views[0].queries.shape[0]
    rows = np.full((n, k), -1, dtype=np.int64)
    similarity = np.full((n, k), np.nan, dtype=np.float32)
    for part in row_blocks(known, _BLOCK):
        block = known[part]
        values = np.zeros((block.size, held.size), dtype=np.float32)
        for view, pool in zip(views, inside, strict=True):
            values += similarities(view.queries[block].astype(np.float32), pool, view.metric) * (view.weight / total)
        if same:
            values[held[None, :] == block[:, None]] = -np.inf
        best = greatest(values, k)
        rows[block], similarity[block] = held[best], np.take_along_axis(values, best, axis=1)
    return Neighbours(rows, similarity)


def greatest(values: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Columns of the `k` greatest of each row of `values` (n, m ≥ k), the greatest first and of equals the first."""
    if values.shape[1] > _FEW * k:
        # Sorting all would take longer than comparing the rows.
        some = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1)
        held = np.take_along_axis(values, some, axis=1)
        best = np.take_along_axis(some, np.argsort(-held, axis=1, kind="stable"), axis=1)
        # Where others are equal to the last of them, which of these are the first is not known yet.
        unsure = (values >= held.min(axis=1, keepdims=True)).sum(axis=1) > k
        best[unsure] = np.argsort(-values[unsure], axis=1, kind="stable")[:, :k]
        return best
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


def known_rows(views: Sequence[View], among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Rows of the pool that every view knows, of those that may be neighbours."""
    usable = np.all([_finite(one.pool) for one in views], axis=0)
    return np.flatnonzero(usable if among is None else usable & among).astype(np.int64)


def _finite(rows: Float | csr_array) -> NDArray[np.bool_]:
    """Whether each row holds finite values alone."""
    if not isinstance(rows, csr_array):
        return np.asarray(np.isfinite(rows).all(axis=1))
    found = np.ones(rows.shape[0], dtype=bool)
    found[np.repeat(np.arange(found.size), np.diff(rows.indptr))[~np.isfinite(rows.data)]] = False
    return found


def similarities(mine: Float | csr_array, pool: Float | csr_array, metric: Metric) -> Float:
    """Similarity of each row of `mine` to each of `pool`, float32 (n, m). Of CSR, some rows are dense at a time."""
    if isinstance(mine, csr_array):
        parts = [similarities(mine[rows].toarray(), pool, metric) for rows in row_blocks(mine, _BLOCK)]
        return np.concatenate(parts) if parts else np.empty((0, pool.shape[0]), dtype=np.float32)
    if isinstance(pool, csr_array):
        parts = [similarities(mine, pool[rows].toarray(), metric) for rows in row_blocks(pool, _DENSE)]
        return np.concatenate(parts, axis=1) if parts else np.empty((mine.shape[0], 0), dtype=np.float32)
    dots = mine @ pool.T
    own, theirs = np.einsum("ij,ij->i", mine, mine)[:, None], np.einsum("ij,ij->i", pool, pool)[None]
    if metric == "cosine":
        return dots / np.maximum(np.sqrt(own * theirs), 1e-12)
    return dots / np.maximum(own + theirs - dots, 1e-12)


def compared_views(
    adata: AnnData,
    reference: AnnData,
    model: BioVerse,
    *,
    modality: str,
    use_rep: str | None,
    metric: Metric,
    key: str | None,
    layer: str | None,
    slots: Slots,
    rows: NDArray[np.integer] | None = None,
) -> tuple[list[View], Representation | None]:
    """How the rows of both are compared, and the representation that was made of `adata`, if one was.

    Without `use_rep` by the model's encoder, centred and scaled by the reference's mean and standard deviation, since
    its activations share a large common part; and molecules by their Morgan fingerprints as well, twice as much: the
    two err on different molecules. (Weights chosen on 298 captions put aside for development.) Of `adata` only `rows`
    are compared, where given. A :class:`MissingKeyError` where `use_rep` is missing in one of them.
    """
    if use_rep is not None:
        for name, data in (("adata", adata), ("reference", reference)):
            if use_rep not in data.obsm:
                raise MissingKeyError(
                    f"{name}.obsm[{use_rep!r}] is not there (found: {sorted(data.obsm) or 'nothing'}). Embed both with "
                    "scbioverse.tl.embed(..., key_added=...), or leave use_rep out."
                )
        mine, theirs = (np.asarray(one.obsm[use_rep], dtype=np.float32) for one in (adata, reference))
        return [View(mine.reshape(len(mine), -1), theirs.reshape(len(theirs), -1), metric)], None
    made = represent_rows(adata, model, modality=modality, key=key, layer=layer, slots=slots, rows=rows)
    other = made
    if reference is not adata:
        try:
            other = represent_rows(reference, model, modality=modality, key=key, layer=layer, slots=slots)
        except (InputError, MissingKeyError) as error:
            raise type(error)(f"Of the reference: {error}") from error
        if other.fresh:
            logger.info("the reference is embedded anew in each call: scbioverse.tl.embed(reference, ...) keeps it")
    mine, theirs = (one.values.reshape(len(one.values), -1) for one in (made, other))
    mean, spread = np.nanmean(theirs, axis=0), np.nanstd(theirs, axis=0)
    # A dimension that hardly varies must not decide.
    scale = 1 / np.maximum(spread, 0.05 * max(float(spread.mean()), 1e-12))
    views = [View((mine - mean) * scale, (theirs - mean) * scale)]
    column = key or "smiles"
    if modality == "molecule" and column in adata.obs and column in reference.obs:
        prints = fingerprints(adata if rows is None else adata[rows], column)
        others = prints if reference is adata else known_molecules(reference, column).fingerprints()
        views.append(View(prints, others, "tanimoto", FINGERPRINT_WEIGHT))
    return views, made


def fingerprints(adata: AnnData, column: str) -> Float:
    """Bits of Morgan fingerprints with chirality, float32 (n_obs, 2048); NaN for rows without a SMILES."""
    from ..encoders import MorganEncoder, embed_rows

    encoder = MorganEncoder(chirality=True)
    plan = encoder.plan(adata, key=column, invalid="skip")
    return embed_rows(encoder, adata, key=column, plan=plan)[:, 0]

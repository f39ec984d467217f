"""The nearest rows of a reference, by one representation of them or several."""

from __future__ import annotations

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
    from collections.abc import Sequence

    from anndata import AnnData

    from .._slots import Slots
    from ..models import BioVerse
    from .embedding import Representation

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


def greatest(values: Float, k: int) -> NDArray[np.int64]:
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

"""Texts for rows from rows of a reference that are like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._logging import logger
from ..errors import MissingKeyError
from ..pp._text_column import cell_text
from .compose import are_captions, compose_for
from .descriptions import NOTHING_SIMILAR, Choose, choose_rows, reference_texts
from .embedding import represent_rows
from .homologues import MOST_KEPT, are_classes, can_search, known_sequences, search, sequences_of, sure_classes
from .neighbours import (
    FLOOR,
    Metric,
    compared_views,
    items_of,
    known_rows,
    nearest_rows,
    vote_weights,
    voted,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from .._slots import Slots
    from ..models import BioVerse
    from .embedding import Representation
    from .homologues import Homologues
    from .neighbours import View

# What a vote by k-mers counts where a search found no match. Of 71 enzymes without a match of DIAMOND, half of the
# weight of ten neighbours by k-mers agreed on a class for six, and was right for two of these.
BESIDE = 0.6


@dataclass(frozen=True, eq=False)
class Told:
    """Texts from a reference."""

    texts: NDArray[np.object_]  # one a row, "" for rows without a representation
    rows: NDArray[np.int64]  # (n,): row of the reference that it is from, most of it where it was combined; -1 for none
    score: NDArray[np.float32]  # (n,): similarity of that row; of the nearest where none is similar enough
    k: int  # neighbours that were looked at
    # Of homologues: `evalue` and `coverage`, each (n,); of columns voted on what is said, and `_share`; of classes of
    # enzymes `_sure` and `_probability`.
    evidence: dict[str, NDArray[Any]] = field(default_factory=dict)
    embedded: Representation | None = None  # the representation that was made, if any


def from_reference(
    adata: AnnData, reference: AnnData, model: BioVerse, *, modality: str, choose: Choose, n_neighbors: int,
    text_key: str, use_rep: str | None, metric: Metric, min_similarity: float | None, vote: Sequence[str],
    key: str | None, layer: str | None, slots: Slots,
) -> Told:  # fmt: skip
    """Give every row a text of the reference; parameters as of :func:`scbioverse.tl.describe`."""
    held = reference_texts(reference, text_key)
    with_text = np.array(list(map(bool, held)))
    items = {name: _items(reference, name) for name in vote}
    has = {name: np.array(list(map(bool, some))) for name, some in items.items()}
    where: dict[str, Any] = {"modality": modality, "key": key, "layer": layer, "slots": slots}
    k = 1 if choose == "nearest" else n_neighbors
    column = key or {"molecule": "smiles", "protein": "sequence"}.get(modality, "")
    both = use_rep is None and all(column in one.obs for one in (adata, reference))
    evidence: dict[str, NDArray[Any]] = {}
    embedded: Representation | None = None
    hits: Homologues | None = None
    views: list[View] = []
    searched = np.zeros(adata.n_obs, dtype=bool)
    if modality == "protein" and both and can_search():
        mine, theirs = sequences_of(adata, column), known_sequences(reference, column)
        hits = search(mine, theirs, MOST_KEPT, among=np.logical_or.reduce([with_text, *has.values()]))
        searched = np.array(list(map(bool, mine)))
        told = hits.among(with_text, k)
        near, evidence = told.near, {"evalue": told.evalue, "coverage": told.coverage}
    if hits is None or (vote and (hits.near.rows[searched, 0] < 0).any()):
        views, embedded = compared_views(adata, reference, model, use_rep=use_rep, metric=metric, **where)
    if hits is None:
        near = nearest_rows(views, min(k, max(1, known_rows(views, with_text).size)), among=with_text)
    molecules = modality == "molecule" and both
    least = (FLOOR if molecules else -np.inf) if min_similarity is None else min_similarity
    placed = None
    if choose == "aligned":
        placed = model.coordinates((embedded or represent_rows(adata, model, **where)).values, modality)
    texts: NDArray[np.object_]
    if choose == "combined" and molecules and are_captions(near, held):
        said, place = compose_for(adata, reference, near, held, column)
        texts = np.array(said, dtype=object)
    else:
        # The last entry is for rows without neighbours, whose position is -1.
        place = choose_rows(near, held, "nearest" if choose == "combined" else choose, model, placed)
        texts = np.array([*held, ""], dtype=object)[near.rows[np.arange(len(place)), place]]
    at = np.arange(len(place)), place
    # A search that finds nothing says so; a row that cannot be read has no text at all.
    far = (near.similarity[:, 0] < least) | ((near.rows[:, 0] < 0) & searched)
    evidence = {name: values[at] for name, values in evidence.items()}
    for name, some in items.items():
        rows, weights, sure = _voters(has[name], n_neighbors, adata.n_obs, hits, views, max(least, 0.0))
        agreed, share = voted(some, rows, weights)
        share *= sure
        evidence |= {name: np.array(list(map("; ".join, agreed)), dtype=object), f"{name}_share": share}
        if hits is not None and are_classes(some):
            classes, probable = sure_classes(some, hits.among(has[name], n_neighbors))
            evidence |= {f"{name}_sure": classes, f"{name}_probability": probable}
    rows, score = near.rows[at].copy(), near.similarity[at].copy()
    if far.any():
        texts[far], rows[far], score[far] = NOTHING_SIMILAR, -1, near.similarity[far, 0]
        logger.info("nothing known is similar to %d of %d rows", int(far.sum()), len(far))
    return Told(texts, rows, score, near.rows.shape[1], evidence, embedded)


def _items(reference: AnnData, name: str) -> list[list[str]]:
    if name not in reference.obs or not any(map(cell_text, reference.obs[name])):
        found = list(map(str, reference.obs.columns))
        raise MissingKeyError(f"vote: reference.obs has no column {name!r} that holds something (found: {found}).")
    return [items_of(cell_text(one)) for one in reference.obs[name].astype(object)]


def _voters(
    has: NDArray[np.bool_], k: int, n: int, hits: Homologues | None, views: list[View], floor: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float32]]:
    """Neighbours of each row that have what is voted on, matches first; their weights; how far they are relied on."""
    sure = np.ones(n, dtype=np.float32)
    rows, weights = np.full((n, k), -1, dtype=np.int64), np.zeros((n, k))
    if views:
        near = nearest_rows(views, min(k, max(1, known_rows(views, has).size)), among=has)
        width = near.rows.shape[1]
        rows[:, :width] = near.rows
        weights[:, :width] = vote_weights(near.similarity, floor=floor) * (1 if hits is None else BESIDE)
    if hits is not None:
        found = hits.among(has, k)
        hit, width = hits.near.rows[:, 0] >= 0, found.near.rows.shape[1]
        rows[hit], weights[hit] = -1, 0
        rows[hit, :width], weights[hit, :width] = found.near.rows[hit], found.weights()[hit]
        sure[hit] = found.sure()[hit]
    return rows, weights, sure

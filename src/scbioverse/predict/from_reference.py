"""Texts for rows from rows of a reference that are like them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._logging import logger
from ..pp._smiles import parse_smiles
from ..pp._text_column import cell_text
from .compose import compose_rows, is_caption
from .descriptions import NOTHING_SIMILAR, Choose, choose_rows, reference_texts
from .embedding import represent_rows
from .homologues import can_search, search, sequences_of
from .neighbours import Metric, Neighbours, compared_views, known_rows, nearest_rows
from .vote import FLOOR

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from .._slots import Slots
    from ..models import BioVerse
    from .embedding import Representation

NAME_COLUMN = "name"


@dataclass(frozen=True, eq=False)
class Told:
    """Texts from a reference.

    Attributes
    ----------
    texts
        One a row, `""` for rows without a representation.
    rows
        int64 (n,): row of the reference that it is from, most of it where it was combined; -1 for none.
    score
        float32 (n,): similarity of that row; of the nearest where none is similar enough.
    k
        Neighbours that were looked at.
    evidence
        Of homologues: `evalue` and `coverage`, each (n,).
    embedded
        The representation that was made, if any.
    """

    texts: NDArray[np.object_]
    rows: NDArray[np.int64]
    score: NDArray[np.float32]
    k: int
    evidence: dict[str, NDArray[Any]] = field(default_factory=dict)
    embedded: Representation | None = None


def from_reference(
    adata: AnnData, reference: AnnData, model: BioVerse, *, modality: str, choose: Choose, n_neighbors: int,
    text_key: str, use_rep: str | None, metric: Metric, min_similarity: float | None, key: str | None,
    layer: str | None, slots: Slots,
) -> Told:  # fmt: skip
    """Give every row a text of the reference; parameters as of :func:`scbioverse.tl.describe`."""
    held = reference_texts(reference, text_key)
    with_text = np.array([bool(text) for text in held])
    where: dict[str, Any] = {"modality": modality, "key": key, "layer": layer, "slots": slots}
    k = 1 if choose == "nearest" else n_neighbors
    column = key or {"molecule": "smiles", "protein": "sequence"}.get(modality, "")
    both = use_rep is None and all(column in one.obs for one in (adata, reference))
    evidence: dict[str, NDArray[Any]] = {}
    embedded, searched = None, np.zeros(adata.n_obs, dtype=bool)
    if modality == "protein" and both and can_search():
        mine, theirs = sequences_of(adata, column), sequences_of(reference, column)
        hits = search(mine, theirs, min(k, int(with_text.sum())), among=with_text)
        near, searched = hits.near, np.array([bool(one) for one in mine])
        evidence = {"evalue": hits.evalue, "coverage": hits.coverage}
    else:
        views, embedded = compared_views(adata, reference, model, use_rep=use_rep, metric=metric, **where)
        near = nearest_rows(views, min(k, max(1, known_rows(views, with_text).size)), among=with_text)
    molecules = modality == "molecule" and both
    least = (FLOOR if molecules else -np.inf) if min_similarity is None else min_similarity
    placed = None
    if choose == "aligned":
        placed = model.coordinates((embedded or represent_rows(adata, model, **where)).values, modality)
    texts: NDArray[np.object_]
    if choose == "combined" and molecules and is_caption(held[int(near.rows.max())] if near.rows.max() >= 0 else ""):
        parsed = [[one.mol for one in parse_smiles(map(cell_text, data.obs[column]))] for data in (adata, reference)]
        names = [cell_text(one) for one in reference.obs[NAME_COLUMN]] if NAME_COLUMN in reference.obs else None
        said, place = compose_rows(near, held, names or [""] * len(held), *parsed)
        texts = np.array(said, dtype=object)
    else:
        # The last entry is for rows without neighbours, whose position is -1.
        place = choose_rows(near, held, "nearest" if choose == "combined" else choose, model, placed)
        texts = np.array([*held, ""], dtype=object)[near.rows[np.arange(len(place)), place]]
    at = np.arange(len(place)), place
    # A search that finds nothing says so; a row that cannot be read has no text at all.
    far = (near.similarity[:, 0] < least) | ((near.rows[:, 0] < 0) & searched)
    return _floored(near, texts, at, far, {name: values[at] for name, values in evidence.items()}, embedded)


def _floored(
    near: Neighbours, texts: NDArray[np.object_], at: tuple[NDArray[np.int64], NDArray[np.int64]],
    far: NDArray[np.bool_], evidence: dict[str, NDArray[Any]], embedded: Representation | None,
) -> Told:  # fmt: skip
    """Say of rows whose nearest neighbour is not similar enough that nothing known is similar."""
    rows, score = near.rows[at].copy(), near.similarity[at].copy()
    if far.any():
        texts[far], rows[far], score[far] = NOTHING_SIMILAR, -1, near.similarity[far, 0]
        logger.info("nothing known is similar to %d of %d rows", int(far.sum()), len(far))
    return Told(texts, rows, score, near.rows.shape[1], evidence, embedded)

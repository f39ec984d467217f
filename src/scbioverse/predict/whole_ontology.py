"""The whole Cell Ontology as labels: where each term lies in a model's text space, and which lie nearest to a cell.

Places of terms are read once and kept on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._logging import logger
from .._settings import settings
from .._whole import written_whole
from ..errors import InputError
from ..knowledge import load_ontology
from ..knowledge.phrases import label_card
from ..models.shared_space import cosines
from .candidates import Candidates, own_labels, resolve_term
from .neighbours import greatest

if TYPE_CHECKING:
    from ..models import BioVerse
    from .embedding import Batch
    from .groups import Groups

Float = NDArray[np.float32]
# Fixed, so that the last digits of a term never depend on what else was asked for.
BATCH = 32
# Terms that each cell or group chooses among.
SHORTLIST = 8


def ontology_coordinates(model: BioVerse, cl_ids: list[str] | None = None) -> Float:
    """Coordinates of the terms' descriptions in the model's text space: float32 (n_terms, d_text), unit length.

    A model that came with them (see :func:`keep_ontology`) is asked first. Else the language model reads all
    descriptions in one fixed order, longest first, 32 at a time; what it made of them is kept below
    :attr:`scbioverse.settings.cache_dir` for every model of the same language model and layer. `cl_ids` are all of
    :func:`term_ids` if not given. An :class:`InputError` where the model has no text space.
    """
    _ = model.space.dim  # says what to do where there is none
    cards = _cards(term_ids())
    wanted = list(cards) if cl_ids is None else cl_ids
    texts = [cards[one] for one in wanted]
    if model.text_table is not None and model.text_table.find(texts)[0].all():
        return model.text_coordinates(texts)
    states = _states(model)
    if cl_ids is not None:
        place = {cl_id: i for i, cl_id in enumerate(cards)}
        states = states[[place[one] for one in cl_ids]]
    return model.text_space.transform(states)  # type: ignore[union-attr]


def keep_ontology(model: BioVerse) -> None:
    """Keep the coordinates of all terms' descriptions in the model, so that what it saves has them."""
    model.space.table = None
    model.space.keep(list(_cards(term_ids()).values()), ontology_coordinates(model))


@lru_cache(maxsize=1)
def term_ids() -> tuple[str, ...]:
    """Ids of the ontology's own terms, in the order of the table."""
    return tuple(cl_id for cl_id in load_ontology() if cl_id.startswith("CL:"))


@lru_cache(maxsize=1)
def _cards(cl_ids: tuple[str, ...]) -> dict[str, str]:
    """Descriptions by id; no two terms share one."""
    return {cl_id: label_card(cl_id) for cl_id in cl_ids}


def _states(model: BioVerse) -> Float:
    """Return what the language model makes of all descriptions, float32 (n_terms, d_llm): kept on disk, or read now."""
    from ..llm.represent import represent

    layer, cards = model.config.text_space.layer, list(_cards(term_ids()).values())  # type: ignore[union-attr]
    dtype, shape = str(model.backbone.dtype).removeprefix("torch."), (len(cards), model.config.llm.d_llm)
    # By the descriptions themselves: whatever they are made of may change, and moves from file to file.
    read = "\n".join(cards)
    digest = hashlib.sha256(f"{model.config.llm.sha256} {layer} {dtype} {BATCH} {read}".encode())
    path = settings.weights_dir() / "ontology" / f"{digest.hexdigest()[:24]}.npy"
    try:
        kept = np.load(path, allow_pickle=False)
        if kept.shape == shape and kept.dtype == np.float32 and bool(np.isfinite(kept).all()):
            return kept
        logger.info("%s holds something else than expected: reading the ontology anew", path)
    except (OSError, ValueError):
        pass
    logger.info("reading the descriptions of %d Cell Ontology terms; done once for a language model", len(cards))
    states = represent(model.backbone, cards, layer=layer, batch_size=BATCH)
    _keep(path, states)
    return states


def _keep(path: Path, states: Float) -> None:
    """Write in one step, so that a reader never meets half a file; a full or read-only disk costs only the time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as fresh, fresh.open("wb") as file:
            np.save(file, states, allow_pickle=False)
    except OSError as error:
        logger.info("the ontology's representations could not be kept (%s)", error)


def candidate_terms(within: str | Sequence[str] | None) -> list[str]:
    """Terms of the ontology, or those at or below some of them.

    An :class:`InputError` where `within` names something that is no term, or leaves fewer than two.
    """
    if within is None:
        return list(term_ids())
    ontology = load_ontology()
    roots = list(map(resolve_term, [within] if isinstance(within, str) else within))
    kept = {below for root in roots for below in (root, *ontology.descendants(root))}
    found = [one for one in term_ids() if one in kept]
    if len(found) < 2:
        raise InputError(f"within={within!r} leaves {len(found)} terms; there is nothing to choose among.")
    return found


def shortlisted(batch: Batch, groups: Groups | None, within: str | Sequence[str] | None = None) -> Candidates:
    """Offer every row the 8 terms that lie nearest to it: those on somebody's shortlist are the candidates.

    Nearest are those of the highest cosine (mean cosine of a group's cells, which get one shortlist) in the space
    shared with text. Every row is scored over its own shortlist alone, so that its answer does not depend on the other
    rows.
    """
    terms = candidate_terms(within)
    cosine = cosines(batch.coordinates, ontology_coordinates(batch.model, terms))
    k = min(SHORTLIST, len(terms))
    own = greatest(cosine, k)
    if groups is not None:
        own = np.where((groups.codes >= 0)[:, None], groups.spread(greatest(groups.mean(cosine), k), -1), own)
    # Columns only for terms on somebody's list: all 3,000 would be mostly empty.
    used, places = np.unique(own, return_inverse=True)
    labels = own_labels([terms[i] for i in used], batch.model.config.names)
    return replace(labels, shortlist=places.reshape(own.shape).astype(np.int64))

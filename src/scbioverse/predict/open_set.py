"""Whether a cell is more like a type that is not among the candidates than like any that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .._shown import shown_name
from .._warn import warn
from ..errors import BioverseError
from ..io import row_blocks
from ..knowledge import load_ontology
from ..knowledge.levels import lift
from ..knowledge.ontology import TUMOURS, is_within, origins_left, tumours_of
from ..knowledge.phrases import canonical_phrase, label_card
from ..models.shared_space import cosines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse
    from .candidates import Candidates
    from .sources import Batch

Float = NDArray[np.float32]
# What a standard deviation of marker evidence counts beside a cosine, and the cosine's scale. The weight was chosen for
# an earlier, sevenfold smaller scale of evidence and divided accordingly: on two studies that a rehearsal had left out
# (blood and pancreas), each type left out of the candidates in turn, weights within a factor of four did about equally
# well. The cosine's scale moves no row past another.
MARKER_WEIGHT, SCALE = 0.015, 0.07
_ROWS = 16_384
# From this share of cells on that lie nearer to a type outside, `annotate` warns.
MANY = 0.1


@dataclass(frozen=True)
class Away:
    """How much more cells are like types that are not among the candidates."""

    chance: Float  # float32 (n,), 0 to 1, above 0.5 where a type outside is nearer
    nearest: NDArray[np.int64]  # int64 (n,), the nearest type outside
    terms: Sequence[str]  # types outside: Cell Ontology ids

    def warn(self, slot: str, *, auto: bool, given: bool = True) -> None:
        """Warn where many cells lie nearer to types outside.

        `slot` is the column of `obs` that says which; `auto`: the model has a threshold for that; `given`: the user
        gave the candidates, else their names were found.
        """
        away = self.chance > 0.5
        if away.mean() < MANY:
            return
        counts = np.bincount(self.nearest[away], minlength=len(self.terms))
        names = [canonical_phrase(self.terms[at]) for at in np.argsort(-counts, kind="stable")[:3] if counts[at]]
        names_of, more = "candidates", "offer more labels"
        if not given:
            names_of, more = "names that were found", "offer all that the model knows (labels='vocabulary')"
        advice = f"see obs[{slot!r}], {more}, or pass unknown_threshold={'auto' if auto else 0.02!r}"
        warn(
            f"{100 * away.mean():.0f} % of the cells are more like types that are not among the {names_of} (most often "
            f"{', '.join(names)}): {advice}."
        )


def warn_of_no_terms(candidates: Candidates) -> None:
    """Warn where labels without a term keep cells from being compared with other types, as a threshold asked for."""
    lost = [shown_name(one.name) for one in candidates if one.cl_id is None]
    if lost:
        warn(
            f"unknown_threshold='auto' keeps back hardly any cell here: no Cell Ontology term is known for {lost[:3]}, "
            "so that only the confidence among the candidates counts. Give a number, such as 0.5, or a term for each "
            "label: labels={'name': 'CL:0000236'}."
        )


def outside_terms(vocabulary: Sequence[str], candidates: Sequence[str]) -> list[str]:
    """Terms of the vocabulary that no candidate is, lies within, holds, or comes from, nor all but holds.

    A term all but lies within the candidates if at least half of the vocabulary's terms below it do, as "naive T cell"
    within CD4 and CD8 T cell: a cell that resembles it may well be one of them.
    """
    return list(_outside(tuple(vocabulary), tuple(candidates)))


@lru_cache(maxsize=64)
def _outside(vocabulary: tuple[str, ...], candidates: tuple[str, ...]) -> tuple[str, ...]:
    ontology = load_ontology()
    within = {one: {one, *ontology.ancestors(one)} for one in {*vocabulary, *candidates} if one in ontology}
    offered = set(candidates)

    def all_but_held(one: str) -> bool:
        below = [other for other in within if other != one and one in within[other] and is_within(other, one)]
        held = sum(any(is_within(other, candidate) for candidate in within[other] & offered) for other in below)
        return bool(below) and 2 * held >= len(below)

    return tuple(
        one
        for one in vocabulary
        if one in within
        and not offered & set(tumours_of(one))
        and not any(ontology.overlaps(one, other) for other in candidates)
        and not all_but_held(one)
    )


def compare_outside(batch: Batch, candidates: Candidates, *, needed: bool, found: bool = False) -> Away | None:
    """Compare the nearest type outside the candidates with the nearest candidate, every cell by itself.

    The logistic function of the difference of the two nearest terms, where the nearness of a term is the cosine with
    its description in the space shared with text plus 0.015 for a standard deviation of its markers' evidence. The
    types outside are those of the model's own vocabulary that have nothing to do with any candidate. Tumour cells are
    as near as the types that they can come from and that are not among the candidates.

    `needed`: compute it also where the language model has to read the descriptions first, which takes many seconds.
    `found`: the candidates are names that were found; other types of the same broad types do not count as outside,
    since a group got its name as the best of these. None where it cannot be told: the model has no text space or no
    vocabulary of terms, a candidate resolved to none, or there is no term outside.
    """
    model = batch.model
    compared = compared_terms(model, candidates, batch.modality, needed=needed, found=found)
    if compared is None:
        return None
    inside, outside = compared
    cards = [*candidates.cards, *(label_card(one) for one in (*inside[len(candidates) :], *outside) if one)]
    texts, evidence = model.text_coordinates(cards), _evidence(batch, [*inside, *outside])
    chance, nearest = np.empty(len(batch), dtype=np.float32), np.empty(len(batch), dtype=np.int64)
    # All cells times all terms would be the largest table of a run.
    for rows in row_blocks(chance, _ROWS):
        near = cosines(batch.coordinates[rows], texts)
        if evidence is not None:
            near = near + MARKER_WEIGHT * evidence[rows]
        here, away = np.split(near, [len(inside)], axis=1)
        gap = away.max(axis=1) - here.max(axis=1)
        chance[rows], nearest[rows] = expit(gap.astype(np.float64) / SCALE), away.argmax(axis=1)
    return Away(chance, nearest, outside)


def compared_terms(
    model: BioVerse, candidates: Candidates, modality: str, *, needed: bool, found: bool = False
) -> tuple[list[str | None], list[str]] | None:
    """Return the terms that stand for the candidates and those outside, or None where nothing can be compared.

    `needed` and `found` as of :func:`compare_outside`.
    """
    vocabulary = [one for one in model.config.default_labels or () if one.startswith("CL:")]
    unresolved = any(label.cl_id is None for label in candidates)
    # Rows with shortlists are offered the whole ontology: nothing is outside.
    if modality != "cell" or model.text_space is None or unresolved or candidates.shortlist is not None:
        return None
    outside = outside_terms(vocabulary, [one for one in candidates.terms if one is not None])
    if found:
        kinds = {lift(one, "broad") for one in candidates.terms if one is not None}
        outside = [one for one in outside if lift(one, "broad") not in kinds]
    # What tumour cells are like, their own description does not say.
    origins = _origins(candidates)
    stand_in = [one for one in vocabulary if one in origins]
    cards = [*candidates.cards, *(label_card(one) for one in (*stand_in, *outside))]
    ready = needed or (model.text_table is not None and model.text_table.find(cards)[0].all())
    return ([*candidates.terms, *stand_in], outside) if outside and ready else None


def _origins(candidates: Candidates) -> set[str]:
    """Types that the tumours among the candidates can come from."""
    ontology, found = load_ontology(), set()
    for label, term in zip(candidates, candidates.terms, strict=True):
        if label.cl_id in TUMOURS and term is not None:
            found |= set(origins_left(candidates.terms)) if term in TUMOURS else {term, *ontology.descendants(term)}
    return found


def _evidence(batch: Batch, ids: Sequence[str | None]) -> Float | None:
    try:
        return None if batch.evidence is None else batch.evidence(ids)
    except BioverseError:
        return None  # data without genes, such as embeddings alone

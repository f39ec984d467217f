"""From log-probabilities to one label and confidence for every row, or none where it lies nearer to other types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit

from .._logging import logger, shown_name, warn
from ..encoders._run import blank_rows
from ..errors import BioverseError
from ..io import row_blocks
from ..knowledge import load_ontology
from ..knowledge.levels import BROADEST, lift
from ..knowledge.ontology import KEPT_APART, TUMOURS, apart_from, canonical_phrase, origins_left, tumours_of
from ..knowledge.phrases import label_card
from ..models.shared_space import cosines
from .groups import Groups, agreement, group_scores
from .joined import spread

if TYPE_CHECKING:
    from ..io import Cells
    from ..models import BioVerse
    from .candidates import Candidates
    from .embedding import Batch
    from .label import Label
    from .pool import Said, Scores

Float = NDArray[np.float32]
# What a standard deviation of marker evidence counts beside a cosine, and the cosine's scale. The weight was chosen for
# an earlier, sevenfold smaller scale of evidence and divided accordingly: on two studies that a rehearsal had left out
# (blood and pancreas), each type left out of the candidates in turn, weights within a factor of four did about equally
# well. The cosine's scale moves no row past another.
MARKER_WEIGHT, SCALE = 0.015, 0.07
_ROWS = 16_384
# From this share of cells on that lie nearer to a type outside, `annotate` warns.
MANY = 0.1
UNKNOWN = "unknown"
# Entropy of the middle row from which labels of what is no cell are as good as none, as a part of that of equal
# probabilities. Set by hand.
EVEN = 0.9


@dataclass(frozen=True)
class Away:
    """How much more cells are like types that are not among the candidates."""

    chance: Float  # float32 (n,), 0 to 1, above 0.5 where a type outside is nearer
    nearest: NDArray[np.int64]  # int64 (n,), the nearest type outside
    terms: Sequence[str]  # types outside: Cell Ontology ids

    def without(self, rows: NDArray[np.integer]) -> Away:
        """Return the same of the other rows; `rows` is int (k,)."""
        return replace(self, chance=np.delete(self.chance, rows), nearest=np.delete(self.nearest, rows))

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


def say_not_compared(slot: str, threshold: float) -> None:
    """Say that lists of genes are not compared with types outside the candidates, in a warning where that was asked.

    On lists of the first 30 to 100 genes of cells whose types were all among the candidates, up to 39 % of the cells
    (whole: 4 to 6 %) were nearer to another type: the scale was fitted on cells that were measured.
    """
    said = f"obs[{slot!r}] is not written: rows are lists of genes, of which too many seem nearer to other types"
    if threshold > 0:
        warn(f"{said}; unknown_threshold is compared with the confidence among the candidates alone.")
    else:
        logger.info("%s", said)


def warn_of_no_terms(candidates: Candidates) -> None:
    """Warn where labels without a term keep cells from being compared with other types, as a threshold asked for."""
    lost = [shown_name(one.name) for one in candidates if one.cl_id is None]
    if lost:
        warn(
            f"unknown_threshold='auto' keeps back hardly any cell here: no Cell Ontology term is known for {lost[:3]}, "
            "so that only the confidence among the candidates counts. Give a number, such as 0.5, or a term for each "
            "label: labels={'name': 'CL:0000236'}."
        )


def warn_of_even(calls: Calls, modality: str) -> None:
    """Warn where rows that are no cells fit all labels about equally, and say what is known of such labels."""
    n = calls.log_probs.shape[1]
    if modality == "cell" or not np.nanmedian(calls.entropy) > EVEN * np.log(n):
        return
    warn(
        f"the {n} labels fit about equally: the best one has a probability of {np.nanmedian(calls.confidence):.2f} in "
        f"the middle row. Probabilities were calibrated on cells, and how often labels of a {modality} are right was "
        f"not measured. scbioverse.tl.describe and retrieve, with reference=, were (see the page on molecules and "
        "proteins)."
    )


@lru_cache(maxsize=64)
def outside_terms(vocabulary: tuple[str, ...], candidates: tuple[str, ...]) -> tuple[str, ...]:
    """Terms of the vocabulary that no candidate is, lies within, holds, or comes from, nor all but holds.

    A term all but lies within the candidates if at least half of the vocabulary's terms below it do, as "naive T cell"
    within CD4 and CD8 T cell: a cell that resembles it may well be one of them.
    """
    ontology, offered = load_ontology(), set(candidates)
    known = {one for one in (*vocabulary, *candidates) if one in ontology}
    within = {one: {one, *ontology.ancestors(one)} - apart_from(one) for one in known}
    held = {one for one, above in within.items() if above & offered}
    near = held.union(*(within[one] for one in offered))

    def is_outside(one: str) -> bool:
        if one not in known or one in near or offered & {*tumours_of(one)}:
            return False
        below = {other for other in known if one in within[other] - {other}}
        return not below or 2 * len(held & below) < len(below)

    return tuple(filter(is_outside, vocabulary))


def compare_outside(batch: Batch, candidates: Candidates, *, needed: bool, found: bool = False) -> Away | None:
    """Compare the nearest type outside the candidates with the nearest candidate, every cell by itself.

    The logistic function of the difference of the two, where the nearness of a term is the cosine with its description
    in the space shared with text plus 0.015 for a standard deviation of its markers' evidence. Tumour cells are as near
    as the types that they can come from and that are not among the candidates.

    `needed`: compute it also where the language model has to read the descriptions first, which takes many seconds.
    `found`: the candidates are names that were found; other types of the same broad types do not count as outside,
    since a group got its name as the best of these. None where it cannot be told: the model has no text space or no
    vocabulary of terms, a candidate resolved to none, or there is no term outside.
    """
    model, candidates = batch.model, spread(candidates)
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
    candidates = spread(candidates)
    # Rows with shortlists are offered the whole ontology: nothing is outside.
    placed = modality == "cell" and model.text_space is not None and candidates.shortlist is None
    if not placed or None in [label.cl_id for label in candidates]:
        return None
    vocabulary = tuple(one for one in model.config.default_labels if one.startswith("CL:"))
    terms = tuple(filter(None, candidates.terms))
    kinds = {lift(one, "broad") for one in terms} if found else ()
    outside = [one for one in outside_terms(vocabulary, terms) if lift(one, "broad") not in kinds]
    # What tumour cells are like, their own description does not say.
    origins = _origins(candidates)
    stand_in = [one for one in vocabulary if one in origins]
    cards = [*candidates.cards, *map(label_card, (*stand_in, *outside))]
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


@dataclass(frozen=True)
class Called:
    """What rows can be called beside the candidates: a term that several of these share."""

    name: str
    cl_id: str | None = None


@dataclass(frozen=True)
class Calls:
    """What rows are called, and how sure that is."""

    log_probs: Float  # float32 (n_obs, n_labels); a group's rows all hold the group's values
    called: list[Label | Called]  # what rows are called: the candidates in order, then the parents that were used
    # int64 (n_obs,): position in `called`; of rows that are not `known`, the best candidate; -1 for rows without a
    # group.
    codes: NDArray[np.int64]
    confidence: Float  # float32 (n_obs,), 0 to 1, of what the row is called; NaN for rows without a group
    known: NDArray[np.bool_]  # bool (n_obs,): confident enough
    margin: Float  # float32 (n_obs,): probability of the best candidate less that of the second
    entropy: Float  # float32 (n_obs,), of the candidates' probabilities in nats
    groups: list[dict[str, Any]]  # one dict a group: `group`, `n`, `label`, `confidence`, `agreement`
    # float32 (n_obs,), see :func:`compare_outside`; None where it cannot be told.
    elsewhere: Float | None = None

    def without(self, rows: NDArray[np.integer]) -> Calls:
        """Return the same without a label for some rows, int (k,); their scores stay."""
        changed = {name: getattr(self, name).copy() for name in self.none}
        for name, value in self.none.items():
            changed[name][rows] = value
        return replace(self, **changed)

    @property
    def none(self) -> dict[str, Any]:
        """What a row without a label has: nothing to be sure of."""
        away = {} if self.elsewhere is None else {"elsewhere": np.nan}
        return {"codes": -1, "known": True} | dict.fromkeys(("confidence", "margin", "entropy"), np.nan) | away

    @property
    def unknown(self) -> str:
        """Name of the answer "none of them"; another one where a candidate is called that."""
        return _free(UNKNOWN, self.called)


def decide(
    log_probs: Float,
    candidates: Sequence[Label],
    groups: Groups | None = None,
    threshold: float = 0.0,
    *,
    parents: bool = True,
    elsewhere: Float | None = None,
    said: Said | None = None,
) -> Calls:
    """Pick the most probable candidate for every row, or for every group.

    Below the `threshold`, 0 to 1, a row is called by the most specific ontology term above its best candidate whose
    candidates together reach it (with `parents`); where there is none, it is unknown. Rows above are not touched by
    that. What is compared with the threshold is the probability among the candidates, of `log_probs` (n_obs, n_labels),
    times the chance that the row is one of them: 1 less `elsewhere`, float32 (n_obs,), of a group the mean. `said` are
    labels that were written, and take the place of the most probable ones.
    """
    joint = log_probs if groups is None else group_scores(log_probs, groups)
    # Written labels take the place of likely ones; margin and entropy stay those of the scores beside them.
    best = joint.argmax(axis=1).astype(np.int64) if said is None else said.codes
    sure = (np.exp(joint.max(axis=1)) if said is None else said.confidence).clip(0, 1).astype(np.float32)
    away = None if elsewhere is None else elsewhere if groups is None else groups.mean(elsewhere).astype(np.float32)
    here = np.ones_like(sure) if away is None else 1 - away
    called: list[Label | Called] = list(candidates)
    # Not ">=": a comparison with NaN is false, and a row without a probability must not become unknown by that.
    codes, known = best.copy(), ~(sure * here < threshold)
    # Of a text that was written, only its own probability is known, none that others could add to.
    if parents and said is None and not known.all():
        shared, low = Parents([one.cl_id for one in called]), np.flatnonzero(~known)
        found, mass = shared.call(np.exp(joint[low]) * here[low, None], best[low], threshold)
        low, mass, found = low[found >= 0], mass[found >= 0], found[found >= 0]
        place = _places([shared.terms[one] for one in np.unique(found)], called)
        codes[low] = [place[shared.terms[one]] for one in found]
        # Said on the same footing as that of a candidate: among the candidates, whatever lies elsewhere.
        sure[low], known[low] = mass / here[low], True
    calls = Calls(joint, called, codes, sure, known, margin(joint), entropy(joint), [], away)
    if groups is None:
        return calls
    table = [
        {"group": group, "n": int(n), "label": called[code].name if fine else calls.unknown}
        | {"confidence": round(float(conf), 6), "agreement": round(float(share), 6)}
        for group, n, code, fine, conf, share in zip(
            groups.names, groups.sizes, codes, known, sure, agreement(log_probs, groups, best), strict=True
        )
    ]
    # Of a cell without a group: its own scores, and no label.
    rows: dict[str, Any] = {name: groups.spread(getattr(calls, name), one) for name, one in calls.none.items()}
    scores = np.where((groups.codes >= 0)[:, None], groups.spread(joint, 0.0), log_probs)
    return replace(calls, log_probs=scores, groups=table, **rows)


def call_rows(
    batch: Batch, scores: Scores, groups: Groups | None, threshold: float, slot: str, *, parents: bool, auto: bool,
    lists: bool, blank: NDArray[np.integer],
) -> Calls:  # fmt: skip
    """Decide, with types in mind that are no candidates, and warn of what a user should look at.

    `threshold` and `parents` as of :func:`decide`. `auto`: the user asked for the model's own threshold. `lists`: rows
    are lists of genes. `slot` is the column of `obs` that says how near types outside are. `blank`, int (k,), are rows
    that get no label, of which nothing is warned.
    """
    candidates, away, found = scores.candidates, None, scores.found is not None
    if scores.said is None and lists and batch.modality == "cell":
        say_not_compared(slot, threshold)
    elif scores.said is None:
        away = compare_outside(batch, candidates, needed=threshold > 0, found=found)
    calls = decide(
        scores.log_probs, candidates, groups, threshold, parents=parents,
        elsewhere=None if away is None else away.chance, said=scores.said,
    )  # fmt: skip
    if away is not None and threshold == 0:
        has_one = batch.model.config.calibration["score"].threshold("auto") > 0
        away.without(blank).warn(slot, auto=has_one, given=not found)
    if away is None and auto and scores.said is None and candidates.shortlist is None:
        warn_of_no_terms(candidates)
    if scores.said is None:
        warn_of_even(calls, batch.modality)
    return calls


def rows_without_counts(batch: Batch, cells: Cells) -> NDArray[np.int64]:
    """Return rows that hold nothing that the encoder reads, with a warning; none where all rows do."""
    blank = blank_rows(batch.model.encoders[batch.modality], cells, batch.values)
    if not 0 < blank.size < len(batch):
        return blank[:0]
    warn(f"{blank.size} of {len(batch)} cells have no counts in the genes that the model reads; they get no label.")
    return blank


def groups_without(groups: Groups, rows: NDArray[np.integer]) -> Groups:
    """Return groups without some rows, int (k,), and without those that held nothing else; as they are if all would."""
    codes = groups.codes.copy()
    codes[rows] = -1
    kept, place = np.unique(codes[codes >= 0], return_inverse=True)
    if not kept.size:
        return groups
    codes[codes >= 0] = place
    return Groups([groups.names[code] for code in kept], codes)


class Parents:
    """Terms that several candidates have in common, most specific first; a candidate without a term is None.

    `terms` are the ids of the shared terms: each covers at least two candidates (itself counts), and has at most 600
    terms below it. Fewest terms below first, then by id. `covers`, bool (n_terms, n_candidates), says which candidates
    are the term or one of its descendants.
    """

    def __init__(self, cl_ids: Sequence[str | None]) -> None:
        ontology = load_ontology()
        members: dict[str, list[int]] = {}
        for i, cl_id in enumerate(cl_ids):
            for above in () if cl_id is None else (cl_id, *ontology.ancestors(cl_id)):
                # "CD14 monocyte" beside "CD16 monocyte" means the classical one, whatever the definitions say.
                if (cl_id, above) not in KEPT_APART:
                    members.setdefault(above, []).append(i)
        below = {one: len(ontology.descendants(one)) for one, found in members.items() if len(found) > 1}
        self.terms = sorted((one for one in below if below[one] <= BROADEST), key=lambda one: (below[one], one))
        self.covers = np.zeros((len(self.terms), len(cl_ids)), dtype=bool)
        for row, one in enumerate(self.terms):
            self.covers[row, members[one]] = True

    def call(
        self, probabilities: NDArray[np.floating], best: NDArray[np.integer], threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find for each row the most specific shared term above its best candidate whose candidates reach a threshold.

        Of `probabilities` (n, n_candidates) and the `best` candidate (n,): int64 (n,), position in `terms`, -1 where
        none fits; and float32 (n,), the summed probability there.
        """
        n = len(best)
        if not self.terms or n == 0:
            return np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.float32)
        mass = np.asarray(probabilities, dtype=np.float64) @ self.covers.T.astype(np.float64)
        fits = (mass >= threshold) & self.covers[:, best].T
        found = np.where(fits.any(axis=1), fits.argmax(axis=1), -1).astype(np.int64)
        return found, mass[np.arange(n), np.maximum(found, 0)].clip(0, 1).astype(np.float32)


def _places(cl_ids: Sequence[str], called: list[Label | Called]) -> dict[str, int]:
    """Where terms stand in `called`; those that are no candidates are appended."""
    place = {one.cl_id: i for i, one in reversed(list(enumerate(called))) if one.cl_id is not None}
    for cl_id in cl_ids:
        if cl_id not in place:
            place[cl_id] = len(called)
            called.append(Called(_free(canonical_phrase(cl_id), called), cl_id))
    return place


def _free(name: str, taken: Sequence[Label | Called]) -> str:
    """Return a name that no candidate has: a user's own "unknown" is not ours."""
    while any(one.name == name for one in taken):
        name += " (below threshold)"
    return name


def margin(log_probs: NDArray[np.floating]) -> Float:
    """Probability of the best candidate less that of the second, (n,); 1 where there is one candidate only."""
    if log_probs.shape[1] < 2:
        return np.ones(len(log_probs), dtype=np.float32)
    top = np.exp(np.partition(log_probs, -2, axis=1)[:, -2:])
    return (top[:, 1] - top[:, 0]).clip(0, 1).astype(np.float32)


def entropy(log_probs: NDArray[np.floating]) -> Float:
    """Shannon entropy of each row's probabilities in nats, (n,): 0 for one sure answer, log m for none at all."""
    return np.maximum(entr(np.exp(np.asarray(log_probs, dtype=np.float64))).sum(axis=1), 0).astype(np.float32)

"""What a tissue says of cell types: types of other organs need more evidence than those that are usual there.

A type is usual in a tissue if it, a kind of it, or, where no table lists it, what it is a kind of is listed there.
Types that live in all organs are usual in all. What is named after another organ is not, whatever it is a kind of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ..knowledge import load_ontology
from ..knowledge.tissues import Tissue, list_tissues, listed_types, read_tissue, tissue_of, usual_shares
from .levels import BROADEST

if TYPE_CHECKING:
    from collections.abc import Sequence

Float = NDArray[np.float32]
# Nats for a type of another organ, and the part of it for one of a neighbouring tissue, with near kin here, of many
# organs or of none that is known.
FLOOR = -4.0
PARTLY = 0.25
# A tissue with fewer listed types is too little known to speak of.
FEWEST_LISTED = 15
# Roots of types that all organs have: leukocyte, endothelial cell, fibroblast, pericyte, smooth muscle cell,
# myofibroblast, Schwann cell, adipocyte, erythrocyte, platelet, neoplastic cell.
EVERYWHERE = (
    "CL:0000738", "CL:0000115", "CL:0000057", "CL:0000669", "CL:0000192", "CL:0000186", "CL:0002573", "CL:0000136",
    "CL:0000232", "CL:0000233", "CL:0001063",
)  # fmt: skip
LEUKOCYTE = "CL:0000738"
# Leukocytes of one organ each: tissue-resident macrophages, thymocytes.
OF_ONE_ORGAN = ("CL:0000864", "CL:0000893")
# A kind of stromal or vessel cell that so many organs list is one of all.
IN_MANY = 4
# A type that so many organs list, of whatever kind, is partly one of all.
IN_MOST = 6
# Terms with more kinds say too little of where a kind of them lives, and of where their kin do.
BROAD, KIN = 100, 30
# Classes of `usual_shares`, in its order but for the last: T, NK and other innate lymphoid cells; B cells; ...
CLASSES = (
    ("CL:0000084", "CL:0001065"), ("CL:0000236",), ("CL:0000946", "CL:0000786"), ("CL:0000576",),
    ("CL:0000235", "CL:0000451"), ("CL:0000094", "CL:0000097"), ("CL:0008001",),
    ("CL:0000764", "CL:0000233", "CL:0000556"), ("CL:0000115",), ("CL:0000499", "CL:0008034", "CL:0000192"),
)  # fmt: skip
# A guess weighs as much as so many cells that speak each for itself; its prior counts so much of a given tissue's.
SPEAKING, OF_A_GUESS = 30.0, 0.5
# A guess below this confidence is none.
SURE = 0.6
# Nats a cell by which another tissue explains the calls better, from which on a given one is doubted; and those among
# blood and the organs where its cells are made or meet, whose mixtures of the same types vary with how cells were won.
DOUBT, DOUBT_OF_KIN = 0.25, 0.7
# A smaller share of types of other organs is what any data set has.
FEW_AWAY = 0.05


@dataclass(frozen=True)
class _Home:
    """Where a type lives, as far as the tables say: ids of tissues."""

    named: frozenset[str]
    listed: frozenset[str]
    kin: frozenset[str]
    everywhere: bool
    organs: int


@lru_cache(maxsize=1)
def _listed() -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Tissues that list a term itself, and those that list it or a kind of it."""
    ontology = load_ontology()
    own: dict[str, set[str]] = {}
    below: dict[str, set[str]] = {}
    for tissue, types in listed_types().items():
        for cl_id in types:
            own.setdefault(cl_id, set()).add(tissue)
            for one in (cl_id, *ontology.ancestors(cl_id)):
                below.setdefault(one, set()).add(tissue)
    return {one: frozenset(n) for one, n in own.items()}, {one: frozenset(n) for one, n in below.items()}


def _nearest(cl_id: str, found: dict[str, frozenset[str]]) -> frozenset[str]:
    """Tissues of a term, else of the nearest terms above it that have some and are not broad."""
    ontology, layer = load_ontology(), {cl_id}
    while layer:
        hits = [found[one] for one in layer if one in found]
        if hits:
            return frozenset().union(*hits)
        layer = {up for one in layer for up in ontology.parents(one) if len(ontology.descendants(up)) <= BROAD}
    return frozenset()


@cache
def _home(cl_id: str) -> _Home:
    ontology, (own, below) = load_ontology(), _listed()
    above = {cl_id, *ontology.ancestors(cl_id)}
    named = _nearest(cl_id, _named())
    kin = [below.get(one, frozenset()) for one in ontology.parents(cl_id) if len(ontology.descendants(one)) <= KIN]
    organs = len({tissue_of(one).within or one for one in own.get(cl_id, ())})
    loose = LEUKOCYTE in above or organs >= IN_MANY or cl_id not in own or cl_id in EVERYWHERE
    everywhere = bool(above & set(EVERYWHERE)) and not above & set(OF_ONE_ORGAN) and loose
    return _Home(named, _nearest(cl_id, below), frozenset().union(*kin), everywhere and not named, organs)


@lru_cache(maxsize=1)
def _named() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for tissue, types in listed_types().items():
        for cl_id, sources in types.items():
            if "N" in sources:
                found.setdefault(cl_id, set()).add(tissue)
    return {one: frozenset(n) for one, n in found.items()}


@cache
def _around(ident: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return a tissue with its parts, and the same of what it is part of."""
    whole = tissue_of(ident).within or ident
    parts = {one.id for one in list_tissues() if one.within == ident}
    beside = {one.id for one in list_tissues() if one.within == whole}
    return frozenset({ident, *parts}), frozenset({whole, *beside})


def _strange(cl_id: str, ident: str) -> float:
    """How far a type is from being usual in a tissue: 0, :data:`PARTLY` or 1."""
    home, (inside, around) = _home(cl_id), _around(ident)
    whole = {tissue_of(ident).within}
    if (home.named | home.listed) & (inside | whole) or home.everywhere:
        return 0.0
    if home.named:
        return PARTLY if (home.named | home.listed) & around else 1.0
    partly = not home.listed or home.listed & around or home.kin & inside or home.organs >= IN_MOST
    return PARTLY if partly else 1.0


@dataclass(frozen=True)
class TissuePrior:
    """What a tissue says of cell types."""

    tissue: Tissue  # the tissue
    weight: float = 1.0  # 0 to 1: how much of it counts

    @classmethod
    def of(cls, tissue: str | Tissue) -> TissuePrior:
        """Prior of a tissue as people write it, see :func:`scbioverse.knowledge.tissues.read_tissue`."""
        found = tissue if isinstance(tissue, Tissue) else read_tissue(tissue)
        if len(listed_types()[found.id]) < FEWEST_LISTED:
            # Too few types are listed: what it is part of, or nothing.
            found = tissue_of(found.within) if found.within else found
        return cls(found)

    def log_prior(self, cl_ids: Sequence[str | None]) -> Float:
        """How much more evidence each type needs in the tissue: float32 (m,), nats to be added to log-probabilities.

        0 for what is usual in the tissue or everywhere and for None, no term, down to :data:`FLOOR` for types of other
        organs.
        """
        if len(listed_types()[self.tissue.id]) < FEWEST_LISTED:
            return np.zeros(len(cl_ids), dtype=np.float32)
        strange = [
            0.0 if one is None or one not in load_ontology() else _strange(one, self.tissue.id) for one in cl_ids
        ]
        return (FLOOR * self.weight * np.array(strange)).astype(np.float32)

    def adjust(self, log_probs: NDArray[np.floating], cl_ids: Sequence[str | None]) -> Float:
        """Log-probabilities with the prior; what a type of another organ loses goes to what it is a kind of.

        The rows are normalised. What looks like a pancreatic stellate cell outside the pancreas is a fibroblast rather
        than a smooth muscle cell. The nearest candidate above that is usual in the tissue takes it over, if there is
        one. Of `log_probs` (n, m), -inf for what a row could not choose stays; `cl_ids` are None for what is no term.
        """
        prior = self.log_prior(cl_ids).astype(np.float64)
        joint = np.asarray(log_probs, dtype=np.float64) + prior
        place = {one: i for i, one in reversed(list(enumerate(cl_ids))) if one is not None and prior[i] == 0}
        for i in np.flatnonzero(prior < 0).tolist():
            above = [one for one in load_ontology().ancestors(str(cl_ids[i])) if one in place]
            if above and len(load_ontology().descendants(above[0])) <= BROADEST:
                to = place[above[0]]
                lost = log_probs[:, i] + np.log1p(-np.exp(prior[i]))
                joint[:, to] = np.where(np.isneginf(log_probs[:, to]), -np.inf, np.logaddexp(joint[:, to], lost))
        return log_softmax(joint, axis=1).astype(np.float32)


# ------------------------------------------------------------------ which tissue the calls fit


@cache
def _classes(cl_id: str) -> tuple[int, ...]:
    """Classes that a type is of, or that are kinds of it; the last, of what organs have to themselves, for others."""
    ontology = load_ontology()
    if not _home(cl_id).everywhere and _home(cl_id).named:
        return (len(CLASSES),)
    of = [i for i, roots in enumerate(CLASSES) if any(ontology.is_within(cl_id, root) for root in roots)]
    # A broad term may be any of the classes below it; what stands in two (plasma and B cells) may be either.
    of = of or [i for i, roots in enumerate(CLASSES) if any(ontology.is_ancestor(cl_id, root) for root in roots)]
    return tuple(of) or (len(CLASSES),)


def _explained(cl_ids: Sequence[str], ident: str) -> NDArray[np.float64]:
    """Log of how usual each type is in a tissue, (m,): the share of its class, less what is strange there."""
    _, shares = usual_shares()
    share = np.array(shares.get(ident, shares[""]))
    usual = np.array([share[list(_classes(one))].sum() for one in cl_ids])
    strange = np.array([_strange(one, ident) for one in cl_ids])
    return np.log(usual) + FLOOR * strange


@dataclass(frozen=True)
class Called:
    """Which share of rows is of which type."""

    n: int  # rows
    terms: tuple[str, ...]  # Cell Ontology ids
    mass: NDArray[np.float64]  # float64 (terms,), sums to 1; without terms, nothing is known

    @classmethod
    def of(
        cls, log_probs: NDArray[np.floating], cl_ids: Sequence[str | None], sizes: NDArray[np.integer] | None = None
    ) -> Called:
        """Sum up calls made without a tissue.

        `log_probs` (n, m) are of a wide choice of types, from the cells alone; a row is a cell, or a group of so many
        (`sizes`).
        """
        ontology, n = load_ontology(), len(log_probs)
        at = [i for i, one in enumerate(cl_ids) if one is not None and one in ontology]
        weights = np.ones(n) if sizes is None else np.asarray(sizes, dtype=np.float64)
        mass = weights @ np.exp(np.asarray(log_probs, dtype=np.float64)[:, at])
        total = mass.sum()
        if not total > 0:
            return cls(int(weights.sum()), (), np.zeros(0))
        return cls(int(weights.sum()), tuple(str(cl_ids[i]) for i in at), mass / total)

    def away(self, ident: str) -> float:
        """Share that is of types of other organs than a tissue, 0 to 1."""
        return float(self.mass[np.array([_strange(one, ident) for one in self.terms]) == 1].sum())


def _fits(called: Called) -> dict[str, float]:
    """Mean log-likelihood of a cell's type in each tissue, nats, best first; empty where no type is known."""
    if not called.terms:
        return {}
    mass, terms = called.mass, called.terms
    known = [one.id for one in list_tissues() if len(listed_types()[one.id]) >= FEWEST_LISTED]
    # Beyond the floor a cell's type says no more: one stray call must not outweigh a hundred.
    found = {ident: float(mass @ np.maximum(_explained(terms, ident), 2 * FLOOR)) for ident in known}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True)
class Guess:
    """The tissue that explains calls best."""

    tissue: Tissue | None  # none where no call says anything
    # 0 to 1: chance of the tissue among all, times the share of the calls that are not types of other organs.
    confidence: float


def guess_tissue(called: Called) -> Guess:
    """Find the tissue whose usual types the calls are; the whole where its parts cannot be told apart."""
    fits = _fits(called)
    if not fits:
        return Guess(None, 0.0)
    speaking = min(SPEAKING, called.n)
    weights = np.exp(speaking * (np.array(list(fits.values())) - max(fits.values())))
    chance = dict(zip(fits, weights / weights.sum(), strict=True))
    wholes: dict[str, float] = {}
    for ident, value in chance.items():
        whole = tissue_of(ident).within or ident
        wholes[whole] = wholes.get(whole, 0.0) + value
    whole = max(wholes, key=lambda one: (wholes[one], one))
    parts = {one: value for one, value in chance.items() if tissue_of(one).within == whole}
    part = max(parts, key=lambda one: (parts[one], one), default=whole)
    # A part is named only where that is as sure as a guess has to be.
    best, sure = (part, parts[part]) if parts.get(part, 0.0) >= SURE else (whole, wholes[whole])
    return Guess(tissue_of(best), float(sure * (1 - called.away(best))))


def doubt(tissue: Tissue, called: Called, *, wide: bool = True) -> str:
    """Say why calls made without a tissue do not fit the one that was given; `""` where they do.

    `wide`: they were made from a wide choice. Of a short list, it says nothing that few are of the tissue's own types.
    """
    fits = _fits(called)
    best = next(iter(fits), None)
    if best is None or tissue.id not in fits or tissue.id in _around(best)[1] or best in _around(tissue.id)[1]:
        return ""
    behind = fits[best] - fits[tissue.id]
    kin = usual_shares()[1]
    if behind < (DOUBT_OF_KIN if best in kin and tissue.id in kin else DOUBT):
        return ""
    share = called.away(tissue.id)
    like = f"by their own calls, the cells look like {tissue_of(best).name} rather than {tissue.name}:"
    if share < FEW_AWAY and not wide:
        return ""
    if share < FEW_AWAY:
        return f"{like} few are of types of {tissue.name} itself. That is as it should be if only some were kept."
    return f"{like} {share:.0%} of the calls made without a tissue are types of other organs than {tissue.name}."

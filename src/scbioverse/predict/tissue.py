"""The tissue of each row, given or guessed: types of other organs need more evidence than those that are usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from .._logging import logger, shown_name, warn
from ..errors import InputError
from ..io.columns import obs_column
from ..knowledge import load_ontology
from ..knowledge.levels import BROADEST
from ..knowledge.ontology import nearest_above
from ..knowledge.tissues import (
    Tissue,
    home_of,
    is_early,
    listed_types,
    load_tissues,
    read_tissue,
    strangeness,
    usual_shares,
    with_parts,
)
from .groups import Groups, as_groups

if TYPE_CHECKING:
    from anndata import AnnData

Float = NDArray[np.float32]
# Nats for a type of another organ.
FLOOR = -4.0
# A tissue with fewer listed types is too little known to speak of.
FEWEST_LISTED = 15
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
            found = load_tissues()[found.within] if found.within else found
        return cls(found)

    def log_prior(self, cl_ids: Sequence[str | None]) -> Float:
        """How much more evidence each type needs in the tissue: float32 (m,), nats to be added to log-probabilities.

        0 for what is usual in the tissue or everywhere and for None, no term, down to :data:`FLOOR` for types of other
        organs.
        """
        if len(listed_types()[self.tissue.id]) < FEWEST_LISTED:
            return np.zeros(len(cl_ids), dtype=np.float32)
        strange = [
            0.0 if one is None or one not in load_ontology() else strangeness(one, self.tissue.id) for one in cl_ids
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
        strange = np.flatnonzero(prior < 0).tolist()
        heirs = nearest_above([str(cl_ids[i]) for i in strange], place, most=BROADEST)
        for i, heir in zip(strange, heirs, strict=True):
            if heir is not None:
                to = place[heir]
                lost = log_probs[:, i] + np.log1p(-np.exp(prior[i]))
                joint[:, to] = np.where(np.isneginf(log_probs[:, to]), -np.inf, np.logaddexp(joint[:, to], lost))
        return log_softmax(joint, axis=1).astype(np.float32)


# ------------------------------------------------------------------ which tissue the calls fit


@cache
def _classes(cl_id: str) -> tuple[int, ...]:
    """Classes that a type is of, or that are kinds of it; the last, of what organs have to themselves, for others."""
    ontology = load_ontology()
    if not home_of(cl_id).everywhere and home_of(cl_id).named:
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
    strange = np.array([strangeness(one, ident) for one in cl_ids])
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
        return float(self.mass[np.array([strangeness(one, ident) for one in self.terms]) == 1].sum())


def _fits(called: Called) -> dict[str, float]:
    """Mean log-likelihood of a cell's type in each tissue, nats, best first; empty where no type is known."""
    if not called.terms:
        return {}
    mass, terms = called.mass, called.terms
    known = [ident for ident, types in listed_types().items() if len(types) >= FEWEST_LISTED]
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
    tissues = load_tissues()
    wholes: dict[str, float] = {}
    for ident, value in chance.items():
        whole = tissues[ident].within or ident
        wholes[whole] = wholes.get(whole, 0.0) + value
    whole = max(wholes, key=lambda one: (wholes[one], one))
    parts = {one: value for one, value in chance.items() if tissues[one].within == whole}
    part = max(parts, key=lambda one: (parts[one], one), default=whole)
    # A part is named only where that is as sure as a guess has to be.
    best, sure = (part, parts[part]) if parts.get(part, 0.0) >= SURE else (whole, wholes[whole])
    return Guess(tissues[best], float(sure * (1 - called.away(best))))


def doubt(tissue: Tissue, called: Called, *, wide: bool = True) -> str:
    """Say why calls made without a tissue do not fit the one that was given; `""` where they do.

    `wide`: they were made from a wide choice. Of a short list, it says nothing that few are of the tissue's own types.
    """
    fits = _fits(called)
    best = next(iter(fits), None)
    if best is None or tissue.id not in fits or tissue.id in with_parts(best)[1] or best in with_parts(tissue.id)[1]:
        return ""
    behind = fits[best] - fits[tissue.id]
    kin = usual_shares()[1]
    if behind < (DOUBT_OF_KIN if best in kin and tissue.id in kin else DOUBT):
        return ""
    share = called.away(tissue.id)
    like = f"by their own calls, the cells look like {load_tissues()[best].name} rather than {tissue.name}:"
    if share < FEW_AWAY and not wide:
        return ""
    if share < FEW_AWAY:
        return f"{like} few are of types of {tissue.name} itself. That is as it should be if only some were kept."
    return f"{like} {share:.0%} of the calls made without a tissue are types of other organs than {tissue.name}."


# ------------------------------------------------------------------ the tissue of each row

# The word for no tissue: nothing is guessed either.
ANY = "any"
# So many candidates are a wide choice.
WIDE = 50


@dataclass(frozen=True)
class RowTissues:
    """Priors of tissues, and which row has which."""

    priors: tuple[TissuePrior, ...]  # one for each tissue; none where nothing is known
    codes: NDArray[np.int64]  # int64 (n,): prior of each row, -1 for none
    record: dict[str, Any] = field(default_factory=dict)  # what was given, and how it was read or guessed
    # bool (n,): rows whose tissue is of an embryo or fetus, as its name says; None: no row's is.
    early: NDArray[np.bool_] | None = None

    @property
    def named(self) -> str | None:
        """What the one tissue of all rows is called, as given and as known; None where there is none, or several."""
        if len(self.priors) != 1 or not (read := self.record.get("read")):
            return None
        return " ".join([*read, self.priors[0].tissue.name])

    def of_rows(self, rows: NDArray[np.integer] | None) -> RowTissues:
        """Return those of some rows, int (k,); all of them for None."""
        if rows is None:
            return self
        return replace(self, codes=self.codes[rows], early=None if self.early is None else self.early[rows])

    def adjust(self, log_probs: NDArray[np.floating], cl_ids: Sequence[str | None]) -> Float:
        """Log-probabilities with each row's prior, float32 (n, m); see :meth:`TissuePrior.adjust`."""
        found = np.array(log_probs, dtype=np.float32)
        for i, prior in enumerate(self.priors):
            rows = self.codes == i
            found[rows] = prior.adjust(found[rows], cl_ids)
        return found

    def of_groups(self, groups: Groups | None) -> RowTissues:
        """Return the tissue of most cells of each group, as rows; itself where there are no groups."""
        if groups is None:
            return self
        inside = groups.codes >= 0
        counts = np.zeros((len(groups.names), len(self.priors) + 1), dtype=np.int64)
        np.add.at(counts, (groups.codes[inside], self.codes[inside]), 1)  # -1, no tissue, is the last column
        codes = counts.argmax(axis=1)
        return replace(self, codes=np.where(codes == len(self.priors), -1, codes).astype(np.int64))

    def in_groups(
        self, ranked: NDArray[np.floating], alone: NDArray[np.floating], cl_ids: Sequence[str | None], groups: Groups
    ) -> tuple[Float, RowTissues]:
        """Let the tissue count where groups are named: scores with the prior, and the tissue of each row, weighed.

        `ranked` (n_groups, m) are the log-probabilities that decide, `alone` the same from the cells' embeddings and
        markers, by which a tissue is doubted or guessed.
        """
        here = self.of_groups(groups).weighed(alone, cl_ids, groups.sizes)
        rows = self.codes if self.priors or not here.priors else np.zeros_like(self.codes)
        return here.adjust(ranked, cl_ids), replace(here, codes=rows)

    def weighed(
        self,
        log_probs: NDArray[np.floating],
        cl_ids: Sequence[str | None],
        sizes: NDArray[np.integer] | None = None,
        *,
        wide: bool = True,
    ) -> RowTissues:
        """Doubt what was given, or guess where nothing was, by calls from the cells alone (:meth:`Called.of`).

        `wide`: calls were made from a wide choice of types; from a short list, nothing is guessed. Returns the same
        with what was said in the record, or with the guess for all rows; a warning says that the calls fit another
        tissue much better than the one that was given.
        """
        if "given" not in self.record:
            return self if not wide else _guessed(Called.of(log_probs, cl_ids, sizes), self.codes)
        said = {}
        for i, prior in enumerate(self.priors):
            rows = self.codes == i
            called = Called.of(log_probs[rows], cl_ids, None if sizes is None else sizes[rows])
            why = doubt(prior.tissue, called, wide=wide)
            if why:
                said[prior.tissue.name] = why
                given, read = self.record["given"], self.record.get("read", {})
                # Of a column, the values that were read as this tissue.
                values = [one for one, found in read.items() if found["id"] == prior.tissue.id and one != given]
                of = f" ({', '.join(map(shown_name, values))})" if values else ""
                warn(f"tissue={given!r}{of}: {why}")
        return replace(self, record=self.record | {"doubts": said})


def read_tissues(
    adata: AnnData, tissue: str | None, *, method: str | None = None, modality: str = "cell"
) -> RowTissues:
    """Read what `tissue=` says: a column of `obs` where it is the name of one, else a tissue.

    Without priors where nothing was given, and for `"any"`. `method` and `modality` say how labels are found, and of
    what; there are some that no tissue can be given with. An :class:`InputError` says that a name is no tissue, a
    column holds none, or a tissue says nothing of labels found so; a warning, that a column leaves out some rows.
    """
    if tissue is None:
        return RowTissues((), np.full(adata.n_obs, -1, dtype=np.int64))
    if not isinstance(tissue, str):
        raise InputError(f"tissue takes one name, or the name of one column of adata.obs; found {tissue!r:.80}.")
    if not tissue.strip():
        raise InputError("tissue is empty: name one, such as 'blood', or a column of adata.obs, or leave it out.")
    if modality != "cell":
        raise InputError(f"tissue={tissue!r} is of cells; modality={modality!r} has none. Leave it out.")
    if method == "generate":
        raise InputError(
            f"tissue={tissue!r} weighs candidates; with method='generate' labels are written. Leave one out."
        )
    if tissue.strip().casefold() == ANY and tissue not in adata.obs.columns:
        return RowTissues((), np.full(adata.n_obs, -1, dtype=np.int64), {"given": tissue})
    of_rows = Groups([tissue], np.zeros(adata.n_obs, dtype=np.int64))
    if tissue in adata.obs.columns:
        of_rows = as_groups(obs_column(adata, tissue, "tissue"), "tissue")
    priors = [_read(name, tissue, adata) for name in of_rows.names]
    read = {name: vars(one.tissue) for name, one in zip(of_rows.names, priors, strict=True)}
    # "PBMC" and "blood" are one tissue, in a vote of a group's cells, too.
    place, _ = pd.factorize(np.array([one.tissue.id for one in priors], dtype=object))
    codes = np.append(place, -1)[of_rows.codes]  # the last is that of no tissue
    if missing := int((codes < 0).sum()):
        column = f"adata.obs[{shown_name(tissue)!r}]"
        if missing == codes.size:
            raise InputError(f"{column} is missing (NaN) for every cell: leave tissue= out.")
        warn(f"{missing} cells have no value in {column}; they are judged without a tissue.")
    said = [name if name == one["name"] else f"{shown_name(name)} -> {one['name']}" for name, one in read.items()]
    if said:
        logger.info("tissue: %s. Types of other organs need more evidence", ", ".join(said))
    early = np.isin(of_rows.codes, [i for i, name in enumerate(of_rows.names) if is_early(name)])
    record = {"given": tissue, "read": {name: {"id": one["id"], "name": one["name"]} for name, one in read.items()}}
    one_each = {one.tissue.id: one for one in priors}
    return RowTissues(tuple(one_each.values()), codes.astype(np.int64), record, early)


def _read(name: str, tissue: str, adata: AnnData) -> TissuePrior:
    try:
        return TissuePrior.of(name)
    except InputError as error:
        if tissue in adata.obs.columns:
            raise InputError(f"adata.obs[{shown_name(tissue)!r}]: {error}") from None
        raise InputError(f"{error} Nor is it a column of adata.obs.") from None


def _guessed(called: Called, codes: NDArray[np.int64]) -> RowTissues:
    """Guess one tissue for all rows: types of other organs need more evidence, but not as much as in a given one."""
    guess = guess_tissue(called)
    sure = guess.tissue is not None and guess.confidence >= SURE
    record = {"given": None, "guessed": None, "confidence": round(guess.confidence, 4), "used": sure}
    if guess.tissue is None or not sure:
        logger.info("tissue: cannot be told from the cells; give tissue= if you know it")
        return RowTissues((), np.full_like(codes, -1), record)
    logger.info(
        "tissue: the cells look like %s (confidence %.2f), and types of other organs need some more evidence; "
        "tissue= sets it, tissue='any' leaves it out", guess.tissue.name, guess.confidence,
    )  # fmt: skip
    prior = replace(TissuePrior.of(guess.tissue), weight=OF_A_GUESS)
    return RowTissues((prior,), np.zeros_like(codes), record | {"guessed": asdict(guess.tissue)})

"""Annotation without candidates: groups are found and named, and every cell chooses among the names found.

Groups are named on one level: how specific it is, is decided for each broad type by what the cells tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import log_softmax

from .._logging import logger
from ..errors import InputError
from ..knowledge import load_ontology
from ..knowledge.levels import BROADEST, early_types, level_terms, lift, says_little
from ..knowledge.markers import marker_genes
from ..knowledge.ontology import broader_among, canonical_phrase, is_within, without_kinds
from .candidates import own_labels
from .contrast import Contrast, contrasted, told_apart
from .decide import compared_terms
from .groups import MOST_ALONE, MOST_CELLS, Groups, content_keys, find_groups, group_scores, hear
from .pool import (
    MOST_SCORED,
    Background,
    Method,
    Scores,
    beside_background,
    pick_method,
    pool,
    taken_from,
    weights_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models import BioVerse
    from .candidates import Candidates
    from .decide import Calls
    from .embedding import Batch
    from .tissue import RowTissues

    Float = NDArray[np.float32]
    Float64 = NDArray[np.float64]

Level = Literal["auto", "broad", "fine"]
# A group is clearly of a kind if that has so much of what all kinds have.
CLEAR = 0.8
# Kinds of a broad type are told apart where the likeliest kind of each group has so much of what all kinds have, in the
# mean over the cells. (How many cells are in clear groups says the same, but changes from one half of a study to the
# other, since a group is clear or not.) With 0.8 and 0.85 progenitors of marrow and trophoblasts of the Human Cell
# Landscape get kinds that they are not; T cells have 0.90 and more, monocytes of one study that do not part 0.72.
SHARE = 0.87
# Beside the broad term itself, which speaks for none of its kinds, it has to have so much.
LEAST = 1 / 3
# What a group's chances are raised to where its broad type is decided: the mean of log-probabilities says what one cell
# of a group may be, and many alike cells are surer than one. Else what little speaks for each of 25 kinds of T cells
# adds up to more than what speaks for microglia. 1.5 is as good, with names that change more between halves of a study;
# with 2 true T cells are lost.
SURER = 1.25
# Where the broad name says too little, as "epithelial cell" and "neuron", its kinds are named if those that the groups
# would get, with kinds of these, are so much of what all kinds and the broad term itself have. Prostate cells, whose
# kinds a rehearsal was never shown, have 0.3 there, neurons of a mouse brain that another left out 0.5: between them.
SHARE_OF_WIDE = 0.4
_TINY = 1e-300


@dataclass(frozen=True)
class Named:
    """What groups are called."""

    terms: list[str]  # Cell Ontology id of each group's name
    sure: Float64  # float64 (n_groups,): share of the broad type in what each group could be
    broad: list[str]  # broad types, those first that most cells could be


def name_groups(scores: Float64, cl_ids: Sequence[str], sizes: NDArray[np.integer], level: Level = "auto") -> Named:
    """Name groups so that no name is a kind of another, by log-probabilities (n_groups, m), up to a constant each.

    A term counts for everything that it is a kind of: a group between "naive B cell" and "B cell" is certainly of B
    cells. So each group first gets the broad type that its terms add up to. Then all groups of a broad type go one
    level down together, to its usual kinds, if the cells tell these apart (`"auto"`), and from there to the model's own
    terms (`"fine"`); a group that is clearly none of the kinds gets the likeliest one. `sizes` are the cells in each
    group.
    """
    terms, chances = _useful(scores, cl_ids)
    broad, of_broad = _summed(chances, terms, lambda one: lift(one, "broad"))
    best = _summed(chances**SURER, terms, lambda one: lift(one, "broad"))[1].argmax(axis=1)
    names = [broad[one] for one in best]
    if level != "broad":
        names = _one_down(names, chances, terms, sizes, lambda one: lift(one, "usual"))
    if level == "fine":
        names = _one_down(names, chances, terms, sizes, lambda one: one)
    order = np.argsort(-(np.asarray(sizes) @ of_broad), kind="stable")
    return Named(names, of_broad[np.arange(len(best)), best], [broad[at] for at in order])


def broad_types(scores: NDArray[np.floating], cl_ids: Sequence[str]) -> tuple[list[str], Float64]:
    """Return broad types, and how likely each row (a cell or group) is of each: (n, types), summed over their kinds."""
    terms, chances = _useful(scores, cl_ids)
    return _summed(chances, terms, lambda one: lift(one, "broad"))


def _useful(scores: NDArray[np.floating], cl_ids: Sequence[str]) -> tuple[list[str], Float64]:
    """Terms that are names for a type, and the chances of these alone."""
    kept = np.array([not says_little(one) for one in cl_ids])
    terms = [one for one, useful in zip(cl_ids, kept, strict=True) if useful]
    return terms, np.exp(log_softmax(np.asarray(scores, dtype=np.float64)[:, kept], axis=1))


def _summed(chances: Float64, terms: Sequence[str], up: Callable[[str], str]) -> tuple[list[str], Float64]:
    """Terms of a level, and what those that lead to each have together, (n_groups, n)."""
    above = list(map(up, terms))
    held = sorted(set(above))
    return held, chances @ np.array([[one == other for other in held] for one in above], dtype=np.float64)


def _one_down(
    names: list[str], chances: Float64, terms: list[str], sizes: NDArray[np.integer], up: Callable[[str], str]
) -> list[str]:
    """Replace names by kinds of theirs, where the groups of a name are clearly one kind or another."""
    out = list(names)
    kinds, held = _summed(chances, terms, up)
    for name in dict.fromkeys(names):
        rows = np.array([i for i, one in enumerate(names) if one == name])
        below = [
            j for j, kind in enumerate(kinds) if kind != name and name in (lift(kind, "broad"), lift(kind, "usual"))
        ]
        if not below:
            continue
        below.sort(key=lambda j: len(load_ontology().descendants(kinds[j])))
        own = held[rows][:, below]
        total, top, likeliest = own.sum(axis=1).clip(_TINY), own.max(axis=1), own.argmax(axis=1)
        unsaid = held[rows, kinds.index(name)] if name in kinds else np.zeros(rows.size)
        told, enough = top / total, SHARE
        said = sizes[rows] @ (top / (total + unsaid)) >= LEAST * sizes[rows].sum()
        if len(load_ontology().descendants(name)) > BROADEST:
            # A group between "GABAergic neuron" and "Purkinje cell", a kind of it, is certainly of GABAergic neurons:
            # it gets the narrowest name that is clear, if there is one.
            inside = np.array([[is_within(kinds[one], kinds[other]) for other in below] for one in below])
            nested = own @ inside
            told, enough, said = nested.max(axis=1) / (total + unsaid), SHARE_OF_WIDE, True
            clear = nested >= CLEAR * total[:, None]
            likeliest = np.where(clear.any(axis=1), clear.argmax(axis=1), likeliest)
        if said and sizes[rows] @ told >= enough * sizes[rows].sum():
            for row, at in zip(rows, likeliest, strict=True):
                out[row] = kinds[below[at]]
    return without_kinds(out, {one: lift(one, "broad") for one in out})


# A name is offered to all cells if a group has it that is of this type by more than an even chance, or that is large; a
# group of three or four cells has to be surer, since three alike cells are soon found.
SURE, SURE_OF_FEW, LARGE = 0.5, 0.8, 0.03
_FEW = 5
# What the language model's log-probabilities count beside the pooled ones where groups are named: nothing, since names
# are not better with them (`python -m benchmarks.first_call`, "its word"). What it says of a group's mean is recorded:
# where it differs from the name, a reader should look twice.
WORD = 0.0
# What a cell's log-probabilities are divided by where its group's word is added: the two are not independent, since the
# cell is one of the group. Of 1, 1.15, 1.3, 1.5 and 1.8, by the development studies of `benchmarks.first_call`.
TEMPER = 1.8
# A kind that no group is, but that so many cells are by themselves, each with such a probability, is a name, too: a
# mixture is named by what most of its cells are.
OWN_CELLS, OWN_SHARE, OWN_SURE = 5, 0.01, 0.8
# Nats for a type of embryos and fetuses where less than this share of the cells is of one by itself. Chosen on
# simulated cells of 23 adult and three fetal sets (at most 2.7 % and at least 3.5 %), tested on none; 9 other fetal
# sets lie below it, too: there `tissue=` has to say so.
EARLY, EARLY_SHARE = -2.0, 0.03
# A usual name that the model was not trained on is looked for where the tables list so many genes for it.
FEWEST_MARKERS = 5
# Of many cells so many of a group are enough to name it by, or all that it has.
_LEAST_ROWS = 20
# Best names by the pooled scores that the record shows beside those that the language model said.
_SHOWN = 3


@dataclass(frozen=True)
class Found:
    """What was found before any cell was called."""

    groups: Groups  # groups of cells
    names: list[str]  # Cell Ontology ids: the names that cells choose among
    # One dict a group: `proposed` (the pooled scores' best names and what the language model said), `alone` (shares
    # of its cells by the broad type that each is by itself, the largest first), `read` (what the language model said
    # of the mean).
    record: list[dict[str, Any]]
    n_read: int  # means that the language model read
    tissues: RowTissues | None = None  # those given, doubted, or guessed
    kinds: list[str] | None = None  # broad type of each group, by which evidence counted beside that of other types
    contrast: Contrast | None = None  # groups that are of another lineage beside others than by themselves


def names_known(model: BioVerse, markers: bool | None = None) -> Candidates:
    """Return what names are found among: the model's own terms, then usual names of types that it never saw.

    A podocyte that is no term of the model's would be the least wrong of the others, however many of its genes are
    listed. So marker genes, and what the descriptions say, speak for the names of :func:`.levels.level_terms`, too;
    but not where `markers` is False, or the model does not weigh them in a pool.
    """
    own, row = model.config.default_labels, model.config.calibration.get("cascade")
    more: list[str] = []
    if markers is not False and row is not None and row.weight("markers") > 0:
        held = set(own)
        more = [one for one in level_terms() if one not in held and len(marker_genes(one)) >= FEWEST_MARKERS]
    return own_labels([*own, *more], model.config.names)


def first_call(
    batch: Batch,
    vocabulary: Candidates,
    groups: Groups | None,
    *,
    method: Method | None = None,
    level: Level = "auto",
    seed: int = 0,
    tissues: RowTissues | None = None,
) -> Scores:
    """Find names and score them for every cell, with its group as a prior where groups were found.

    The `vocabulary` is what :func:`names_known` gives, with nested terms. `groups` are the user's; None: they are found
    (:func:`.groups.find_groups`, by `seed`). `method` is how cells choose among the names, None: the model's best;
    `level` see :func:`name_groups`. `tissues` is the tissue of each cell;
    where none was given, one is guessed; None: all are alike.
    """
    best = pick_method(batch.model, None, batch.modality)
    found = _find_names(batch, vocabulary, groups, best, level, seed, tissues)
    names = own_labels(found.names, batch.model.config.names)
    weights = weights_of(batch.model, method or best, names, batch.modality)
    if (ask := getattr(batch.evidence, "ask", None)) is not None and weights.of.get("markers"):
        # What tells whether types outside are nearer is taken in the same walk through the cells.
        compared = compared_terms(batch.model, names, batch.modality, needed=False, found=True)
        ask(names.evidence_keys, *([] if compared is None else [(*compared[0], *compared[1])]))
    beside = batch
    if batch.evidence is not None and found.kinds is not None:
        beside = replace(batch, evidence=Background(batch.evidence, found.groups, found.kinds))
    scores = pool(beside, names, weights, say=False)
    if found.contrast is not None and found.contrast.changed:
        more = found.groups.spread(found.contrast.of_groups([str(one) for one in names.terms]), 0.0)
        scores = replace(scores, log_probs=log_softmax(scores.log_probs + more, axis=1).astype(np.float32))
    given, near = scores.log_probs, batch.alike() if groups is None and len(batch) > MOST_ALONE else None

    def settled(own: Float) -> Float:
        of_groups = group_prior(own, found.groups)
        return of_groups if near is None else hear(of_groups, near)

    if scores.markers["weight"] and len(batch) > MOST_ALONE:  # among few cells, genes cannot be counted by type
        given = told_apart(given, names.terms, batch.evidence, settled)
    if groups is None:
        given = settled(given)
    read = scores.read + found.n_read
    counts = "counts among them" if WORD else "is noted in uns and decides nothing"
    word = f"the language model read the mean of each group, and what it said {counts}"
    logger.info(
        "%d groups of cells, %d names found for them by embeddings and markers; %s",
        len(found.groups.names), len(names), word if found.n_read else "the language model was not read",
    )  # fmt: skip
    return replace(
        scores, log_probs=given, read=read, found=found.groups, told=found.record, tissues=found.tissues,
        heard=0 if near is None else near.shape[1], background=taken_from(beside, names),
    )  # fmt: skip


def _find_names(
    batch: Batch, vocabulary: Candidates, groups: Groups | None, method: Method, level: Level, seed: int,
    tissues: RowTissues | None,
) -> Found:  # fmt: skip
    """Name groups by the pooled scores of the vocabulary and the language model's word; parameters as `first_call`."""
    of_all = _groups_of(batch.values, seed) if groups is None else groups
    rows = _enough(of_all, batch.values, seed)
    part = batch if rows is None else batch.with_genes(rows)
    some = of_all if rows is None else Groups(of_all.names, of_all.codes[rows])
    weights = weights_of(batch.model, method, vocabulary, batch.modality)
    beside = beside_background(part, vocabulary, some, found=True)
    said = pool(beside, vocabulary, weights, say=False)
    own, trained = said.log_probs, names_known(batch.model, markers=False)
    if not said.markers["weight"]:  # of types that it never saw, embeddings alone tell nothing
        vocabulary, own = trained, log_softmax(own[:, : len(trained)], axis=1)
    elif len(batch) > MOST_ALONE:
        own = told_apart(own, vocabulary.terms, part.evidence, lambda one: group_prior(one, some))
    pooled = group_scores(own, some).astype(np.float64)
    reading = read_groups_of(part, some, trained)  # nor has the language model learned the names of others
    ids = list(map(str, vocabulary.terms))
    early = early_prior(own, ids, None if tissues is None else tissues.of_rows(rows).early)
    # A group is judged as most of its cells are.
    own, ranked = own + early, pooled + EARLY * (some.mean(early) < EARLY / 2)
    if reading is not None:
        others = ((0, 0), (0, len(vocabulary) - len(trained)))
        ranked = ranked + WORD * np.pad(reading, others, mode="minimum")
    if tissues is not None:
        adjusted, tissues = tissues.in_groups(ranked, pooled, ids, of_all)
        ranked = adjusted.astype(np.float64)
        own = tissues.of_rows(rows).adjust(own, ids)
    contrast = contrasted(part, some, ranked, ids, said.markers["weight"]) if len(batch) > MOST_ALONE else None
    if contrast is not None:
        ranked = ranked + contrast.of_groups(ids)
        if contrast.changed:
            logger.info("%d groups are of another type by what other groups do not express", contrast.changed)
    named = name_groups(ranked, ids, of_all.sizes, level)
    names = _worth_offering(named, of_all.sizes, len(batch))
    kinds, held = broad_types(own, ids)
    if groups is None:
        names = sorted({*names, *_kinds_beside(names, kinds, held)})
    record = _record(pooled, reading, vocabulary, some.mean(np.eye(len(kinds))[held.argmax(axis=1)]), kinds)
    known = beside.evidence.kinds if isinstance(beside.evidence, Background) else None
    return Found(of_all, names, record, 0 if reading is None else len(reading), tissues, known, contrast)


def read_groups_of(batch: Batch, groups: Groups, candidates: Candidates) -> Float | None:
    """Let the language model read the mean of every group and score all names: float32 (n_groups, m).

    Its answer is bound to the candidates' names (constrained decoding), so that what it says always is a type. None,
    said in the log, for a model that was not trained to name rows, or of more than 1,000 names.
    """
    model, modality = batch.model, batch.modality
    try:
        pick_method(model, "score", modality)
    except InputError:
        logger.info("the language model of %r was not trained to name rows: groups are named without it", model.name)
        return None
    if len(candidates) > MOST_SCORED:
        logger.info("%d names are too many for the language model: groups are named without it", len(candidates))
        return None
    means = groups.mean(batch.values).astype(np.float32)
    options: dict[str, Any] = {"batch_size": batch.batch_size, "progress": batch.progress}
    return model.score(means, candidates.texts, modality=modality, **options)


def early_prior(own: Float, ids: list[str], given: NDArray[np.bool_] | None) -> Float:
    """How much more evidence types of embryos and fetuses need in each cell, float32 (n, m), nats.

    None in cells whose tissue says that they are of one, and none in the others where many of these are of such types
    by themselves: an adult liver has a few cells that look like hepatoblasts, a fetal one is full of them. `own` are
    the log-probabilities of each cell by itself, (n, m); `given` the cells whose tissue is of an embryo or fetus, bool
    (n,), None where no cell's is.
    """
    types = np.array([one in early_types() for one in ids])
    others = np.ones(len(own), dtype=bool) if given is None else ~given
    many = np.exp(own[np.ix_(others, types)]).sum() >= EARLY_SHARE * others.sum()
    return np.outer(others & ~many, types * np.float32(EARLY)).astype(np.float32, copy=False)


def _groups_of(values: Float, seed: int) -> Groups:
    """Find groups; few different cells are each one, and many that are alike to none are together."""
    _, codes = np.unique(content_keys(values, seed), return_inverse=True)
    n = int(codes.max()) + 1
    if n <= MOST_ALONE:
        return Groups([str(i + 1) for i in range(n)], codes)
    found = find_groups(values, seed)
    return found if found.names else Groups(["1"], np.zeros_like(codes))


def _kinds_beside(names: list[str], kinds: list[str], held: NDArray[np.floating]) -> set[str]:
    """Broad types that no name is of, but that enough cells are by themselves."""
    best, sure = held.argmax(axis=1), held.max(axis=1) >= OWN_SURE
    counts = np.bincount(best[sure], minlength=len(kinds))
    enough = counts >= max(OWN_CELLS, OWN_SHARE * len(held))
    return {kinds[i] for i in np.flatnonzero(enough)} - {lift(one, "broad") for one in names}


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
    names -= {one for one in broader_among(names) if cells[one] < LARGE * n}
    held = {lift(one, "broad") for one in names}
    if len(names) < 2:
        names |= set([one for one in named.broad if one not in held][:1])
    return sorted(names)


def group_prior(log_probs: Float, groups: Groups) -> Float:
    """Let each cell's group count as a prior: what the cells of the group are likely to be.

    The prior of a name is its mean probability in the group, with one cell's weight spread over all names; multiplied
    with the cell's own probabilities (n, m), to the power of 1 / :data:`TEMPER`, and normalised. It is one step of the
    adjustment of a classifier to a sample with other shares of classes (Saerens et al. 2002): a cell that is sure by
    itself is not overruled. A cell in no group keeps its own.
    """
    sizes = groups.sizes[:, None]
    prior = (groups.mean(np.exp(log_probs)) * sizes + 1 / log_probs.shape[1]) / (sizes + 1)
    own = log_probs.astype(np.float64) + groups.spread(np.log(prior), 0.0)
    own /= np.where(groups.codes >= 0, TEMPER, 1.0)[:, None]
    return np.asarray(log_softmax(own, axis=1), dtype=np.float32)


def groups_found(groups: Groups, told: list[dict[str, Any]], calls: Calls) -> list[dict[str, Any]]:
    """Return what the record says of groups that were found, each cell of which was called by itself.

    One dict a group: `group`, `n`, `label` (that of most of its cells), `confidence` (their mean), `agreement` (share
    of its cells that have it), and what was told of it.
    """
    out = []
    for i, (name, more) in enumerate(zip(groups.names, _by_name(told), strict=True)):
        rows = groups.codes == i
        codes, counts = np.unique(calls.codes[rows & calls.known], return_counts=True)
        code = -1 if not codes.size else int(codes[counts.argmax()])
        same = rows & calls.known & (calls.codes == code) if code >= 0 else rows & ~calls.known
        row = {"group": name, "n": int(rows.sum()), "label": calls.called[code].name if code >= 0 else calls.unknown}
        row |= {"confidence": round(float(calls.confidence[same].mean()), 6)}
        out.append(row | {"agreement": round(float(same.sum() / rows.sum()), 6)} | more)
    return out


def groups_told(
    calls: Calls, groups: Groups, told: list[dict[str, Any]], votes: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the record says of the user's groups, whose names were found: the calls' dicts, and what was told.

    Names that were found are few, and cells of other types agree on the least wrong one. So the agreement is at most
    the share of cells that are of the label's broad type by themselves, among all types that the model knows. Of a
    sample's part of a group (`votes`, see :func:`.groups.harmonise_samples`) it is what was told of the whole.
    """
    of_name = dict(zip(groups.names, zip(told, _by_name(told), strict=True), strict=True))
    of_name |= {f"{one['group']} [{one['sample']}]": of_name[one["group"]] for one in votes}
    ids = {one.name: one.cl_id for one in calls.called}
    out = []
    for row in map(dict, calls.groups):
        (more, named), cl_id = of_name[row["group"]], ids.get(row["label"])
        if cl_id is not None:
            of_type = (cl_id, lift(cl_id, "broad"))
            share = sum(n for kind, n in more["alone"].items() if any(is_within(kind, one) for one in of_type))
            row |= {"agreement": min(row["agreement"], round(share, 6))}
        out.append(row | named)
    return out


def _by_name(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Call the types of each group by their names instead of ids, the commonest three."""
    most = [dict(list(one["alone"].items())[:_SHOWN]) for one in told]
    name = {kind: canonical_phrase(kind) for kind in {kind for some in most for kind in some}}
    alone = [{name[kind]: share for kind, share in some.items()} for some in most]
    return [one | {"alone": some} for one, some in zip(told, alone, strict=True)]


def _record(
    pooled: NDArray[np.floating],
    reading: Float | None,
    vocabulary: Candidates,
    alone: NDArray[np.floating],
    kinds: list[str],
) -> list[dict[str, Any]]:
    """Return what was proposed for each group, what its cells are by themselves, and what the language model said."""
    best = np.argsort(-pooled, axis=1, kind="stable")[:, :_SHOWN]
    out: list[dict[str, Any]] = []
    for i, row in enumerate(best):
        read = {} if reading is None else {"read": vocabulary[int(reading[i].argmax())].name}
        proposed = list(dict.fromkeys([*(vocabulary[int(at)].name for at in row), *read.values()]))
        most = [at for at in np.argsort(-alone[i], kind="stable") if alone[i, at] > 0]
        by_cell = {kinds[at]: round(float(alone[i, at]), 4) for at in most}
        out.append({"proposed": proposed, "alone": by_cell} | read)
    return out

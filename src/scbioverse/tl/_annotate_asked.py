"""What `sb.tl.annotate` is asked: its options, checked, then what they name in the data and in the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InputError, check_choice
from ..knowledge.ontology import broader_among
from ..predict.candidates import asked_whole, log_labels, read_labels
from ..predict.contrast import DEFINING_KEYS
from ..predict.decide import Calls, call_rows, compared_terms, groups_without
from ..predict.embedding import Batch, CellEvidence, reference_stats
from ..predict.first_call import Level, first_call, groups_told, names_known
from ..predict.free_text import propose, write_for
from ..predict.given_markers import warn_of_unread
from ..predict.groups import (
    alike_cells,
    harmonise_samples,
    propagate,
    read_groups,
    read_samples,
    warn_of_disagreement,
)
from ..predict.pool import (
    MOST_SCORED,
    Method,
    Scores,
    beside_background,
    in_tissue,
    pick_method,
    pool,
    taken_from,
    weights_of,
)
from ..predict.tissue import read_tissues
from ..predict.whole_ontology import shortlisted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._slots import Slots
    from ..explain.reasons import Rationale
    from ..io import Cells
    from ..models import BioVerse
    from ..predict.candidates import Candidates
    from ..predict.embedding import Representation
    from ..predict.groups import Groups
    from ..predict.tissue import RowTissues


@dataclass(frozen=True, eq=False)
class Options:
    """What no data could make right is refused when they are made, what the model cannot do by :meth:`of_model`."""

    labels: Any = None
    method: Method | None = None
    modality: str = "cell"
    groupby: str | None = None
    level: Level = "auto"
    sample_key: str | None = None
    within: Sequence[str] | str | None = None
    unknown_threshold: float | Literal["auto"] | None = None
    parents: bool = True
    markers: bool | None = None
    n_neighbors: int | None = None
    rationale: Rationale | None = "group"
    batch_size: int = 512
    # Candidates are the terms of the ontology, found for each cell through the text space; set by `of_model`.
    ontology: bool = False
    # Names are found for groups of cells: no candidates are given, and the model's vocabulary holds terms and kinds
    # of theirs, which is no list to choose from; set by `of_model`.
    find: bool = False

    def __post_init__(self) -> None:
        threshold, n = self.unknown_threshold, self.n_neighbors
        if threshold not in ("auto", None) and (isinstance(threshold, str) or not 0.0 <= threshold <= 1.0):
            raise InputError(f"unknown_threshold is a number from 0 to 1, 'auto' or None, found {threshold!r}.")
        check_choice("level", self.level, "auto", "broad", "fine")
        if self.level != "auto" and (self.labels is not None or self.method == "generate"):
            raise InputError(
                f"level={self.level!r} is for names that are found; with labels= or method='generate' leave it out, "
                "and lift labels afterwards by scbioverse.tl.rollup(adata, level='broad')."
            )
        check_choice("rationale", self.rationale, "group", "template", "cell", None)
        if self.sample_key is not None and self.groupby is None:
            raise InputError(f"sample_key={self.sample_key!r} needs groupby=: it is the groups' names that are joined.")
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, found {self.batch_size}.")
        if self.within is not None and asked_whole(self.labels) != "cl":
            raise InputError("within= chooses among the terms of labels='cl'; other labels are chosen by naming them.")
        # True and False are numbers to Python.
        if n is not None and (not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1):
            raise InputError(f"n_neighbors is a whole number from 1 up, or None, found {n!r}.")

    @property
    def free(self) -> bool:
        """Whether the language model may write whatever it likes."""
        return self.method == "generate" and self.labels is None

    def of_model(self, model: BioVerse) -> Options:
        """Return the options with everything settled that None and `"auto"` leave to the model.

        An :class:`InputError` says that the model was not trained for the method, has no threshold of its own, or that
        rows would share no candidates.
        """
        method = pick_method(model, self.method, self.modality)
        ontology = asked_whole(self.labels) == "cl" and method != "generate" and model.text_space is not None
        if ontology and self.method is None:
            method = "nearest"  # names of terms that no label of the training used are better found than said
        if self.n_neighbors is not None and (method == "generate" or ontology):
            which = "labels='cl'" if ontology else "method='generate'"
            raise InputError(
                f"n_neighbors averages the probabilities of one set of candidates over neighbours, and with {which} "
                "rows have no such set; give candidates as labels=, or leave n_neighbors out."
            )
        own, no_list = model.config.default_labels, self.labels is None and method != "generate"
        terms = no_list and self.modality == "cell" and all(one.startswith("CL:") for one in own)
        return replace(
            self, method=method, ontology=ontology, find=terms and bool(broader_among(own)),
            unknown_threshold=self._threshold(model, method),
        )  # fmt: skip

    def _threshold(self, model: BioVerse, method: Method) -> float:
        table = model.config.calibration
        row = table.get(method, table["score"])
        if self.unknown_threshold == "auto" and not row.threshold("auto"):
            raise InputError(
                f"unknown_threshold='auto', but model {model.name!r} was calibrated without one. Give a number from 0 "
                "to 1."
            )
        free = method == "generate" and self.labels is None
        # The calibrated threshold is one for probabilities among candidates; of free text only a given one counts.
        own = {"auto": row.threshold("auto"), None: 0.0 if free else row.threshold("unknown")}
        return float(own.get(self.unknown_threshold, self.unknown_threshold))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Called:
    """What rows are called, and by what."""

    scores: Scores
    calls: Calls
    groups: Groups | None  # the groups that got one label each
    tissue: dict[str, Any]  # what is recorded of the tissue
    votes: list[dict[str, Any]]  # of each sample in each group


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked about cells, before any is read."""

    options: Options
    model: BioVerse
    groups: Groups | None
    samples: Groups | None
    tissues: RowTissues
    named: Candidates | None  # the candidates; None where they are found in the ontology or written
    compared: tuple[list[str | None], list[str]] | None  # terms, and those outside them, which rows are compared with
    auto: bool  # whether the threshold is the model's own
    lists: bool  # whether rows are lists of genes

    @classmethod
    def of(cls, cells: Cells, options: Options, model: BioVerse, tissue: str | None, *, auto: bool) -> Asked:
        """Read what the options name in the data."""
        adata, lists = cells.adata, bool(cells.unlisted)
        groups = None if options.groupby is None else read_groups(adata, options.groupby)
        samples = None if options.sample_key is None else read_samples(adata, options.sample_key)
        tissues = read_tissues(adata, tissue, method=options.method, modality=options.modality)
        named = _named(options, model, tissues.named)
        compared = None
        # Too many lists of genes seem nearer to types outside than to the candidates: they are not compared.
        if named is not None and not (options.find or options.method == "generate" or lists):
            compared = compared_terms(model, named, options.modality, needed=bool(options.unknown_threshold))
        return cls(options, model, groups, samples, tissues, named, compared, auto, lists)

    def may_fill(self, slots: Slots) -> list[str]:
        """Columns of `obs` that this run may fill beside those that every run does."""
        find = self.options.find
        may = {
            slots.elsewhere: self.compared or (find and self.model.text_space is not None and not self.lists),
            slots.text: self.options.method == "generate",
            slots.group: find and self.options.groupby is None,
        }
        return [slot for slot, fills in may.items() if fills]

    @property
    def wanted(self) -> list[tuple[str | None, ...]]:
        """Terms whose marker sums will be asked for: they are taken while the encoder walks through the cells."""
        if self.named is None or self.options.method == "generate":
            return []
        keys = self.named.terms if self.options.find else self.named.evidence_keys
        scored = [] if self.options.markers is False else [tuple(keys), *([DEFINING_KEYS] if self.options.find else [])]
        return scored if self.compared is None else [*scored, (*self.compared[0], *self.compared[1])]

    def batch(self, embedded: Representation) -> Batch:
        """Return the rows with what is read of them later."""
        options, cells = self.options, embedded.cells
        given = {one.name: one.genes for one in self.named or () if one.genes}
        if given:
            warn_of_unread(given, cells, reference_stats(self.model).genes)
        # Markers and reasons are read where the embedding was: from other values they would not fit it.
        of_genes: dict[str, Any] = {}
        if options.modality == "cell":
            of_genes = {"evidence": CellEvidence(cells, self.model), "alike": partial(alike_cells, cells)}
        return Batch(
            self.model, embedded.values, options.modality, needs_genes=bool(options.markers),
            batch_size=options.batch_size, **of_genes,
        )  # fmt: skip

    def call(self, batch: Batch, slots: Slots, seed: int, blank: NDArray[np.integer]) -> Called:
        """Score the candidates and decide for each row or group.

        `blank`, int (k,), are rows that hold nothing: they count for no group.
        """
        options, groups = self.options, self.groups
        if groups is not None and blank.size:
            groups = groups_without(groups, blank)
        scores = self._scores(replace(batch, evidence=None) if options.markers is False else batch, groups, seed)
        if options.n_neighbors is not None:
            scores = replace(scores, log_probs=propagate(scores.log_probs, batch.values, options.n_neighbors, seed))
        scores, tissues = in_tissue(scores, self.tissues, own=options.ontology)
        votes: list[dict[str, Any]] = []
        if groups is not None and self.samples is not None and scores.said is None:
            groups, votes = harmonise_samples(scores.log_probs, scores.candidates.names, groups, self.samples)
        calls = call_rows(
            batch, scores, groups, float(options.unknown_threshold or 0), slots.elsewhere, parents=options.parents,
            auto=self.auto, lists=self.lists, blank=blank,
        )  # fmt: skip
        if scores.found is not None and groups is not None:
            calls = replace(calls, groups=groups_told(calls, scores.found, scores.told or [], votes))
        warn_of_disagreement(calls.groups)
        return Called(scores, calls, groups, dict(tissues.record), votes)

    def _scores(self, batch: Batch, groups: Groups | None, seed: int) -> Scores:
        """Score candidates: named, found for groups, near in the ontology, or written by the language model."""
        options, named = self.options, self.named
        if options.find and named is not None:
            return first_call(
                batch, named, groups, method=options.method, level=options.level, seed=seed, tissues=self.tissues,
            )  # fmt: skip
        if options.free and groups is not None:
            return propose(batch, groups)
        if options.method == "generate":
            return write_for(batch, named, groups)
        if named is None:
            candidates, beside = shortlisted(batch, groups, options.within), batch
        else:
            candidates, beside = named, beside_background(batch, named, seed=seed)
        weights = weights_of(batch.model, str(options.method), candidates, batch.modality)
        scores = pool(beside, candidates, weights)
        return replace(scores, background=taken_from(beside, candidates))


def _named(options: Options, model: BioVerse, organ: str | None) -> Candidates | None:
    """Return the candidates that the user named, of an organ; None where they are found in the ontology or written."""
    if options.free or options.ontology:
        return None
    if options.find:
        candidates = names_known(model, options.markers)
    else:
        candidates = read_labels(options.labels, model, context=organ, modality=options.modality)
    if options.method != "nearest" and len(candidates) > MOST_SCORED:
        raise InputError(
            f"{len(candidates)} candidates are too many for method={options.method!r} (at most {MOST_SCORED}); "
            "use method='nearest' or name fewer."
        )
    if not options.find and options.modality == "cell":
        log_labels(candidates, own=asked_whole(options.labels) == "vocabulary")
    return candidates

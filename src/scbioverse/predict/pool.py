"""Sources pooled by the weights of a model's calibration; the language model is asked where its word could matter.

The evidence of markers is counted beside what cells of other types show of them: RNA of burst cells, above all.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from .._logging import logger
from ..errors import BioverseError, InputError
from ..knowledge import load_ontology
from ..knowledge.markers import broad_kinds, evidence_key
from ..models.shared_space import cosines
from .groups import FEWEST, MOST_ALONE, Groups, content_keys, find_groups
from .joined import gathered, spread
from .sources.language_model import LanguageModel
from .tissue import WIDE
from .whole_ontology import ontology_coordinates

if TYPE_CHECKING:
    from ..models import BioVerse
    from ..models.config import Calibration
    from .candidates import Candidates
    from .embedding import Batch
    from .sources import Source
    from .tissue import RowTissues

Method = Literal["cascade", "score", "nearest", "generate"]
# In the order in which one is taken if the user names none: evidence pooled is best where a model is calibrated for it.
METHODS: tuple[Method, ...] = ("cascade", "score", "nearest", "generate")
# More names than this the language model is not asked to tell apart: their tree of tokens outgrows memory.
MOST_SCORED = 1000
# Nats that a label with genes of the user's loses, beside one that holds it, in a cell that expresses none of them; and
# a label that nothing but a word tells apart from a plainer one of the same type.
NOT_SHOWN = 3.0
Float = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """One row of a model's calibration: how the sources of a method are weighed."""

    of: Mapping[str, float]  # weight of each source, by name; one with weight 0 is not asked
    # What scores were divided by, for the record; None for a pool, whose weights hold it.
    temperature: float | None = None
    # Weights of what the language model reads beside the embedding; the model itself applies them.
    beside: Mapping[str, float] = field(default_factory=dict)
    # Probability by the other sources from which a row is not read by the language model; None: it reads all.
    sure: float | None = None
    # By how many nats the language model may prefer one label to another: a row whose two best labels, by the other
    # sources, are further apart than its weight times this is not read, since its label would stay.
    reach: float = np.inf


@dataclass(frozen=True)
class Said:
    """What the language model wrote, where that decides and not the scores."""

    codes: NDArray[np.int64]  # int64 (n,): candidate of each row, or of each group where there are groups
    confidence: Float  # float32 (n,): probability of the text
    texts: list[str]  # what was written


@dataclass(frozen=True)
class Scores:
    """How likely each candidate is for each row, and how that was found."""

    candidates: Candidates  # m labels
    # float32 (n, m), natural logarithm; `exp` of a row sums to 1. -inf for what a row could not choose.
    log_probs: Float
    read: int  # rows that the language model read
    markers: dict[str, Any] = field(default_factory=lambda: {"weight": 0.0})  # what the record says of the marker genes
    temperature: float | None = None  # as `Weights` has it
    said: Said | None = None  # what the language model wrote, where it did
    # By group, the names between which its cells decided, where the language model proposed some.
    proposed: list[list[str]] | None = None
    tissues: RowTissues | None = None  # the tissue of each row, where it was weighed when names were found
    # Groups by which names were found, where no candidates were given, and what the record says of each.
    found: Groups | None = None
    told: list[dict[str, Any]] | None = None
    heard: int = 0  # cells that each cell heard, those most like it by their own genes
    # By name, what cells of other types show of a candidate's markers, which was taken from its evidence.
    background: dict[str, float] = field(default_factory=dict)


def pick_method(model: BioVerse, method: str | None, modality: str = "cell") -> Method:
    """Pick the method; an :class:`InputError` for one that there is not, or that the model was not trained for.

    The pool of a cascade was calibrated on cells, and so is for them alone.
    """
    model.check_modality(modality)
    trained = model.config.encoders[modality].chooses_by
    able = set(trained or ("score", "nearest"))
    # Who learned to give the right name the highest probability writes it, too.
    able |= {"generate"} if "score" in able else set()
    able |= {"cascade"} if modality == "cell" and "cascade" in model.config.calibration else set()
    if method is None:
        return next(one for one in METHODS if one in able)
    if method in able:
        return method  # type: ignore[return-value]
    if method not in METHODS:
        raise InputError(f"method={method!r}; choose 'cascade', 'score', 'nearest' or 'generate'.")
    if method == "cascade":
        raise InputError(
            f"model {model.name!r} has no calibrated pool for method='cascade' and {modality!r}: use 'score' or "
            "'nearest'."
        )
    loss = "contrastive" if method == "nearest" else "autoregressive"
    raise InputError(
        f"model {model.name!r} was trained for {' and '.join(trained)}, not for method={method!r}. "
        f"Train it: scbioverse.tl.align(adata, text_key=..., loss={loss!r})."
    )


def pool_weights(row: Calibration) -> Weights:
    """Return the weights of `method="cascade"`."""
    return Weights(row.weights, sure=row.threshold("sure"), reach=row.threshold("reach"))


def pool_record(row: Calibration) -> dict[str, float]:
    """Return what a record says of a pool: its weights, and when the language model is asked."""
    # Records are read by those who have older ones: these names stay.
    named = {"score": "language_model", "nearest": "nearest", "markers": "markers", "attention": "prototypes"}
    weights = {name: row.weight(source) for name, source in named.items()}
    return weights | {name: row.threshold(name) for name in ("sure", "reach")}


def weights_of(model: BioVerse, method: str, candidates: Candidates, modality: str = "cell") -> Weights:
    """Look up how a method that :func:`pick_method` gave weighs its sources."""
    rows, alone = model.config.calibration, candidates.shortlist is None
    if method == "cascade" and alone:
        return pool_weights(rows["cascade"])
    if method == "score" and alone and model.weighs(candidates.terms, modality):
        return Weights({"language_model": 1.0}, beside=rows["candidate_tokens"].weights)
    near, read = {"nearest": 1 / rows["nearest"].temperature}, {"language_model": 1.0}
    table = {
        "score": Weights(read | rows["score"].weights, rows["score"].temperature),
        "nearest": Weights(near | rows["nearest"].weights, rows["nearest"].temperature),
        # Terms that no calibration saw: both at their own temperatures.
        "cascade": Weights(near | read | rows["score"].weights, rows["score"].temperature),
    }
    return table[method]


def pool(batch: Batch, candidates: Candidates, weights: Weights, *, say: bool = True) -> Scores:
    """Add up what the sources say, each with its weight, and normalise.

    `log_softmax(Σ weight · scores)` of log-probabilities and evidence is a logarithmic opinion pool (Genest and Zidek
    1986). Rows of which the other sources are not sure, and whose two best labels are close enough for the language
    model to put the second first, are read by it. Whether a row is read depends on that row alone.

    The evidence of markers is left out where the batch has none, and where genes cannot be read, which the log says.
    `say`: say in the log what decided. An :class:`InputError` where the batch needs genes, and the model has no weight
    for them, the modality is not cells, or they cannot be read. A label of several types (:mod:`.joined`) has the
    probability of all of them.
    """
    if (wide := spread(candidates)) is not candidates:
        each = pool(batch, wide, weights, say=say)
        return replace(each, candidates=candidates, log_probs=gathered(each.log_probs, candidates))
    genes = _markers(batch, weights)
    sources = _sources(weights, genes)
    reads = sources.pop(LanguageModel.name, None)
    said = {name: source.scores(batch, candidates) for name, source in sources.items()}
    heard = {name: scores for name, scores in said.items() if scores is not None}
    joint = np.zeros((len(batch), len(candidates)))
    for name, scores in heard.items():
        joint += weights.of[name] * np.asarray(scores, dtype=np.float64)
    read = worth_reading(joint, weights)
    if reads is not None and read.any():
        # All rows or some: evidence that the language model reads beside the embedding is that of all.
        word = reads.scores(batch if read.all() else batch.part(read), candidates)
        joint[read] += weights.of[LanguageModel.name] * np.asarray(word, dtype=np.float64)
    if candidates.shortlist is not None:
        listed = np.zeros(joint.shape, dtype=bool)
        np.put_along_axis(listed, candidates.shortlist, True, axis=1)
        joint[~listed] = -np.inf
    joint -= NOT_SHOWN * _unshown(batch, candidates, note := genes.note)
    for at, plainer in candidates.restated:
        joint[:, at] = np.minimum(joint[:, at], joint[:, plainer]) - NOT_SHOWN
    n_read = int(read.sum())
    if weights.beside:
        note = {**note, "read_by_llm": note["weight"] > 0}
    temperature = weights.temperature
    if isinstance(reads, LanguageModel) and reads.calibrated:
        temperature = reads.temperature
    if say and weights.sure is not None:
        logger.info("%s", _who_decided(n_read, len(batch), weights, markers="markers" in heard))
    # In float64, so that how many rows are computed together changes nothing that could ever be seen.
    return Scores(candidates, log_softmax(joint, axis=1).astype(np.float32), n_read, note, temperature)


def in_tissue(scores: Scores, tissues: RowTissues, *, own: bool) -> tuple[Scores, RowTissues]:
    """Let the tissue count among candidates that were scored from the cells alone.

    `own`: the candidates are the model's own or the ontology's. A user's list, or a short one, says what there is.
    """
    terms = scores.candidates.terms
    if scores.said is not None:
        return scores, tissues
    wide = own and len(terms) >= WIDE
    found = tissues.weighed(scores.log_probs, terms, wide=wide) if scores.tissues is None else scores.tissues
    return (scores if not found.priors else replace(scores, log_probs=found.adjust(scores.log_probs, terms))), found


def worth_reading(others: NDArray[np.floating], weights: Weights) -> NDArray[np.bool_]:
    """Rows (n,) that the other sources are not sure of and whose label the language model's word could change.

    `others`, (n, m), is what the other sources say, pooled.
    """
    weight = weights.of.get(LanguageModel.name, 0.0)
    if weights.sure is None or not weight or others.shape[1] < 2:
        return np.full(len(others), weight > 0 and weights.sure is None)
    best = np.partition(others, -2, axis=1)[:, -2:]
    # What it says is bounded in practice: a label that lies further behind cannot come first by its word.
    close = best[:, 1] - best[:, 0] <= weight * weights.reach
    return close & (softmax(others, axis=1).max(axis=1, initial=0.0) < weights.sure)


def _markers(batch: Batch, weights: Weights) -> Markers:
    """Return the source of markers, silent where they have no weight."""
    # Genes are those of cells; a weight of other modalities would have been fitted on nothing.
    held = {**weights.of, **weights.beside}.get(Markers.name, 0.0) if batch.modality == "cell" else 0.0
    if batch.needs_genes and not held:
        raise InputError(
            f"markers=True, but model {batch.model.name!r} has no marker term for this method and {batch.modality!r}."
        )
    return Markers(held, required=batch.needs_genes)


def _unshown(batch: Batch, candidates: Candidates, note: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Labels of which a row shows no gene that the user gave for them, bool (n, m).

    Only where another label is of the same type or one above it, and markers count: what else would tell "exhausted T"
    from "T cell"? A list of genes that stands alone is judged by its evidence as all labels are.
    """
    out, ontology, terms = np.zeros((len(batch), len(candidates)), dtype=bool), load_ontology(), candidates.terms
    if batch.evidence is None or not note.get("weight"):
        return out
    held = []
    for at, label in enumerate(candidates):
        if label.genes and (term := terms[at]) is not None:
            at_or_above = {term, *ontology.ancestors(term)}
            held += [at] if sum(one in at_or_above for one in terms) > 1 else []
    if held:
        # What the cell itself shows, whatever others do. One walk through the cells for all; of much data the sums lie
        # on the disk.
        raw = getattr(batch.evidence, "of", batch.evidence)
        out[:, held] = np.asarray(raw([evidence_key(None, candidates[at].genes) for at in held])) <= 0
    return out


class Prototypes:
    """The projector's attention over the prototypes of the cell types that it was trained on."""

    name = "prototypes"

    def scores(self, batch: Batch, candidates: Candidates) -> Float64 | None:
        """Log-probabilities (n, m), None where it tells no two candidates; see :meth:`BioVerse.attention`."""
        return batch.model.attention(batch.values, candidates.terms, batch.modality)


class Nearest:
    """Cosine of a row with each label's description, in the space shared with text."""

    name = "nearest"

    def scores(self, batch: Batch, candidates: Candidates) -> Float:
        """Cosines (n, m): in nats only by its weight, since a cosine is no probability."""
        if candidates.shortlist is None:
            texts = batch.model.text_coordinates(candidates.cards)
        else:  # terms of the ontology, as they are kept
            texts = ontology_coordinates(batch.model, [str(one.cl_id) for one in candidates])
        return cosines(batch.coordinates, texts)


@dataclass
class Markers:
    """Evidence of each label's marker genes, in standard deviations over the encoder's training cells."""

    name = "markers"
    weight: float = 0.0  # how much it counts, for log and record; 0: the genes are not read, and the source is silent
    required: bool = False  # genes that cannot be read are an error. If not, the source is silent, and the log says so.
    note: dict[str, Any] = field(default_factory=lambda: {"weight": 0.0})  # what the record says of it

    def scores(self, batch: Batch, candidates: Candidates) -> Float | None:
        """Evidence (n, m); see :meth:`scbioverse.encoders._panel_share.PanelScores.evidence`."""
        if batch.evidence is None or not self.weight:
            return None
        try:
            found = batch.evidence(candidates.evidence_keys)
        except BioverseError as error:
            # Embeddings can be had without genes, as of scVI: then they alone decide, unless markers were asked for.
            if self.required:
                raise
            logger.warning("labels go by the embedding alone, since the markers cannot be read: %s", error)
            self.note = {"weight": 0.0, "left_out": str(error)}
            return None
        found = np.asarray(found)
        backed = int((found != 0).any(axis=0).sum())
        logger.info(
            "marker genes are known for %d of %d labels; they count with weight %.3g",
            backed,
            len(candidates),
            self.weight,
        )
        self.note = {"weight": self.weight, "candidates_with_markers": backed}
        return found


_HERE = {one.name: one for one in (Prototypes, Nearest, Markers)}


def named_sources(names: Iterable[str]) -> list[Source]:
    """Make the sources of these names: those above, and of each file of `sources/` the class that it calls `SOURCE`.

    An :class:`InputError` where there is no such file: the names come from a model's configuration, which may be
    anybody's.
    """
    made: list[Source] = []
    for name in names:
        if name in _HERE:
            made.append(_HERE[name]())
        elif name.isidentifier() and importlib.util.find_spec(f".sources.{name}", __package__) is not None:
            made.append(importlib.import_module(f".sources.{name}", __package__).SOURCE())
        else:
            raise InputError(f"the model weighs evidence of {name!r:.60}, a source that this version does not have.")
    return made


def _sources(weights: Weights, genes: Markers) -> dict[str, Source]:
    """Make the sources that have a weight, by name."""
    # In a pool, its weight holds the language model's temperature.
    reader = LanguageModel(calibrated=weights.sure is None, beside=genes if weights.beside else None)
    own: dict[str, Source] = {Markers.name: genes, LanguageModel.name: reader}
    made = named_sources(name for name, weight in weights.of.items() if weight)
    return {one.name: own.get(one.name, one) for one in made}


def _who_decided(read: int, n: int, weights: Weights, *, markers: bool) -> str:
    """One line on what the language model had to do with the labels of a pool."""
    genes = ", descriptions of the labels and marker genes" if markers else " and descriptions of the labels"
    said = f"labels come from embeddings{genes}"
    if not weights.of.get(LanguageModel.name):
        return f"{said}; the language model adds nothing to these in this model, and was not asked"
    if not read:
        return f"{said}; none was a close call that the language model had to be asked about"
    return f"{said}; on the {read} of {n} rows that were close calls, the language model had a say"


# ------------------------------------------------------------------ markers beside what cells of other types show

# Of many cells, groups of so many tell what all show.
SAMPLE = 2_000
# Before any group has a name, what three of four groups have of a type's evidence is taken for what all show: with the
# mean, types of which half the groups are lose what is theirs.
FIRST = 0.25
# Groups of other types say what is not a type's own, if there are so many among all groups.
OTHERS = 0.25
# How often groups are named, each time beside what the last names say that others show.
ROUNDS = 2
# Sources that a group's mean is not asked of: the language model, which would cost more than all the rest, and markers,
# whose evidence was summed before.
_NOT_OF_MEANS = (LanguageModel.name, Markers.name)


@dataclass
class Background:
    """Marker evidence less what groups of other types show of it: called with m terms, float32 (n, m).

    Of each term the median over the groups that are of another broad type, where it is more than cells usually have. It
    is the term's own, and stays, where too few groups are of another type to say.
    """

    of: Callable[[Sequence[str | None]], NDArray[np.floating]]  # the evidence as it is
    groups: Groups
    kinds: list[str]  # broad type of each group
    taken: dict[str, float] = field(default_factory=dict)  # what was taken away, by term and genes, where anything was

    def __call__(self, terms: Sequence[str | None]) -> Float:  # noqa: D102
        found = np.asarray(self.of(terms), dtype=np.float32)
        taken = shown_by_others(self.groups.mean(found), self.kinds, broad_kinds(terms))
        self.taken |= {str(term): round(float(one), 3) for term, one in zip(terms, taken, strict=True) if one}
        return found - taken.astype(np.float32)


def shown_by_others(shown: Float64, kinds: Sequence[str], of_terms: Sequence[str]) -> Float64:
    """Median of the evidence of m terms, (n_groups, m), over groups of other broad types than each term's: (m,)."""
    others = np.array(kinds)[:, None] != np.array(of_terms)
    enough, taken = others.sum(axis=0) >= max(FEWEST, OTHERS * len(kinds)), np.zeros(len(of_terms))
    taken[enough] = np.nanmedian(np.where(others, shown, np.nan)[:, enough], axis=0)
    return taken.clip(0)


def beside_background(
    batch: Batch,
    candidates: Candidates,
    groups: Groups | None = None,
    *,
    found: bool = False,
    seed: int = 0,
) -> Batch:
    """Let the markers of candidates count beside what cells of other types show of them.

    For this groups of alike cells are named by the pooled sources, without the language model: first with what three
    of four groups show taken away, since RNA that is in all cells would else give all of them one name. `groups` are
    found if not given. `found`: the candidates are names that might be found. The batch stays as it is where markers
    count nothing, genes cannot be read, or there are too few cells.
    """
    row, candidates = batch.model.config.calibration.get("cascade"), spread(candidates)
    if row is None or batch.evidence is None or len(batch) <= MOST_ALONE or not row.weight(Markers.name):
        return batch
    if groups is None and (groups := _sample_of_groups(batch.values, seed)) is None:
        return batch
    try:
        shown = groups.mean(np.asarray(batch.evidence(candidates.evidence_keys)))
    except BioverseError:  # whether that is an error is the pool's to say
        return batch
    # A name that the user gives may be that of nearly all cells. If the model was not trained on it, so that markers
    # alone speak for it, nothing would give it back what is taken here.
    trained, ontology = set(batch.model.config.default_labels), load_ontology()
    known = [
        found or (one is not None and not trained.isdisjoint((one, *ontology.descendants(one))))
        for one in candidates.terms
    ]
    taken = np.where(known, np.quantile(shown, FIRST, axis=0).clip(0), 0.0)
    joint = np.zeros(shown.shape)
    means = batch.of(groups.mean(batch.values).astype(np.float32))
    for source in named_sources(name for name, weight in row.weights.items() if weight and name not in _NOT_OF_MEANS):
        if (said := source.scores(means, candidates)) is not None:
            joint += row.weight(source.name) * said
    kinds, of_keys = list[str](), broad_kinds(candidates.evidence_keys)
    for _ in range(ROUNDS):
        best = (joint + row.weight(Markers.name) * (shown - taken)).argmax(axis=1)
        kinds = [of_keys[at] for at in best]
        taken = shown_by_others(shown, kinds, of_keys)
    return replace(batch, evidence=Background(batch.evidence, groups, kinds))


def taken_from(batch: Batch, candidates: Candidates) -> dict[str, float]:
    """Return what was taken from the evidence of candidates, in standard deviations, by name, where anything was."""
    taken = batch.evidence.taken if isinstance(batch.evidence, Background) else {}
    return {one.name: taken[key] for one, key in zip(candidates, candidates.evidence_keys, strict=True) if key in taken}


def _sample_of_groups(values: Float, seed: int) -> Groups | None:
    """Find groups in a sample of different cells; None where these are too few. The others are in no group."""
    _, first = np.unique(content_keys(values, seed), return_index=True)
    if first.size <= MOST_ALONE:
        return None
    rows = np.sort(first[:SAMPLE])
    found = find_groups(values[rows], seed)
    if len(found.names) < FEWEST:
        return None
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[rows] = found.codes
    return Groups(found.names, codes)

"""`sb.tl.annotate`: labels, confidences and checked reasons for every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._device import Rng, as_seed
from .._logging import and_more, logger, shown_name
from .._slots import (
    Slots,
    check_target,
    columns_of,
    correction_step,
    left_by,
    records_of,
    takes_mudata,
    write_results,
)
from ..errors import InputError
from ..explain.reasons import NO_COUNTS, Rationale, Wording, reasons
from ..io import Cells
from ..knowledge.ontology import broader_among
from ..models import load
from ..predict.candidates import Labels, asked_whole, log_labels, read_labels
from ..predict.decide import Calls, call_rows, compared_terms
from ..predict.embedding import Batch, CellEvidence, long_run, reference_stats, represent_rows
from ..predict.first_call import Level, first_call, groups_found, groups_told, names_known
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
    pool_record,
    taken_from,
    weights_of,
)
from ..predict.tissue import read_tissues
from ..predict.whole_ontology import shortlisted

if TYPE_CHECKING:
    from anndata import AnnData

    from ..explain.reasons import Reasons
    from ..models import BioVerse
    from ..predict.candidates import Candidates
    from ..predict.groups import Groups
    from ..predict.tissue import RowTissues

_RECORDED = (
    "method", "modality", "groupby", "sample_key", "within", "unknown_threshold", "n_neighbors", "rationale",
)  # fmt: skip
_SHOWN = 10


@takes_mudata
def annotate(
    adata: AnnData,
    *,
    model: str | Path | BioVerse = "bioverse-small",
    labels: Labels = None,
    groupby: str | None = None,
    level: Level = "auto",
    method: Method | None = None,
    markers: bool | None = None,
    key_added: str = "bioverse",
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    unknown_threshold: float | Literal["auto"] | None = None,
    parents: bool = True,
    sample_key: str | None = None,
    within: Sequence[str] | str | None = None,
    tissue: str | None = None,
    rationale: Rationale | Literal[False] | None = "group",
    n_neighbors: int | None = None,
    batch_size: int = 512,
    device: str = "auto",
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Label every row with one of several candidates, and give a confidence and a reason that was checked.

    The confidence is the label's probability among the candidates: on cells like those that the model was calibrated
    on, about 8 in 10 labels with confidence 0.8 are right. It says nothing of types that are not among them. The page
    on concepts explains methods and thresholds; the page on slots lists what is written where.

    Parameters
    ----------
    adata
        Raw counts or log-normalised values, or what the model's encoder reads. Of a MuData the part for `modality`.
    model
        Name of a model (see :func:`scbioverse.models.list_models`), path of one, or a model.
    labels
        Names, read together; a mapping from names to Cell Ontology ids, descriptions or lists of marker genes; `"cl"`:
        the whole Cell Ontology, of which each cell or group chooses among its 8 nearest terms; `"vocabulary"`: all
        that the model knows. None: names are found for groups of alike cells, and each cell chooses among these.
    groupby, level
        Column of `obs`, such as clusters: the cells of a group get one label, by their mean log-probability. And how
        specific names are that are found: `"broad"` (T cell), `"fine"` (naive CD4 T cell), or `"auto"`.
    method, markers
        `"score"`: the language model's probability of each name. `"nearest"`: nearness to each label's description.
        `"cascade"`: nearness, attention and markers pooled, with the language model where its word could change the
        label. `"generate"`: the language model writes the label. None: the best that the model was calibrated for.
        `markers`: add evidence of marker genes, less what cells of other types show of it. None: where it can be had.
    key_added, modality, key, layer
        Stem of the slot names; which encoder reads; and where it finds its input, see :func:`scbioverse.tl.embed`.
    unknown_threshold, parents
        Rows or groups whose confidence, times the chance that they are of a candidate's type at all, is below it are
        called by a parent term or `"unknown"`. `"auto"`: the model's own. None: its default, mostly 0, for never.
        With `parents`, take the most specific term under which candidates reach it together.
    sample_key, within
        Column of `obs` with samples: where most samples of a group agree, it gets one label, else each its own. And
        Cell Ontology ids or names; with `labels="cl"`, only terms at or below them are candidates.
    tissue
        Name, UBERON id or column of `obs`: types of other organs need more evidence, also among labels you give. None:
        guessed without labels or with `labels="cl"`; `"any"`: neither. See the page on concepts.
    rationale
        `"group"`: one reason a label, of genes that the language model chooses from those that passed a test;
        `"template"`: without it; `"cell"`: each cell's own, by the genes it expresses; None or False: none.
    n_neighbors
        Let cells that lie close together decide together, out of so many nearest (label propagation, Zhou 2003).
    batch_size, device
        Most rows that the language model reads at once; a torch device, or `"auto"`.
    rng, copy
        Seed, kept in the record; and whether to return a copy and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets, with `bioverse` for `key_added`, `obs["bioverse_label"]`, `_confidence`, `_margin` (to the
    second label), `_entropy` (nats), `_rationale`, `_cl_id`, and where they apply `_elsewhere`, `_text`, `_group`;
    `obsm["bioverse_scores"]`, log-probabilities, `exp` of a row sums to 1; `obsm["X_bioverse"]` and `_aligned`.

    Raises
    ------
    BioverseError
        Data, labels or options cannot be used. `adata` is unchanged.

    Examples
    --------
    >>> sb.tl.annotate(adata, labels=["B cell", "CD4 T cell", "CD8 T cell", "NK cell", "monocyte"])
    """
    slots, seed = Slots(key_added), as_seed(rng)
    step, always = slots.step("annotate"), (slots.label, slots.confidence, slots.margin, slots.entropy, slots.rationale)
    check_target(adata, step, always, [slots.cl_id], [slots.scores])
    _check_corrections(adata, slots)
    rationale = None if rationale is False else rationale
    options = Options(
        labels, method, modality, groupby, level, sample_key, within, unknown_threshold, parents, markers, n_neighbors,
        rationale, batch_size,
    )  # fmt: skip
    loaded = load(model, device=device)
    options = options.of_model(loaded)
    groups = None if groupby is None else read_groups(adata, groupby)
    samples = None if sample_key is None else read_samples(adata, sample_key)
    tissues = read_tissues(adata, tissue, method=options.method, modality=modality)
    named = _named(options, loaded, tissues.named)  # before the embedding: a slip should not cost its time
    cells = Cells.of(adata, layer, key)
    # Too many lists of genes seem nearer to types outside than to the candidates: they are not compared.
    compared = None
    if named is not None and not (options.find or options.method == "generate" or cells.unlisted):
        compared = compared_terms(loaded, named, modality, needed=bool(options.unknown_threshold))
    check_target(adata, step, always, _may_fill(options, loaded, cells, slots, compared=compared is not None))
    cells.wanted = _wanted(options, named, compared)
    fingerprint = loaded.fingerprint()
    with long_run("annotate", cells, fingerprint, vars(options)):
        embedded = represent_rows(cells, loaded, modality=modality, slots=slots)
        # Markers and reasons are read where the embedding was: from other values they would not fit it.
        of_genes: dict[str, Any] = {}
        if modality == "cell":
            of_genes = {
                "evidence": CellEvidence(embedded.cells, loaded), "alike": partial(alike_cells, embedded.cells)
            }  # fmt: skip
        batch = Batch(loaded, embedded.values, modality, batch_size=batch_size, **of_genes)
        given = {one.name: one.genes for one in named or () if one.genes}
        if given:
            warn_of_unread(given, embedded.cells, reference_stats(loaded).genes)

        scores = _scores(batch, options, named, groups, tissues, seed)
        if n_neighbors is not None:
            scores = replace(scores, log_probs=propagate(scores.log_probs, batch.values, n_neighbors, seed))
        scores, tissues = in_tissue(scores, tissues, own=options.ontology)
        votes: list[dict[str, Any]] = []
        if groups is not None and samples is not None and scores.said is None:
            groups, votes = harmonise_samples(scores.log_probs, scores.candidates.names, groups, samples)
        calls = call_rows(
            batch, scores, groups, float(options.unknown_threshold or 0), slots.elsewhere, parents=parents,
            auto=unknown_threshold == "auto", lists=bool(cells.unlisted),
        )  # fmt: skip
        if scores.found is not None and groups is not None:
            calls = replace(calls, groups=groups_told(calls, scores.found, scores.told or [], votes))
        warn_of_disagreement(calls.groups)
        record = _record(options, loaded, scores, calls)  # groups as they were found, whoever gets no label
        blank: Any = []
        if groups is None:  # a group's label stays
            calls, blank = calls.without_blank(batch, embedded.cells)
        names, ids = [one.name for one in calls.called], [one.cl_id for one in calls.called]
        worded = Wording(loaded, batch.values, modality=modality) if rationale == "group" else None
        why = reasons(
            embedded.cells, names, ids, calls.codes, rationale=rationale, modality=modality, wording=worded,
            log_probs=calls.log_probs, given=[one.genes for one in scores.candidates], known=calls.known,
        )  # fmt: skip

    record |= {
        "fingerprint": fingerprint,
        "key": embedded.cells.key,
        "layer": embedded.cells.layer,
        "samples": votes,
        "embedding": embedded.slot,
        **({"tissue": tissues.record} if tissues.record else {}),
        "reasons_by_llm": 0 if worded is None else worded.asked,
        **({"reasons_measured": why.measured} if why.measured else {}),
    }
    in_obs, records = _found(calls, scores, why, groups, slots, record | {"seed": seed})
    if rationale is not None:
        in_obs[slots.rationale][blank] = NO_COUNTS
    columns = [one["column"] for one in record["labels"]]
    obsm = embedded.obsm | {slots.scores: pd.DataFrame(calls.log_probs, index=adata.obs_names, columns=columns)}
    if loaded.text_space is not None and loaded.config.encoders[modality].placed:
        obsm[slots.aligned] = batch.coordinates
    # What an earlier run left under these names would be taken for this one's.
    left = left_by(adata, step, (slots.elsewhere, slots.text, slots.group), in_obs)
    corrections = correction_step(slots.label)
    left += left_by(adata, corrections, (f"{slots.label}_before", f"{slots.label}_corrected"), in_obs)
    # Nothing is written before all of it is there, so that an error leaves the data as they were.
    written = write_results(
        adata, "annotate", obs=in_obs, obsm=obsm, records=embedded.records | records, drop=left,
        drop_records=[corrections], copy=copy,
    )  # fmt: skip
    _log_counts(in_obs[slots.label])
    return written


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
        if isinstance(threshold, str) and threshold != "auto":
            raise InputError(f"unknown_threshold is a number from 0 to 1, 'auto' or None, found {threshold!r}.")
        if not (isinstance(threshold, str | None) or 0.0 <= threshold <= 1.0):
            raise InputError(f"unknown_threshold must lie in 0 to 1, found {threshold}.")
        if self.level not in ("auto", "broad", "fine"):
            raise InputError(f"level={self.level!r}; choose 'auto', 'broad' or 'fine'.")
        if self.level != "auto" and (self.labels is not None or self.method == "generate"):
            raise InputError(
                f"level={self.level!r} is for names that are found; with labels= or method='generate' leave it out, "
                "and lift labels afterwards by scbioverse.tl.rollup(adata, level='broad')."
            )
        if self.rationale not in ("group", "template", "cell", None):
            choices = "'group', 'template', 'cell', or None for no reasons"
            raise InputError(f"rationale={self.rationale!r}; choose {choices}.")
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
        settled = replace(self, method=method, ontology=ontology, find=terms and bool(broader_among(own)))
        return replace(settled, unknown_threshold=settled._threshold(model))

    def _threshold(self, model: BioVerse) -> float:
        table = model.config.calibration
        row = table.get(str(self.method), table["score"])
        if self.unknown_threshold == "auto" and not row.threshold("auto"):
            raise InputError(
                f"unknown_threshold='auto', but model {model.name!r} was calibrated without one. Give a number from 0 "
                "to 1."
            )
        # The calibrated threshold is one for probabilities among candidates; of free text only a given one counts.
        own = {"auto": row.threshold("auto"), None: 0.0 if self.free else row.threshold("unknown")}
        return float(own.get(self.unknown_threshold, self.unknown_threshold))  # type: ignore[arg-type]


def _check_corrections(adata: AnnData, slots: Slots) -> None:
    """Refuse to write over labels that were set by hand on the page of :func:`scbioverse.serve`."""
    column = f"{slots.label}_corrected"
    if correction_step(slots.label) in records_of(adata) and column in adata.obs:
        n = int((adata.obs[column] == True).sum())  # noqa: E712  missing values are not
        if n:
            raise InputError(
                f"adata.obs[{slots.label!r}] holds labels that were set by hand, in {n} rows, which would be lost. "
                f"Pass another key_added=, or give them up: del adata.obs[{column!r}]."
            )


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


def _may_fill(options: Options, model: BioVerse, cells: Cells, slots: Slots, *, compared: bool) -> list[str]:
    """Columns of `obs` that this run may fill beside those that every run does."""
    may = {
        slots.elsewhere: compared or (options.find and model.text_space is not None and not cells.unlisted),
        slots.text: options.method == "generate",
        slots.group: options.find and options.groupby is None,
    }
    return [slot for slot, fills in may.items() if fills]


def _wanted(
    options: Options, named: Candidates | None, compared: tuple[list[str | None], list[str]] | None
) -> list[tuple[str | None, ...]]:
    """Terms whose marker sums will be asked for: they are taken while the encoder walks through the cells."""
    if named is None or options.method == "generate":
        return []
    keys = named.terms if options.find else named.evidence_keys
    scored = [] if options.markers is False else [tuple(keys)]
    return scored if compared is None else [*scored, (*compared[0], *compared[1])]


def _scores(
    batch: Batch, options: Options, named: Candidates | None, groups: Groups | None, tissues: RowTissues, seed: int
) -> Scores:
    """Score candidates: named, found for groups, near in the ontology, or written by the language model."""
    if options.find and named is not None:
        return first_call(
            batch, named, groups, method=options.method, level=options.level, markers=options.markers, seed=seed,
            tissues=tissues,
        )  # fmt: skip
    if options.free and groups is not None:
        return propose(batch, groups, markers=options.markers)
    if options.method == "generate":
        return write_for(batch, named, groups)
    if named is None:
        candidates, beside = shortlisted(batch, groups, options.within), batch
    else:
        candidates, beside = named, beside_background(batch, named, markers=options.markers, seed=seed)
    weights = weights_of(batch.model, str(options.method), candidates, batch.modality)
    scores = pool(beside, candidates, weights, markers=options.markers)
    return replace(scores, background=taken_from(beside, candidates))


def _record(options: Options, model: BioVerse, scores: Scores, calls: Calls) -> dict[str, Any]:
    """Return how the labels came about."""
    candidates, config = scores.candidates, model.config
    pooled = config.calibration["cascade"] if options.method == "cascade" and not options.ontology else None
    columns = columns_of(candidates.names)
    proposed = [{"proposed": names} for names in scores.proposed or ()] or [{}] * len(calls.groups)
    found = []
    if scores.found is not None and options.groupby is None:
        found = groups_found(scores.found, scores.told or [], calls)
    return {
        "model": model.name,
        "llm": config.llm.name,
        "llm_sha256": config.llm.sha256,
        **{name: getattr(options, name) for name in _RECORDED},
        "parents": list(map(vars, calls.called[len(candidates) :])) if options.parents else None,
        "temperature": scores.temperature,
        "pool": None if pooled is None else pool_record(pooled),
        "markers": scores.markers | ({"background": scores.background} if scores.background else {}),
        "rows_read_by_llm": scores.read,
        "labels": [one.record | {"column": column} for one, column in zip(candidates, columns, strict=True)],
        "groups": [row | more for row, more in zip(calls.groups, proposed, strict=True)],
    } | (
        {"level": options.level, "found": found, "heard": scores.heard} if options.find else {}
    )  # fmt: skip


def _found(
    calls: Calls, scores: Scores, why: Reasons, groups: Groups | None, slots: Slots, record: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what goes into `obs` and the records."""
    called = [one.name for one in calls.called]
    at = np.where(calls.codes < 0, -1, np.where(calls.known, calls.codes, len(calls.called)))
    label = pd.Categorical.from_codes(at, pd.Index([*called, calls.unknown]))
    # Categories in the order of the candidates, so that colours and legends are the same for every data set.
    label = label.remove_unused_categories()
    ids = np.array([*(one.cl_id or "" for one in calls.called), ""], dtype=object)
    in_obs = {
        slots.label: label,
        slots.confidence: calls.confidence,
        slots.margin: calls.margin,
        slots.entropy: calls.entropy,
        slots.rationale: np.array(
            why.of_rows(calls.codes, calls.known, calls.confidence, called, calls.elsewhere), dtype=object
        ),
        slots.cl_id: pd.Categorical(ids[at]),
    }
    if calls.elsewhere is not None:
        in_obs[slots.elsewhere] = calls.elsewhere
    if record.get("found") and scores.found is not None:
        names = pd.Index(scores.found.names)
        in_obs[slots.group] = pd.Categorical.from_codes(scores.found.codes, names)
    if scores.said is not None:
        texts = np.array(scores.said.texts, dtype=object)
        in_obs[slots.text] = texts if groups is None else groups.spread(texts, "")
    # By which sb.get tells whether the labels are still those of this run.
    counts = {str(name): int(n) for name, n in label.value_counts().items()}
    # JSON has no NaN.
    rows = why.table.astype(object).where(why.table.notna(), None).to_numpy().tolist()
    records = {
        slots.step("annotate"): record | {"n_labelled": counts},
        slots.step("evidence"): {"columns": list(why.table.columns), "rows": rows},
    }
    return in_obs, records


def _log_counts(label: pd.Categorical) -> None:
    counts = label.value_counts().sort_values(ascending=False)
    shown = [f"{shown_name(str(name))} {int(n)}" for name, n in counts.items()]
    logger.info("%d rows labelled: %s", int(counts.sum()), and_more(shown, _SHOWN))

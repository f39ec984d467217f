"""`sb.tl.annotate`: labels, confidences and checked reasons for every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    read_record,
    records_of,
    takes_mudata,
    without_nan,
    write_results,
)
from ..errors import InputError
from ..explain.reasons import NO_COUNTS, Rationale, Wording, reasons
from ..get._labelled import Labelled
from ..io import Cells
from ..models import load
from ..predict.decide import rows_without_counts
from ..predict.embedding import long_run, represent_rows
from ..predict.first_call import Level, groups_found
from ..predict.pool import Method, pool_record
from ._annotate_asked import Asked, Called, Options

if TYPE_CHECKING:
    from anndata import AnnData

    from ..explain.reasons import Reasons
    from ..models import BioVerse
    from ..predict.candidates import Labels

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
    seed, slots = as_seed(rng), Slots(key_added)
    step, always = slots.step("annotate"), (slots.label, slots.confidence, slots.margin, slots.entropy, slots.rationale)
    check_target(adata, step, always, [slots.cl_id], [slots.scores])
    _check_corrections(adata, slots)
    options = Options(
        labels, method, modality, groupby, level, sample_key, within, unknown_threshold, parents, markers, n_neighbors,
        rationale or None, batch_size,
    )  # fmt: skip
    loaded, cells = load(model, device=device), Cells.of(adata, layer, key)
    options = options.of_model(loaded)
    # Before the embedding: a slip should not cost its time.
    asked = Asked.of(cells, options, loaded, tissue, auto=unknown_threshold == "auto")
    check_target(adata, step, always, asked.may_fill(slots))
    cells.wanted = asked.wanted
    fingerprint = loaded.fingerprint()
    with long_run("annotate", cells, fingerprint, vars(options)):
        embedded = represent_rows(cells, loaded, modality=modality, slots=slots)
        batch = asked.batch(embedded)
        blank = rows_without_counts(batch, embedded.cells)
        called = asked.call(batch, slots, seed, blank)
        record = _record(options, loaded, called)  # groups as they were found, whoever gets no label
        calls = called.calls.without(blank)
        names, ids = [one.name for one in calls.called], [one.cl_id for one in calls.called]
        worded = Wording(loaded, batch.values, modality=modality) if rationale == "group" else None
        why = reasons(
            embedded.cells, names, ids, calls.codes, rationale=rationale or None, modality=modality, wording=worded,
            log_probs=calls.log_probs, given=[one.genes for one in called.scores.candidates], known=calls.known,
        )  # fmt: skip

    record |= {
        "fingerprint": fingerprint,
        "key": embedded.cells.key,
        "layer": embedded.cells.layer,
        "samples": called.votes,
        "embedding": embedded.slot,
        **({"tissue": called.tissue} if called.tissue else {}),
        "reasons_by_llm": 0 if worded is None else worded.asked,
        **({"reasons_measured": why.measured} if why.measured else {}),
    }
    in_obs, records = _found(replace(called, calls=calls), why, slots, record | {"seed": seed})
    if rationale:
        in_obs[slots.rationale][blank] = NO_COUNTS
    columns = [one["column"] for one in record["labels"]]
    obsm = embedded.obsm | {slots.scores: pd.DataFrame(calls.log_probs, index=adata.obs_names, columns=columns)}
    if loaded.text_space is not None and loaded.config.encoders[modality].placed:
        obsm[slots.aligned] = batch.coordinates
    # What an earlier run left under these names would be taken for this one's.
    left = left_by(adata, step, (slots.elsewhere, slots.text, slots.group), in_obs)
    derived, steps = _of_labels_before(adata, slots)
    # Nothing is written before all of it is there, so that an error leaves the data as they were.
    written = write_results(
        adata, "annotate", obs=in_obs, obsm=obsm, records=embedded.records | records,
        drop=[*left, *derived], drop_records=steps, copy=copy,
    )  # fmt: skip
    _log_counts(in_obs[slots.label])
    return written


def _check_corrections(adata: AnnData, slots: Slots) -> None:
    """Refuse to write over labels that were set by hand on the page of :func:`scbioverse.serve`."""
    if correction_step(slots.label) in records_of(adata) and (n := Labelled(adata, slots).n_corrected):
        raise InputError(
            f"adata.obs[{slots.label!r}] holds labels that were set by hand, in {n} rows, which would be lost. Pass "
            f"another key_added=, or give them up: del adata.obs['{slots.label}_corrected']."
        )


def _of_labels_before(adata: AnnData, slots: Slots) -> tuple[list[str], list[str]]:
    """Return columns and records that hold for the labels of an earlier run alone: corrections, broader names."""
    corrections, broader = correction_step(slots.label), slots.step("rollup")
    columns = left_by(adata, corrections, (f"{slots.label}_before", f"{slots.label}_corrected"), ())
    lifted = broader in records_of(adata) and read_record(adata, broader).get("label_key") is None
    if not lifted:  # those of another column hold still
        return columns, [corrections]
    columns += [one for one in (slots.rollup, f"{slots.rollup}_cl_id") if one in adata.obs]
    logger.info("adata.obs[%r] was of the labels before and goes: run scbioverse.tl.rollup again", slots.rollup)
    return columns, [corrections, broader]


def _record(options: Options, model: BioVerse, called: Called) -> dict[str, Any]:
    """Return how the labels came about."""
    scores, calls, candidates, config = called.scores, called.calls, called.scores.candidates, model.config
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


def _found(called: Called, why: Reasons, slots: Slots, record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what goes into `obs` and the records."""
    scores, calls = called.scores, called.calls
    names = [one.name for one in calls.called]
    at = np.where(calls.codes < 0, -1, np.where(calls.known, calls.codes, len(names)))
    label = pd.Categorical.from_codes(at, pd.Index([*names, calls.unknown]))
    # Categories in the order of the candidates, so that colours and legends are the same for every data set.
    label = label.remove_unused_categories()
    ids = np.array([*(one.cl_id or "" for one in calls.called), ""], dtype=object)
    in_obs = {
        slots.label: label,
        slots.confidence: calls.confidence,
        slots.margin: calls.margin,
        slots.entropy: calls.entropy,
        slots.rationale: np.array(
            why.of_rows(calls.codes, calls.known, calls.confidence, names, calls.elsewhere), dtype=object
        ),
        slots.cl_id: pd.Categorical(ids[at]),
    }
    if calls.elsewhere is not None:
        in_obs[slots.elsewhere] = calls.elsewhere
    if record.get("found") and scores.found is not None:
        in_obs[slots.group] = pd.Categorical.from_codes(scores.found.codes, pd.Index(scores.found.names))
    if scores.said is not None:
        texts = np.array(scores.said.texts, dtype=object)
        in_obs[slots.text] = texts if called.groups is None else called.groups.spread(texts, "")
    # By which sb.get tells whether the labels are still those of this run.
    counts = {str(name): int(n) for name, n in label.value_counts().items()}
    rows = without_nan(why.table).to_numpy().tolist()
    records = {
        slots.step("annotate"): record | {"n_labelled": counts},
        slots.step("evidence"): {"columns": list(why.table.columns), "rows": rows},
    }
    return in_obs, records


def _log_counts(label: pd.Categorical) -> None:
    counts = label.value_counts().sort_values(ascending=False)
    shown = [f"{shown_name(str(name))} {int(n)}" for name, n in counts.items()]
    logger.info("%d rows labelled: %s", int(counts.sum()), and_more(shown, _SHOWN))

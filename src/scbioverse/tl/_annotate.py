"""`sb.tl.annotate`: labels, confidences and checked reasons for every row."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._keys import Slots
from .._mudata import is_mudata, on_part
from .._random import Rng, as_seed
from .._results import check_target, own_copy
from ..errors import InputError
from ..explain.reasons import Rationale, reasons
from ..explain.wording import Wording
from ..predict.calls import columns_of, decide
from ..predict.candidates import Labels, log_labels, read_labels
from ..predict.embedding import represent_rows
from ..predict.free_text import generate_answers
from ..predict.group_names import proposed_answers
from ..predict.groups import read_groups, warn_of_disagreement
from ..predict.label_scores import label_scores
from ..predict.open_set import elsewhere
from ..predict.options import Method, check_options, given_threshold, means_ontology, pick_method, resolve_threshold
from ..predict.pool import pool_record
from ..predict.samples import harmonise_samples, read_samples
from ..predict.smooth import check_neighbors, propagate
from ..predict.whole_ontology import rank_ontology
from ._write import write_answers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse

MOST_SCORED = 1000
Float = NDArray[np.float32]


def annotate(
    adata: AnnData,
    *,
    model: str | Path | BioVerse = "bioverse-small",
    labels: Labels = None,
    groupby: str | None = None,
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
    rationale: Rationale | None = "group",
    n_neighbors: int | None = None,
    min_confidence: float | None = None,
    batch_size: int = 512,
    device: str = "auto",
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Label every row with one of several candidates, and give a confidence and a reason that was checked.

    Rows are embedded first, unless `obsm` holds an embedding of these data by the same encoder. Candidates are resolved
    to Cell Ontology terms and scored by the term's short name; the labels in `obs` are the names as they were given.

    The confidence is the probability of the label among the candidates, after the model's calibration temperature
    (`model.config.calibration`; 1 where none was fitted): on cells like those it was fitted on, about 8 in 10 labels
    with confidence 0.8 are right. It says nothing about types that are not among the candidates, and less about cells
    unlike any the model was calibrated on.

    Parameters
    ----------
    adata
        Raw counts or log-normalised values, or whatever the model's encoder reads. Of a MuData the part for `modality`.
    model
        Name of a model (see :func:`scbioverse.models.list_models`), path of one, or a model.
    labels
        Candidates: names; a mapping from names to Cell Ontology ids or descriptions; `"cl"` for the whole Cell
        Ontology: the 8 nearest terms of each cell (or group) in the space shared with text, ranked by nearness, or
        with `method="score"` by the language model, with `"cascade"` by both; None for the model's own vocabulary.
        "Malignant cell" and its like stand for the types that most tumours come from (epithelial and macroglial cells,
        precursors of oligodendrocytes, melanocytes), as far as no other candidate is or holds them.
    groupby
        Column of `obs`, such as clusters: the cells of a group get one label, by their mean log-probability. A column
        of measurements is refused.
    method
        `"score"`: probability of each name as the language model's answer, by constrained decoding. `"nearest"`:
        nearness to each label's description in the space shared with text; quicker. `"cascade"`: nearness, the
        projector's attention to the terms it knows, and markers, pooled; the language model reads the rows whose label
        its word could change, and what it says comes into their pool (with `bioverse-small`, whose calibration gave
        its word no weight beside the others, none; see :func:`scbioverse.predict.pool.cascade`). None: `"cascade"`
        where the model's calibration
        allows it, else what the model was trained for, `"score"` if both. `"generate"`: the language model writes the
        label, of a group from its mean embedding; with `labels` always one of them, without them a free text that is
        mapped to the Cell Ontology. Of a group without candidates some cells are read one by one, too, and where one of
        the types written for these fits all its cells better than what was written for the mean, by the default
        method, and neither is a kind of the other, the group gets that type.
    markers
        Add the evidence of curated marker genes to the log-probabilities, with the weight that the model's calibration
        chose (`model.config.calibration`; see :func:`scbioverse.encoders.marker_evidence.marker_evidence`). None: do
        so where the model has such a weight and the genes can be read. False: go by the embedding alone.
    key_added
        Stem of the slot names.
    modality
        Which of the model's encoders to use.
    key
        Where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    layer
        Layer to read: `X` if not given, `adata.raw` for `"raw"`.
    unknown_threshold
        Rows (or groups) whose confidence, times the chance that they are of one of the candidates' types at all (1 less
        `obs["bioverse_elsewhere"]`), is below it get no candidate: they are called by a parent (see `parents`), else
        `"unknown"`. `"auto"`: the model's own (see `model.config.calibration`; that of `bioverse-small`, 0.02, keeps
        back about 1 % of the right calls on blood and pancreas and, of the cells whose type was not offered, about half
        where the model knows the type and a tenth to a fifth where it does not, see the page on concepts). If not
        given, its own `"unknown"`, which is 0 and means never: every cell gets one of the candidates, with
        a warning where a tenth look like something else.
    parents
        Call a row below the threshold by the most specific Cell Ontology term above its best candidate under which
        candidates reach the threshold together, as "mature alpha-beta T cell" for CD4 and CD8 T cell. Its confidence
        is their sum. Never changes a row above the threshold; terms with more than 600 kinds below them are not used.
    sample_key
        Column of `obs` with the sample of each cell; needs `groupby`. In each sample the cells of a group name a label;
        if more than half of a group's samples name the same, all its cells get one label together, else each sample's
        part gets its own. See :func:`scbioverse.get.samples`.
    within
        Cell Ontology ids or names; with `labels="cl"`, only terms at or below them are candidates.
    rationale
        `"group"`: one reason a label, by what sets its cells apart; `"cell"`: each cell's own, by which of these genes
        it expresses; None: none, which saves the time.
    n_neighbors
        Let cells that lie close together in the embedding decide together: log-probabilities are averaged over mutual
        neighbours, out of this many nearest, before labels are chosen (label propagation, Zhou et al. 2003). 15 suits
        whole samples of a thousand cells and more, 5 smaller ones; types should have at least about as many cells. On
        average calls get better and those of rare types worse, see `python -m benchmarks.neighbours`; a cell's label
        then depends on what else is in `adata`, and its confidence is less than calibrated. None: every cell by itself.
    min_confidence
        Old name of `unknown_threshold`; deprecated.
    batch_size
        Rows that the language model reads at once; halved where memory runs out. The result does not depend on it.
    device
        Where to run the model: a torch device, or `"auto"`: `settings.device`, else the first GPU, else the CPU.
    rng
        Seed, kept in the record; used by `n_neighbors` beyond 50,000 rows.
    copy
        Return a copy with the results and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets, with `bioverse` standing for `key_added`:

    `obs["bioverse_label"]`
        categorical, the label; missing only for rows without a group.
    `obs["bioverse_confidence"]`
        float32, 0 to 1.
    `obs["bioverse_margin"]`
        float32, 0 to 1: probability of the best candidate less that of the second.
    `obs["bioverse_entropy"]`
        float32: entropy of the candidates' probabilities in nats, 0 to log(n_labels).
    `obs["bioverse_elsewhere"]`
        float32, 0 to 1: above 0.5 where a type of the model's own vocabulary that has nothing to do with the candidates
        is nearer than they are (nearness to descriptions, and markers). Where the candidates are ontology terms and
        the model brings its descriptions' coordinates with it, or a threshold is used.
    `obs["bioverse_rationale"]`
        string: the genes that set the cells of this label apart and are known for it, with their fractions.
    `obs["bioverse_cl_id"]`
        categorical, the label's ontology id, empty where it has none.
    `obs["bioverse_text"]`
        string, with `method="generate"`: what was written. The confidence is then the probability of that text, of
        one that was written for single cells of a group the mean over those read.
    `obsm["bioverse_scores"]`
        DataFrame (n_obs, n_labels), float32 log-probabilities (natural logarithm); `exp` of a row sums to 1. A "/" in a
        label is written "|" in its column's name, since files cannot hold it; see :func:`scbioverse.get.scores`.
    `obsm["X_bioverse"]`
        where it was missing or out of date.
    `obsm["X_bioverse_aligned"]`
        float32 (n_obs, d_text), coordinates in the space shared with text, if the model has one.
    `uns["bioverse"]["evidence"]`
        every claim about a gene in the reasons and its numbers, see :func:`scbioverse.get.evidence`.
    `uns["bioverse"]["annotate"]`
        what each label was resolved to, model and versions, and per group its size, label and the share of its cells
        that agree; with free labels, those between which its cells decided.

    Raises
    ------
    InputError
        The data, the labels or the options cannot be used. `adata` is unchanged, as after every error.
    MissingKeyError
        `groupby`, `layer` or `key` is not there.
    WeightsError
        The model or its language model is not found or damaged.

    Warns
    -----
    UserWarning
        A label resolves to no term or to the same as another; cells are in no group; the cells of a group disagree
        (agreement below 0.6); many cells look like types that are not among the candidates.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> sb.tl.annotate(adata, labels=["B cell", "CD4 T cell", "CD8 T cell", "NK cell", "monocyte"])
    >>> adata.obs["bioverse_label"].value_counts()
    """
    if is_mudata(adata):
        return on_part(annotate, locals())
    from ..models import load

    check_target(adata)
    threshold = given_threshold(unknown_threshold, min_confidence)
    seed = as_seed(rng)
    check_options(rationale, sample_key, groupby, batch_size)
    slots = Slots(key_added)
    loaded = load(model, device=device)
    chosen = pick_method(loaded, method, modality)
    threshold = resolve_threshold(threshold, loaded, chosen)
    groups = None if groupby is None else read_groups(adata, groupby)
    samples = None if sample_key is None else read_samples(adata, sample_key)
    free = chosen == "generate" and labels is None
    # The whole ontology: candidates are found for each cell, from the space shared with text.
    ontology = means_ontology(labels, loaded, chosen, within)
    if ontology and method is None:
        chosen = "nearest"  # names of terms that no label of the training used are better found than said
    check_neighbors(n_neighbors, chosen, ontology=ontology)
    candidates = [] if free or ontology else read_labels(labels, loaded)
    if chosen != "nearest" and len(candidates) > MOST_SCORED:
        raise InputError(
            f"{len(candidates)} candidates are too many for method={chosen!r} (at most {MOST_SCORED}); "
            "use method='nearest' or name fewer."
        )
    log_labels(candidates, own=labels is None and not free and not ontology)
    embedded = represent_rows(adata, loaded, modality=modality, key=key, layer=layer, slots=slots)
    # What was not asked for is read where the embedding was: markers and reasons from other values would not fit it.
    key, layer = embedded.key, embedded.layer
    where: dict[str, Any] = {"modality": modality, "key": key, "layer": layer}
    written = None
    marker_note: dict[str, Any] = {"weight": 0.0}
    read = adata.n_obs
    temperature: float | None = loaded.config.calibration["score"].temperature
    report: list[dict[str, Any]] = []
    if chosen == "generate":
        # The calibrated threshold is one for probabilities among candidates; of free text only a given one counts.
        if free and unknown_threshold is None and min_confidence is None:
            threshold = 0.0
        if free and groups is not None:
            written = proposed_answers(
                adata,
                loaded,
                embedded.values,
                groups,
                markers=markers,
                threshold=threshold,
                batch_size=batch_size,
                **where,
            )
        else:
            written = generate_answers(
                loaded,
                embedded.values,
                None if free else candidates,
                groups,
                modality=modality,
                threshold=threshold,
                batch_size=batch_size,
            )
        candidates, answers, marker_note = written.labels, written.answers, written.markers
    if ontology:
        ranked = rank_ontology(
            loaded, embedded.values, groups, method=chosen, within=within, modality=modality, batch_size=batch_size
        )
        candidates, log_probs = ranked.labels, ranked.log_probs
    names = [label.name for label in candidates]
    ids = [label.cl_id for label in candidates]
    if written is None:
        scored = label_scores(
            adata,
            loaded,
            embedded.values,
            candidates,
            method=chosen,
            ranked=log_probs if ontology else None,
            markers=markers,
            batch_size=batch_size,
            **where,
        )
        log_probs, marker_note, read = scored.log_probs, scored.markers, scored.read
        temperature = scored.temperature
        if n_neighbors is not None:
            log_probs = propagate(log_probs, embedded.values, n_neighbors, seed)
        if groups is not None and samples is not None:
            harmonised = harmonise_samples(log_probs, names, groups, samples)
            groups, report = harmonised.groups, harmonised.report
        needed = threshold > 0
        away = None if ontology else elsewhere(adata, loaded, embedded.values, candidates, needed=needed, **where)
        chance = None if away is None else away.chance
        answers = decide(log_probs, names, groups, threshold, cl_ids=ids, parents=parents, elsewhere=chance)
        if away is not None and threshold == 0:
            away.warn(slots.elsewhere, auto=loaded.config.calibration["score"].threshold("auto") > 0)
    worded = written is not None and rationale == "group"
    why = reasons(
        adata,
        [one.name for one in answers.called],
        [one.cl_id for one in answers.called],
        answers.codes,
        rationale=rationale,
        layer=layer,
        key=key,
        modality=modality,
        wording=Wording(loaded, embedded.values, modality=modality) if worded else None,
    )
    placed = loaded.text_space is not None and loaded.config.encoders[modality].placed
    aligned = loaded.coordinates(embedded.values, modality) if placed else None
    pool = loaded.config.calibration["cascade"] if chosen == "cascade" and not ontology else None
    record = {
        "model": loaded.name,
        "fingerprint": loaded.fingerprint(),
        "llm": loaded.config.llm.name,
        "llm_sha256": loaded.config.llm.sha256,
        "method": chosen,
        "modality": modality,
        "groupby": groupby,
        "layer": layer,
        "key": key,
        "sample_key": sample_key,
        "within": within,
        "unknown_threshold": threshold,
        "n_neighbors": n_neighbors,
        "parents": [asdict(one) for one in answers.called[len(names) :]] if parents else None,
        "rationale": rationale,
        "temperature": temperature,
        "pool": None if pool is None else pool_record(pool),
        "markers": marker_note,
        "rows_read_by_llm": read,
        "labels": [
            {**asdict(label), "column": column} for label, column in zip(candidates, columns_of(names), strict=True)
        ],
        "groups": answers.groups,
        "samples": report,
        "embedding": embedded.slot,
        "seed": seed,
    }
    target = own_copy(adata) if copy else adata
    warn_of_disagreement(answers.groups)
    texts = None if written is None else written.texts
    write_answers(target, slots, embedded, candidates, answers, why, aligned, record, texts)
    return target if copy else None

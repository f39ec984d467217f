"""`sb.tl.tune`: the language model learns to answer questions about the user's own cells, by a low-rank adapter."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._device import Rng, as_seed
from .._logging import logger
from .._runs import digest_of
from .._slots import Slots, check_target, takes_mudata, write_results
from ..errors import InputError, MismatchError, check_choice
from ..explain.expression import MeasuredCells
from ..explain.support import is_high
from ..predict.embedding import represent_rows
from ._align_training import Texts, new_model, read_texts, split_rows, trained_record

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..encoders import Encoder
    from ..llm.adapter import Adapter, AdapterConfig
    from ..models import BioVerse
    from ..train.instructions import Lessons

_PAIRS = 40


@takes_mudata
def tune(
    adata: AnnData,
    *,
    text_key: str,
    model: str | Path | BioVerse | Encoder = "bioverse-small",
    start: Literal["model", "fresh"] = "model",
    lessons: Lessons | None = None,
    weights: Mapping[str, float] | None = None,
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    train_projector: bool = True,
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "attention",
    steps: int = 60,
    batch_size: int = 16,
    lr: float = 3e-4,
    state: str | Path | None = None,
    save_every: int = 20,
    name: str = "tuned",
    key_added: str = "bioverse",
    device: str = "auto",
    rng: Rng = None,
) -> BioVerse:
    """Train a low-rank adapter (LoRA) of the language model on questions and answers about cells.

    Questions are made from the labels in a column of `obs`, from the genes that set each label's cells apart in these
    data, and from the Cell Ontology and marker tables: about label, broader type, marker genes, reasons, the comparison
    of two groups, and questions that the data cannot answer. Only the answers' tokens are learned. The language
    model's own weights are never changed; the adapter is saved beside the projector.

    The tuned model answers in :func:`scbioverse.tl.describe` (`question=`), and with `method="score"` or `"generate"`.
    `method="nearest"` reads the projector alone: with `train_projector=True` align again if you use it.

    Parameters
    ----------
    adata
        Cells with labels; only `obsm` and `uns` are added to.
    text_key
        Column of `obs` with labels; rows without one, or called "unassigned" or "unknown", are left out.
    model
        Model to begin with. An encoder, or what :func:`scbioverse.tl.embed` takes for one (`"morgan"`, `"chemnet"`,
        `"kmer"`), gets a new projector and the default language model; the projector has to be trained, too.
    start, lessons
        `"model"`: go on from the model's adapter, if it has one. `"fresh"`: an adapter from nothing, in any shape.
        Questions and answers to learn from in place of those made here.
    weights
        How often each kind of question is drawn, 1 where not named, 0 to leave it out: `"label"`, `"identity"`,
        `"reason"`, `"markers"`, `"lineage"`, `"compare"`, `"not enough"`, `"definition"`, `"synonym"`,
        `"known markers"`; with `lessons`, its tasks.
    modality, key, layer
        What a row is, and where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    train_projector, rank, alpha, dropout
        Train projector and marker tokens, too. The adapter's rank, scale (`alpha / rank`) and dropout of its input.
    targets
        Layers of each block it changes: `"attention"` (query, key, value, output), `"mlp"`, `"all"`, or names.
    steps, batch_size, lr
        Optimiser steps in all, questions of each, highest learning rate.
    state, save_every
        Folder to keep the run's state in every so many steps, and to go on from if it is there.
    name, key_added, device, rng
        Name of the new model; stem of the slot names; torch device or `"auto"`; seed of questions, start and batches.

    Returns
    -------
    The new model; the one it began with is unchanged. `adata` gets `obsm["X_bioverse"]` where it was missing or out of
    date, and `uns["bioverse"]["tune"]`, a record with the training history (see
    :func:`scbioverse.pl.training_history`) and, where a tenth of the rows makes 20, the accuracy of `score` on them
    before and after.

    Raises
    ------
    InputError
        There are fewer than two labels, or an option does not fit. `adata` is unchanged, as after every error.
    MissingKeyError
        `text_key` is not there.
    MismatchError
        `state` belongs to another run, or the model's adapter, which is gone on from, has another shape.

    Examples
    --------
    >>> model = sb.tl.tune(adata, text_key="cell_type", steps=30)
    >>> sb.tl.describe(adata, question="What is this cell?", model=model)
    """
    from ..llm.adapter import AdapterConfig
    from ..train import fit
    from ..train.instructions import InstructionSampler, InstructionTask
    from ..train.loop import state_place

    check_target(adata)
    check_choice("start", start, "model", "fresh")
    if steps < 1 or batch_size < 1 or lr <= 0:
        raise InputError(f"steps, batch_size and lr must be positive, found {steps}, {batch_size} and {lr}.")
    if state is not None:
        state_place(state)  # which the run would replace
    seed, slots, weights = as_seed(rng), Slots(key_added), dict(weights or {})
    texts = read_texts(adata, text_key)
    base = _begin(model, modality, train_projector, seed, device)
    config = AdapterConfig(rank, alpha, dropout, targets if isinstance(targets, str) else tuple(targets))
    begin = base.adapter if start == "model" else None
    check_shape(begin, config)
    texts = texts.said(base.config.names)
    new = base.copy(name=name)
    embedded = represent_rows(adata, new, modality=modality, key=key, layer=layer, slots=slots)
    train, held = split_rows(texts.codes, seed)
    if lessons is None:
        lessons = make_lessons(adata, texts, embedded.values, train, modality, key, layer, text_key, seed)
    task = InstructionTask(new, lessons, config, train_projector=train_projector, start=begin, seed=seed)
    sampler = InstructionSampler(lessons, weights=weights, batch_size=batch_size)
    logger.info("tuning on %d questions of %d kinds", len(lessons.examples), len(lessons.tasks))
    before = held_accuracy(base, embedded.values[held], texts, texts.codes[held], modality)
    about = {"model": base.fingerprint(), "start": start, "weights": weights, **asdict(config)}
    about["lessons"] = digest_of([asdict(one) for one in lessons.examples])
    history = fit(task, sampler, steps=steps, lr=lr, seed=seed, state=state, save_every=save_every, about=about)
    new.set_adapter(task.adapter())
    _forget_what_was_before(new, lessons)
    after = held_accuracy(new, embedded.values[held], texts, texts.codes[held], modality)
    on = f"obs[{text_key!r}] of {train.size} rows"
    tuned = {"on": on, "steps": steps, "seed": seed, "tasks": lessons.tasks}
    new.config.training = {**new.config.training, "tuned": tuned}
    if after is not None:
        measure = f"score, accuracy on {held.size} rows held out of the data it was tuned on"
        new.config.metrics = {**new.config.metrics, measure: after, f"{measure}, before tuning": before}
    record = trained_record(new, history) | {
        "began_as": base.name,
        "start": start,
        "text_key": text_key,
        "modality": modality,
        "train_projector": train_projector,
        **asdict(config),
        "steps": steps,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
        "weights": weights,
        "n_questions": len(lessons.examples),
        "tasks": lessons.tasks,
        "n_held_out": int(held.size),
        "accuracy_before": before,
        "accuracy_after": after,
    }
    write_results(adata, "tune", obsm=embedded.obsm, records=embedded.records | {slots.step("tune"): record})
    return new


def _forget_what_was_before(model: BioVerse, lessons: Lessons) -> None:
    """Take from a tuned model what was fitted to the language model as it was."""
    from ..models.edit import forget_candidate_tokens, set_phrases

    config = model.config
    for modality in model.modalities:
        forget_candidate_tokens(model, modality)  # what is read now was taught without them
    for modality in lessons.modalities:
        set_phrases(model, modality, None)  # it writes of them as it was taught here
        made = config.encoders[modality]
        config.encoders[modality] = made if made.writes else replace(made, methods=(*made.methods, "generate"))
    # The other rows weigh what the language model said before, and thresholds were chosen for these.
    config.calibration = {name: replace(config.calibration[name], thresholds={}) for name in ("score", "nearest")}
    config.adapter_scores = True  # the lessons are in labels, too, whatever the adapter before was for


def _begin(model: Any, modality: str, train_projector: bool, seed: int, device: str) -> BioVerse:
    """Load the model to begin with, or make one of an encoder and the default language model."""
    from ..models import load
    from ..models._hub import given_encoder

    encoder = given_encoder(model, modality, hub=False)
    if encoder is None:
        return load(model, device=device)
    if not train_projector:
        raise InputError(
            f"{encoder.name!r} is an encoder: its projector is new, and train_projector=False would leave it untrained."
            " Train one first: scbioverse.tl.align(adata, text_key=..., model=...)."
        )
    return new_model(None, encoder, modality=modality, name=encoder.name, seed=seed, device=device)


def make_lessons(
    adata: AnnData,
    texts: Texts,
    values: NDArray[np.float32],
    train: NDArray[np.int64],
    modality: str,
    key: str | None,
    layer: str | None,
    text_key: str,
    seed: int,
) -> Lessons:
    """Make questions and answers about the labels of an AnnData."""
    from ..train.instructions import Lessons
    from ..train.lessons import Group, comparison_lesson, group_lessons, nothing_lessons, term_lessons

    rng = np.random.default_rng([seed, 4])
    measured = None
    if modality == "cell":
        # Of cells whose expression cannot be read, lessons say nothing of genes.
        with contextlib.suppress(InputError):
            measured = MeasuredCells(adata, layer=layer, key=key)
    groups, examples = [], []
    natural = texts.said("natural").answers
    for code, (answer, cl_id) in enumerate(zip(texts.answers, texts.cl_ids, strict=True)):
        rows = train[texts.codes[train] == code]
        if not rows.size:
            continue
        mask = texts.codes == code
        table = top_genes(measured, mask, (texts.codes >= 0) & ~mask)
        group = Group(natural[code], cl_id, rows.tolist(), table, f"obs[{text_key}]", said=answer)
        groups.append(group)
        examples += group_lessons(group, rng, per_task=8, modality=modality)
        examples += term_lessons(cl_id, rng) if cl_id else []
    for _ in range(_PAIRS if len(groups) > 1 else 0):
        a, b = rng.choice(len(groups), 2, replace=False)
        made = comparison_lesson(groups[a], groups[b], rng, modality=modality)
        examples += [] if made is None else [made]
    noise = shuffled(values[train], rng, 16)
    examples += nothing_lessons(range(len(values), len(values) + len(noise)), rng, modality=modality)
    return Lessons(examples, {modality: np.concatenate([values, noise])})


def shuffled(values: NDArray[np.float32], rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Embeddings of nothing: each dimension's value from another row."""
    flat = values.reshape(len(values), -1)
    rows = rng.integers(len(flat), size=(n, flat.shape[1]))
    return flat[rows, np.arange(flat.shape[1])].reshape(n, *values.shape[1:]).astype(np.float32)


def held_accuracy(
    model: BioVerse, values: NDArray[np.float32], texts: Texts, truth: NDArray[np.int64], modality: str
) -> float | None:
    """Accuracy of `score` on rows held out; None without rows."""
    if not len(values):
        return None
    scores = model.score(values, texts.answers, terms=texts.cl_ids, modality=modality, progress=False, calibrated=False)
    return float((scores.argmax(axis=1) == truth).mean())


def check_shape(adapter: Adapter | None, config: AdapterConfig) -> None:
    """Raise a :class:`MismatchError` where an adapter cannot be gone on from in the shape and scale asked for."""
    if adapter is None or (adapter.config.rank, adapter.config.alpha) == (config.rank, config.alpha):
        return
    had, asked = (f"rank {one.rank} and alpha {one.alpha:g}" for one in (adapter.config, config))
    raise MismatchError(
        f"the model's adapter has {had}, asked for are {asked}. Leave them as they were, or begin with a new adapter: "
        "start='fresh'."
    )


# Genes looked at closely: those with the largest difference in the share of cells that express them.
_SHORTLIST = 120
_KEPT = 50
_COLUMNS = ["gene", "fraction_in", "fraction_out", "log_fold_change", "p_high", "n_in", "n_out"]


def top_genes(data: MeasuredCells | None, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> pd.DataFrame:
    """Genes that are higher inside than outside by the rules that claims are tested with, the clearest first.

    Ordered by the difference of the fractions that express them times the log2 fold change; none without data.
    """
    if data is None or not inside.any() or not outside.any():
        return pd.DataFrame(columns=_COLUMNS)
    genes = sorted(data.expression.positions)
    here, there = inside[data.rows], outside[data.rows]
    hits = data.expression.logs(genes)
    hits.data = np.ones_like(hits.data)
    rows = hits.tocsr()
    difference = np.asarray(rows[here].mean(axis=0)).ravel() - np.asarray(rows[there].mean(axis=0)).ravel()
    short = [genes[i] for i in np.argsort(-difference, kind="stable")[:_SHORTLIST] if difference[i] > 0]
    measured = data.measure(inside, short, outside)
    found = [{"gene": gene} | vars(one) for gene, one in measured.items() if is_high(one, one.p_high)]
    table = pd.DataFrame(found, columns=_COLUMNS)
    strength = (table["fraction_in"] - table["fraction_out"]) * table["log_fold_change"]
    order = np.lexsort((table["gene"].astype(str), -strength))
    return table.iloc[order].head(_KEPT).reset_index(drop=True)

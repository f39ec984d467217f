"""Scoring label names: equal inputs once, blocks small enough for memory, a progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._settings import settings
from ..errors import InputError
from ..llm._memory import BatchSize, first_size
from ..llm.score import score_labels
from ..llm.trie import LabelTrie
from .candidate_tokens import STEPS, what_is_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bioverse import BioVerse

Float = NDArray[np.float32]
# With more tokens in the tree of names than this, reading by levels is quicker than reading all of it; measured with
# SmolLM2-135M on two cores, where nine names (4 tokens) gain a third, 30 names (8 tokens) four fifths.
FEW_TOKENS = 3
# Tree tokens that memory is planned for; of a larger tree a row reads some levels only. 210 names, all levels from a
# probability of 0.001 on, took 3.6 MB a row with SmolLM2-135M, 3.4 by this.
MOST_PLANNED = 48
# On eleven studies, each with its own labels, it changes 2 labels in 1,000 on the mean and 5 after calibration and
# markers (at worst 20 and 43), accuracy by 0.001 and 0.002 (at worst 0.003 and 0.007), macro-F1 of the worst study
# by 0.017. A hundredth changes as many, and takes half as long again where there are 300 labels.
PRUNE = 0.05


def score_unique(
    model: BioVerse,
    embeddings: Float,
    names: list[str],
    modality: str,
    batch_size: int,
    progress: bool | None,
    prune: float | Literal["auto"] | None = None,
    terms: Sequence[str | None] | None = None,
    steps: int | None = STEPS,
    evidence: NDArray[np.floating] | None = None,
) -> Float:
    """Log-probabilities (n, m) before any temperature; see :meth:`BioVerse.score`."""
    if terms is not None and len(terms) != len(names):
        raise InputError(f"{len(names)} names go with {len(terms)} terms.")
    trie = LabelTrie(_sequences(model, names))
    if prune == "auto":
        prune = PRUNE if len(trie.tokens) > FEW_TOKENS else None
    model.check_modality(modality)
    inputs, soften = what_is_read(model, embeddings, names, terms, modality, evidence=evidence, steps=steps)
    unique, back = unique_rows(inputs.reshape(len(inputs), int(np.prod(inputs.shape[1:]))))
    values = inputs[unique]
    out = np.empty((unique.size, len(names)), dtype=np.float32)
    reader = model.reader
    prompt, prefix = reader.prompt(modality), reader.prefix(modality)
    length, what = len(prompt.head) + min(len(names), MOST_PLANNED), f"{modality}s"
    batch_size = first_size(reader.backbone, batch_size, length=length, prefix=prefix.length, what=what)
    memory = BatchSize(batch_size, what=what)
    model.modules.eval()
    show = settings.progress if progress is None else progress
    with (
        torch.inference_mode(),
        tqdm(total=unique.size, desc="score", unit=modality, disable=not show) as bar,
    ):
        for start in range(0, unique.size, batch_size):
            block = values[start : start + batch_size]
            suffix = reader.suffix([prompt.head] * len(block), soften(block), modality)
            out[start : start + len(block)] = memory.run(
                lambda size, suffix=suffix: score_labels(  # type: ignore[misc]
                    reader.backbone,
                    prefix,
                    suffix.inputs_embeds,
                    trie,
                    attention_mask=suffix.attention_mask,
                    batch_size=size,
                    prune=prune,
                )
            )
            bar.update(len(block))
    return out[back]


def unique_rows(rows: Float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each different row first stands, and for each row which of these it is, ordered by value.

    Sorting by value and not by place makes the batches, and with them the last bits, independent of the rows' order.
    """
    rows = np.ascontiguousarray(rows)
    if rows.shape[0] == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    packed = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, back = np.unique(packed, return_index=True, return_inverse=True)
    return first.astype(np.int64), back.ravel().astype(np.int64)


def _sequences(model: BioVerse, names: list[str]) -> list[list[int]]:
    if not names:
        raise InputError("there are no names to score.")
    sequences = [model.answer_ids(name) for name in names]
    seen: dict[tuple[int, ...], str] = {}
    for name, sequence in zip(names, sequences, strict=True):
        other = seen.setdefault(tuple(sequence), name)
        if other is not name:
            raise InputError(f"names {other!r} and {name!r} read the same to the language model; give each once.")
    return sequences

"""Scoring label names: equal inputs once, blocks small enough for memory, a progress bar."""

from __future__ import annotations

from functools import partial
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from .reader import PromptReader

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


def score_names(
    forward: Callable[..., Float],
    reader: PromptReader,
    modality: str,
    rows: Float,
    names: list[str],
    batch_size: int,
    progress: bool | None,
    prune: float | Literal["auto"] | None,
) -> Float:
    """Log-probabilities (n, m) before any temperature; see :meth:`BioVerse.score`.

    `forward` is that of the model, and `rows` what it reads: embeddings, or shares of the candidates.
    """
    trie = LabelTrie(answer_sequences(reader, names))
    if prune == "auto":
        prune = PRUNE if len(trie.tokens) > FEW_TOKENS else None
    unique, back = unique_rows(rows.reshape(len(rows), int(np.prod(rows.shape[1:]))))
    out = np.empty((unique.size, len(names)), dtype=np.float32)
    length, what = len(reader.prompt(modality).head) + min(len(names), MOST_PLANNED), f"{modality}s"
    before = reader.prefix(modality).length
    batch_size = first_size(reader.backbone, batch_size, length=length, prefix=before, what=what)
    memory, show = BatchSize(batch_size, what=what), settings.progress if progress is None else progress
    with (
        torch.inference_mode(),
        tqdm(total=unique.size, desc="score", unit=modality, disable=not show) as bar,
    ):
        for start in range(0, unique.size, batch_size):
            block = rows[unique[start : start + batch_size]]
            out[start : start + len(block)] = memory.run(
                lambda size, block=block: forward(  # type: ignore[misc]
                    block, partial(score_labels, trie=trie, batch_size=size, prune=prune)
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


def answer_sequences(reader: PromptReader, names: list[str]) -> list[list[int]]:
    """Token ids of names as answers; an :class:`InputError` where there are none, or two read the same."""
    if not names:
        raise InputError("there are no names to score.")
    sequences = [reader.answer_ids(name) for name in names]
    seen: dict[tuple[int, ...], str] = {}
    for name, sequence in zip(names, sequences, strict=True):
        other = seen.setdefault(tuple(sequence), name)
        if other is not name:
            raise InputError(f"names {other!r} and {name!r} read the same to the language model; give each once.")
    return sequences

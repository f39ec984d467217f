"""What a training step sees: batches drawn from embeddings and their labels, repeatable step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Batch(TypedDict):
    """One batch of n rows."""

    embeddings: NDArray[np.float32]  # float32 (n, n_tokens, dim)
    texts: list[str]  # n answers
    groups: NDArray[np.int64]  # int64 (n,): rows with one number say the same and are never told apart
    cards: NotRequired[list[str]]  # n descriptions, where the contrastive task should see other texts
    # Bool (n, n): pairs that are neither right nor wrong, such as a term and its ancestor.
    related: NotRequired[NDArray[np.bool_]]
    candidates: NotRequired[Any]  # a `CandidateSet` for this batch, in place of the task's own
    shares: NotRequired[NDArray[np.floating]]  # (n, m) how probable each candidate should be, in place of the answer
    # Int64 (m,): which codes the candidates have, where soft tokens are mixed of them.
    codes: NotRequired[NDArray[np.int64]]
    part: NotRequired[int]  # the only part of a `MixedTask` that the batch is for


Sampler = Callable[[np.random.Generator], Batch]
"""Draws one batch. The generator is made from seed and step, so that a resumed run draws what the first would have."""


def take_rows(batch: Batch, rows: NDArray[np.integer]) -> Batch:
    """Return some rows of a batch; what is of the batch as a whole stays."""
    part: dict[str, Any] = dict(batch)
    for name in ("texts", "cards"):
        if name in part:
            part[name] = [part[name][row] for row in rows]
    for name in ("embeddings", "groups", "shares", "examples"):
        if name in part:
            part[name] = part[name][rows]
    if "related" in part:
        part["related"] = part["related"][np.ix_(rows, rows)]
    return cast("Batch", part)


class LabelSampler:
    """Draws cells with their labels' texts, evenly over labels or as they come.

    `embeddings` are float32 (n, n_tokens, dim) or (n, dim), `labels` int64 (n,), negative for rows to leave out; each
    label has a text and may have a card, a description. With `balance` p a label is drawn in proportion to
    `count ** (1 - p)`; 1 draws all labels evenly. `related` is bool (n_labels, n_labels), see :class:`Batch`.
    """

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        labels: NDArray[np.integer],
        texts: Sequence[str],
        *,
        cards: Sequence[str] | None = None,
        batch_size: int = 64,
        balance: float = 1.0,
        related: NDArray[np.bool_] | None = None,
    ) -> None:
        array = np.asarray(embeddings, dtype=np.float32)
        self.embeddings = array[:, None, :] if array.ndim == 2 else array
        self.labels = np.asarray(labels, dtype=np.int64)
        if self.embeddings.ndim != 3 or self.labels.shape != self.embeddings.shape[:1]:
            raise InputError(f"embeddings {array.shape} and labels {self.labels.shape} do not fit together.")
        if self.labels.max(initial=-1) >= len(texts):
            raise InputError(f"label {self.labels.max()} has no text ({len(texts)} given).")
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, found {batch_size}.")
        self.texts, self.cards, self.batch_size, self.related = texts, cards, batch_size, related
        self._rows = [np.flatnonzero(self.labels == i) for i in range(len(self.texts))]
        counts = np.array([rows.size for rows in self._rows], dtype=np.float64)
        if counts.sum() == 0:
            raise InputError("no row has a label to learn from.")
        weight = np.where(counts > 0, counts, 1.0) ** (1.0 - balance) * (counts > 0)
        self.weight = weight / weight.sum()

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        labels = rng.choice(self.weight.size, size=self.batch_size, p=self.weight)
        rows = np.array([self._rows[label][rng.integers(self._rows[label].size)] for label in labels])
        texts = [self.texts[label] for label in labels]
        batch = Batch(embeddings=self.embeddings[rows], texts=texts, groups=labels.astype(np.int64))
        if self.cards is not None:
            batch["cards"] = [self.cards[label] for label in labels]
        if self.related is not None:
            batch["related"] = self.related[np.ix_(labels, labels)]
        return batch

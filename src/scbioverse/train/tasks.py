"""What a training task is and what a step sees, tasks that do not run the language model, and several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..errors import InputError
from ..llm.prompts import MAX_TEXT_CHARS
from ..models.score import name_code
from ..nn import info_nce
from .processes import shared_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models.bioverse import BioVerse


NEGATIVES = 64  # unrelated texts that a contrastive step draws


class Task:
    """What :func:`~.loop.fit` trains: a subclass says what learns, and what a batch costs."""

    def __init__(self, model: BioVerse, *, modality: str = "cell") -> None:
        model.check_modality(modality)
        self.model, self.modality = model, modality

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return scalars; `"loss"` is among them and carries the gradient."""
        raise NotImplementedError

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters to train, and what else a step sets: tensors that require no gradient."""
        raise NotImplementedError

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Parts of a batch whose weighted losses add up to its own; the whole where the loss does not allow that."""
        return [(batch, 1.0)]

    def train(self, mode: bool) -> None:
        """Switch dropout on or off; the language model stays in evaluation mode."""
        self.model.modules.train(mode)


class MixedTask(Task):
    """Weighted sum of tasks over one batch. A task that cannot split a batch keeps it whole."""

    def __init__(self, parts: Sequence[tuple[Task, float]]) -> None:
        self.parts = list(parts)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters of all parts, each once."""
        yield from dict(pair for task, _ in self.parts for pair in task.named_parameters()).items()

    def train(self, mode: bool) -> None:
        """Switch dropout of all parts."""
        for task, _ in self.parts:
            task.train(mode)

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Return what each part makes of the batch, or the one that it is for, one after the other."""
        return [
            (cast("Batch", {**one, "part": index}), share)
            for index, (task, _) in enumerate(self.parts)
            if batch.get("part", index) == index
            for one, share in task.split(batch, size)
        ]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted sum as `loss`, and each part's values under `<part number>_<name>`."""
        only = batch.get("part")
        out: dict[str, Tensor] = {}
        losses = []
        for index, (task, weight) in enumerate(self.parts):
            if only is not None and index != only:
                continue
            values = task(batch)
            losses.append(weight * values["loss"])
            out |= {f"{index}_{key}": value.detach() for key, value in values.items()}
        return {"loss": torch.stack(losses).sum(), **out}


class ContrastiveTask(Task):
    """Symmetric InfoNCE between cells and the language model's own representation of their texts.

    Texts are represented once each, so a step costs no forward pass of the language model. The rows of a batch are each
    other's negatives; `negatives` are unrelated texts that no cell may come near, of which a step draws 64.
    """

    def __init__(self, model: BioVerse, *, modality: str = "cell", negatives: Sequence[str] = ()) -> None:
        super().__init__(model, modality=modality)
        self._texts: dict[str, int] = {}
        self._vectors = torch.empty(0, model.space.dim)
        self._negatives = torch.from_numpy(model.text_coordinates(list(negatives))) if len(negatives) else None

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Projector and shared-space layer of the modality, with the centre and scale that the first batch gives."""
        yield from self.model.trainable(self.modality, shared=True, tokens=False)
        yield from self.model.space.head(self.modality).named_buffers(prefix=f"shared.{self.modality}")

    def prepare(self, texts: Sequence[str]) -> None:
        """Represent `texts` ahead of time, in one go."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            self._texts |= {text: len(self._texts) + i for i, text in enumerate(new)}
            self._vectors = torch.cat([self._vectors, torch.from_numpy(self.model.text_coordinates(new))])

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and `recall`, the share of cells nearest to a text of their own group."""
        written = batch.get("cards", batch["texts"])
        self.prepare(written)
        space = self.model.space
        project = partial(self.model.project, modality=self.modality)
        soft = shared_out(project, torch.as_tensor(batch["embeddings"]))
        space.centre(soft, self.modality)
        cells = space.place(soft, self.modality)
        texts = self._vectors[[self._texts[text] for text in written]].to(cells.device)
        groups = torch.as_tensor(batch["groups"], device=cells.device)
        related = torch.as_tensor(batch["related"]) if "related" in batch else None
        negatives = self._negatives
        if negatives is not None and len(negatives) > NEGATIVES:
            negatives = negatives[torch.randperm(len(negatives))[:NEGATIVES]]
        loss = info_nce(
            cells,
            texts,
            groups=groups,
            negatives=negatives,
            scale=space.head(self.modality).log_scale.exp(),
            related=related,
        )
        with torch.no_grad():
            nearest = (cells @ texts.T).argmax(dim=1)
            recall = (groups[nearest] == groups).float().mean()
        return {"loss": loss, "recall": recall}


class LexicalTask(Task):
    """Draw soft tokens towards the language model's own input embeddings of the paired text.

    A frozen language model needs many steps to learn what an arbitrary vector in its input means, and each such step
    costs a forward and a backward pass through it. It reads its own vocabulary from the start. So before the language
    model is run at all, the projector learns to place a cell at the embedding of its name: one token of the name a
    slot, the last slot holding the mean of those that are left, and slots left over repeating the last token. A frozen
    model that was shown lines of copying goes on to copy the first slots exactly; with two slots it so reads back 99 in
    100 names of candidate sets before any training, against 4 in 5 when all slots hold means. An ambiguous cell lands
    between the names it could have.

    The loss is the squared distance over the mean squared length of an embedding: 0 is perfect, 1 is no better than the
    origin.
    """

    def __init__(self, model: BioVerse, *, modality: str = "cell") -> None:
        super().__init__(model, modality=modality)
        self._targets: dict[str, Tensor] = {}

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Projector of the modality."""
        yield from self.model.trainable(self.modality, shared=False, tokens=False)

    @torch.no_grad()
    def target(self, text: str) -> Tensor:
        """Slots of a text, float32 (n_soft, d_llm)."""
        if text not in self._targets:
            self._targets[text] = name_code(self.model.reader, text, max_chars=MAX_TEXT_CHARS)
        return self._targets[text]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`."""
        wanted = torch.stack(list(map(self.target, batch["texts"])))
        soft = self.model.project(torch.as_tensor(batch["embeddings"]), self.modality)
        return {"loss": (soft - wanted).pow(2).sum(dim=-1).mean() / wanted.pow(2).sum(dim=-1).mean()}


@torch.no_grad()
def begin_as_names(model: BioVerse, keys: Tensor, names: Sequence[str], scale: float) -> None:
    """Start prototypes from keys (k, n_tokens * dim) and the language model's own embeddings of k names.

    Nothing is trained yet, and the frozen model already reads names back out of inputs. Training then moves the codes
    to where mixtures of names, too, are read for what they are. `scale` is the logit per unit of cosine.
    """
    projector: Any = model.modules["projectors"]["cell"]  # type: ignore[index]
    projector.begin_as(keys, torch.stack([name_code(model.reader, name) for name in names]), scale)


class PrototypeTask(Task):
    """Cross-entropy of the attention over prototypes, one for each group of a batch; no language model."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All of the projector but its codes."""
        pairs = self.model.trainable(self.modality, shared=False, tokens=False)
        return ((name, one) for name, one in pairs if not name.endswith(".codes"))

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, and `right`, the share of rows whose own prototype they attend to most."""
        projector, x = self.model.ready(batch["embeddings"], self.modality)
        logits, truth = projector.logits(x), torch.as_tensor(batch["groups"])  # type: ignore[operator]
        truth = truth.to(logits.device)
        return {"loss": cross_entropy(logits, truth), "right": (logits.argmax(dim=1) == truth).float().mean()}


@contextmanager
def still_attention(model: BioVerse, modality: str = "cell") -> Iterator[None]:
    """Leave the attention over prototypes as it is: codes, tokens and shared-space layers learn alone.

    Which label an input is was learned by :class:`PrototypeTask`, from far more inputs than can be sent through the
    language model; and a prototype whose key has moved stands for its term no more.
    """
    pairs = model.trainable(modality, shared=False, tokens=False)
    still = [one for name, one in pairs if name.endswith((".keys", ".bias", ".log_scale"))]
    for one in still:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in still:
            one.requires_grad_(True)


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
    examples: NotRequired[NDArray[np.int64]]  # (n,): which instruction each row is


# Draws one batch. The generator is made from seed and step, so that a resumed run draws what the first would have.
Sampler = Callable[[np.random.Generator], Batch]


def parts_of_like_length(
    batch: Batch, lengths: Sequence[int] | NDArray[np.integer], size: int
) -> list[tuple[Batch, float]]:
    """Split a batch by the lengths of its rows into parts of at most `size`, with the share of the rows in each."""
    order = np.argsort(lengths, kind="stable")
    parts = np.array_split(order, max(1, -(-order.size // size)))
    return [(take_rows(batch, rows), rows.size / order.size) for rows in parts]


def take_rows(batch: Batch, rows: NDArray[np.integer]) -> Batch:
    """Return some rows of a batch; what is of the batch as a whole stays."""
    part: dict[str, Any] = dict(batch)
    for name in {"texts", "cards"} & part.keys():
        part[name] = [part[name][row] for row in rows]
    for name in {"embeddings", "groups", "shares", "examples"} & part.keys():
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
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, found {batch_size}.")
        self.texts, self.cards, self.batch_size, self.related = texts, cards, batch_size, related
        self._rows = [np.flatnonzero(self.labels == i) for i in range(len(self.texts))]
        counts = np.array([rows.size for rows in self._rows], dtype=np.float64)
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

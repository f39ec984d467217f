"""The language model learns to name the object behind the soft tokens, among labels where these are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from ..errors import InputError
from ..llm.prompts import MAX_TEXT_CHARS
from ..llm.score import LabelTrie, head_rows
from .tasks import Task, parts_of_like_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..llm.backbone import Backbone
    from ..models.bioverse import BioVerse
    from .tasks import Batch


class AutoregressiveTask(Task):
    """Cross-entropy of the answer that follows a cell's soft tokens; the language model is frozen.

    The keys and values of everything before the soft tokens are computed once, without a gradient; each step runs the
    rest of the prompt only. No head is computed where no answer token stands. The model's backbone may hold bfloat16
    weights; projector and tokens, which are trained, stay float32.

    With `candidates`, a batch's own before the task's, the loss is what scoring computes (:class:`.LabelTrie`), and
    what follows the last choice is not read; without, the softmax is over the whole vocabulary.

    The restricted loss is the mean over rows of `-log p(label | candidates)`; the full one the mean over rows of the
    mean over answer tokens. Where a batch has `shares`, the restricted loss is, along the way to each row's answer, the
    cross-entropy against them (distillation: Hinton, Vinyals and Dean, 2015).
    """

    def __init__(self, model: BioVerse, *, modality: str = "cell", candidates: CandidateSet | None = None) -> None:
        super().__init__(model, modality=modality)
        self.candidates = candidates
        self._prompt = model.reader.prompt(modality)
        model.reader.prefix(modality)
        self._ids: dict[str, list[int]] = {}

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Projector of the modality, and tokens."""
        yield from self.model.trainable(self.modality, shared=False)

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Parts of at most `size` rows with answers of like length."""
        return parts_of_like_length(batch, self._lengths(batch), size)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, under its name `restricted` or `full` too, with the share `right` of restricted choices."""
        candidates, texts = self._candidates(batch), batch["texts"]
        answers = list(map(self._answer, texts))
        read = self._lengths(batch)
        head = self._prompt.head
        hidden = self.read(batch, [answer[:length] for answer, length in zip(answers, read, strict=True)])
        starts = [len(head)] * len(texts)
        if candidates is None:
            loss = answer_losses(self.model.backbone, hidden, answers, starts).mean()
            return {"loss": loss, "full": loss}
        wanted = candidates.targets(texts, batch.get("shares"))
        loss, right = restricted_loss(self.model.backbone, wanted, hidden, starts)
        return {"loss": loss, "restricted": loss, "right": right}

    def read(self, batch: Batch, answers: list[list[int]]) -> Tensor:
        """Hidden states (n, T, d_llm) behind the cached beginning; gradients flow to what makes the soft tokens."""
        return self.model.forward(torch.as_tensor(batch["embeddings"]), modality=self.modality, answers=answers)

    def _answer(self, text: str) -> list[int]:
        # Kept as long as the training, and not by the reader: tens of thousands of captions would stay with the model.
        if text not in self._ids:
            # Free texts, such as captions of molecules, are longer than a name may be.
            self._ids[text] = self.model.reader.answer_ids(text, max_chars=MAX_TEXT_CHARS)
        return self._ids[text]

    def _lengths(self, batch: Batch) -> NDArray[np.int64]:
        """Answer tokens that have to be read: up to the last choice, or all but the end token."""
        if (candidates := self._candidates(batch)) is not None:
            return candidates.needed(batch["texts"])
        return np.array([len(self._answer(text)) - 1 for text in batch["texts"]], dtype=np.int64)

    def _candidates(self, batch: Batch) -> CandidateSet | None:
        if "shares" in batch and "candidates" not in batch and self.candidates is None:
            raise InputError("shares are of a batch's own candidates: put them beside it, as `candidates`.")
        return batch.get("candidates", self.candidates)


def answer_losses(
    backbone: Backbone, hidden: Tensor, answers: Sequence[Sequence[int]], starts: Sequence[int]
) -> Tensor:
    """Mean cross-entropy of the tokens of each row's answer: float32 (n,).

    `hidden` is (n, T, d_llm); the answer of row i begins at `starts[i]`, and the state before a token predicts it.
    """
    rows = [row for row, answer in enumerate(answers) for _ in answer]
    at = [start - 1 + i for start, answer in zip(starts, answers, strict=True) for i in range(len(answer))]
    target = torch.tensor([token for answer in answers for token in answer], device=hidden.device)
    each = cross_entropy(backbone.logits(hidden[rows, at]).float(), target, reduction="none")
    row = torch.tensor(rows, device=hidden.device)
    return each.new_zeros(len(answers)).index_add(0, row, each) / torch.bincount(row, minlength=len(answers))


# ------------------------------------------------------------------ a label set as training sees it


@dataclass(frozen=True, eq=False)
class Targets:
    """What the restricted loss asks of a batch of r choices, among u tokens."""

    row: Tensor  # int64 (r,): row of the batch
    position: Tensor  # int64 (r,): answer tokens that stand before the choice
    token: Tensor  # int64 (u,): the tokens that any choice is among
    adjust: Tensor  # float32 (r, u), added to the logits: 0 for a child, -inf for what is no choice
    target: Tensor  # int64 (r,): the right child, as a position in `token`
    share: Tensor | None = None  # float32 (r, u): how probable each child should be, where that was asked for


def restricted_loss(
    backbone: Backbone, wanted: Targets, hidden: Tensor, starts: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Mean over rows of `-log p(label | candidates)`, and the share of rows in which every choice is right.

    `hidden` is (n, T, d_llm); the answer of row i begins at `starts[i]`, and the state before a token predicts it.
    """
    device, n = hidden.device, len(starts)
    row = wanted.row.to(device)
    chosen = hidden[row, torch.tensor(starts, device=device)[row] - 1 + wanted.position.to(device)]
    # The head in float32, as scoring has it: in bfloat16 logits step by 1/8 nats.
    weight, bias = head_rows(backbone, wanted.token.tolist())
    logits = backbone.head.finish(linear(chosen.float(), weight, bias)) + wanted.adjust.to(device)
    target = wanted.target.to(device)
    if wanted.share is None:
        total = cross_entropy(logits, target, reduction="sum") / n
    else:
        # What is no choice has a share of 0 and a logit of -inf, whose product would be NaN.
        log_probs = logits.log_softmax(dim=1).masked_fill(logits.isneginf(), 0)
        total = -(wanted.share.to(device) * log_probs).sum() / n
    with torch.no_grad():
        wrong = torch.zeros(n, device=device)
        wrong.index_add_(0, row, (logits.argmax(dim=1) != target).float())
    return total, (wrong == 0).float().mean()


class CandidateSet:
    """Labels to choose from, as token sequences, all different, the end token included; see :class:`.LabelTrie`.

    Labels that may not count as wrong for a label (`related`, bool (m, m): its ontology ancestors and descendants) are
    taken out of the set for it.
    """

    def __init__(
        self,
        names: Sequence[str],
        sequences: Sequence[Sequence[int]],
        *,
        related: NDArray[np.bool_] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.sequences = tuple(tuple(map(int, sequence)) for sequence in sequences)
        m = len(self.names)
        if len(set(self.sequences)) != m:
            twice = sorted({n for n, s in zip(self.names, self.sequences, strict=True) if self.sequences.count(s) > 1})
            raise InputError(f"labels that read the same to the language model: {twice[:6]}")
        self.related = np.zeros((m, m), bool) if related is None else np.array(related, dtype=bool)
        self._index = {name: i for i, name in enumerate(self.names)}
        trie = LabelTrie(self.sequences)
        branches = trie.branches
        self._position = np.array([0 if one.token < 0 else trie.depths[one.token] + 1 for one in branches], np.int64)
        # Every way on at a choice: whose it is, its token, and the labels behind it, bool (n_ways, m).
        self._branch = np.repeat(np.arange(len(branches)), [len(one.children) for one in branches])
        tokens = np.array([token for one in branches for token in one.children], dtype=np.int64)
        self._token, self._column = np.unique(tokens, return_inverse=True)
        behind = np.zeros((trie.n_edges + 1, m), dtype=bool)
        behind[trie.label_edges, np.arange(m)[:, None]] = True
        self._behind = behind[:-1]  # the last one fills up shorter ways
        # Ways to a label that counts against this one, bool (m, n_ways); where there are two, something is decided.
        self._open = (~self.related | np.eye(m, dtype=bool)).astype(np.float32) @ self._behind.T > 0
        of_branch = (self._branch[:, None] == np.arange(len(branches))).astype(np.float32)
        self._decided = (self._behind.T @ of_branch > 0) & (self._open @ of_branch > 1)

    @classmethod
    def of(
        cls,
        model: BioVerse,
        names: Sequence[str],
        *,
        related: NDArray[np.bool_] | None = None,
    ) -> CandidateSet:
        """Build the set from names, tokenised as the model's prompt does."""
        return cls(names, list(map(model.reader.answer_ids, names)), related=related)

    def __len__(self) -> int:
        return len(self.names)

    def index(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return positions of `names` in the set."""
        return np.array([self._index[name] for name in names], dtype=np.int64)

    def needed(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Answer tokens that must be read to reach the last choice of each name, (n,)."""
        return np.where(self._decided, self._position, 0).max(axis=1, initial=0)[self.index(names)]

    def targets(self, names: Sequence[str], shares: NDArray[np.floating] | None = None) -> Targets:
        """Gather the choices that the answers `names`, one a row, are made of.

        `shares` (n, m) say how probable each label should be for a row, in place of its answer alone. The choices are
        still those on the way to its answer: where answers are drawn by these shares, all of the tree is learned.
        """
        labels = self.index(names)
        row, branch = self._decided[labels].nonzero()
        label, here = labels[row], self._branch == branch[:, None]
        at, way = (here & self._open[label]).nonzero()
        adjust = np.full((row.size, self._token.size), -np.inf, dtype=np.float32)
        adjust[at, self._column[way]] = 0
        share = None
        if shares is not None:
            # Labels that are no alternative to a row's answer have no share in it.
            left_out = self.related[label] & (np.arange(len(self)) != label[:, None])
            held = np.where(left_out, 0.0, shares[row]) @ self._behind.T
            found = np.zeros_like(adjust)
            # A label on the way here has a share, unless it fell below what float32 holds.
            found[at, self._column[way]] = np.maximum(held[at, way], 1e-12)
            share = torch.from_numpy(found / found.sum(axis=1, keepdims=True))
        return Targets(
            row=torch.from_numpy(row),
            position=torch.from_numpy(self._position[branch]),
            token=torch.from_numpy(self._token),
            adjust=torch.from_numpy(adjust),
            target=torch.from_numpy(self._column[(here & self._behind[:, label].T).argmax(axis=1)]),
            share=share,
        )

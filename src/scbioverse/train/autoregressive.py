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
from .tasks import take_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..llm.backbone import Backbone
    from ..models.bioverse import BioVerse
    from .tasks import Batch


class AutoregressiveTask:
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
        self.model, self.modality, self.candidates = model, modality, candidates
        model.check_modality(modality)
        self._prompt = model.reader.prompt(modality)
        model.reader.prefix(modality)
        self._ids: dict[str, list[int]] = {}

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Projector of the modality, and tokens."""
        yield from self.model.trainable(self.modality, shared=False)

    def train(self, mode: bool) -> None:
        """Switch the projector's dropout; the language model stays in evaluation mode."""
        self.model.modules.train(mode)

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Parts of at most `size` rows with answers of like length."""
        order = np.argsort(self._lengths(batch), kind="stable")
        parts = np.array_split(order, max(1, -(-order.size // size)))
        return [(take_rows(batch, rows), rows.size / order.size) for rows in parts]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, under its name `restricted` or `full` too, with the share `right` of restricted choices."""
        candidates, texts = self._candidates(batch), batch["texts"]
        answers = list(map(self._answer, texts))
        read = self._lengths(batch)
        head = self._prompt.head
        hidden = self.read(batch, [answer[:length] for answer, length in zip(answers, read, strict=True)])
        if candidates is None:
            loss = self._full(answers, hidden, len(head))
            return {"loss": loss, "full": loss}
        wanted = candidates.targets(texts, batch.get("shares"))
        loss, right = restricted_loss(self.model.backbone, wanted, hidden, [len(head)] * len(texts))
        return {"loss": loss, "restricted": loss, "right": right}

    def read(self, batch: Batch, answers: list[list[int]]) -> Tensor:
        """Hidden states (n, T, d_llm) behind the cached beginning; gradients flow to what makes the soft tokens."""
        return self.model.forward(torch.as_tensor(batch["embeddings"]), modality=self.modality, answers=answers)

    def _full(self, answers: list[list[int]], hidden: Tensor, head: int) -> Tensor:
        rows = [row for row, answer in enumerate(answers) for _ in answer]
        at = [head - 1 + i for answer in answers for i in range(len(answer))]
        target = torch.tensor([token for answer in answers for token in answer], device=hidden.device)
        logits = self.model.backbone.logits(hidden[rows, at])
        each = cross_entropy(logits, target, reduction="none")
        share = torch.tensor([1.0 / len(answer) for answer in answers for _ in answer], device=hidden.device)
        return (each * share).sum() / len(answers)

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


# ------------------------------------------------------------------ a label set as training sees it


@dataclass(frozen=True)
class _Branch:
    """A point where sequences with a common beginning go on differently."""

    position: int
    tokens: NDArray[np.int64]
    members: NDArray[np.bool_]  # (n_children, n_labels): which labels lie below which child


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
        self._branches = [
            _Branch(
                0 if one.token < 0 else int(trie.depths[one.token]) + 1,
                np.array(one.children, dtype=np.int64),
                np.stack([(trie.label_edges == edge).any(axis=1) for edge in range(one.edges.start, one.edges.stop)]),
            )
            for one in trie.branches
        ]
        self._token = np.unique(np.concatenate([branch.tokens for branch in self._branches]))
        self._compile()

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
        absent = [name for name in names if name not in self._index]
        if absent:
            raise InputError(f"{len(absent)} answers are not among the {len(self)} candidates, such as {absent[0]!r}.")
        return np.array([self._index[name] for name in names], dtype=np.int64)

    def needed(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Answer tokens that must be read to reach the last choice of each name, (n,)."""
        return self._last[self.index(names)]

    def targets(self, names: Sequence[str], shares: NDArray[np.floating] | None = None) -> Targets:
        """Gather the choices that the answers `names`, one a row, are made of.

        `shares` (n, m) say how probable each label should be for a row, in place of its answer alone. The choices are
        still those on the way to its answer: where answers are drawn by these shares, all of the tree is learned.
        """
        labels = self.index(names)
        rows, at = [], []
        for row, label in enumerate(labels):
            mine = np.arange(self._start[label], self._start[label + 1])
            at.append(mine)
            rows.append(np.full(mine.size, row))
        where, row_of = np.concatenate(at), np.concatenate(rows)
        share = None
        if shares is not None:
            # Labels that are no alternative to a row's answer have no share in it.
            left_out = self.related[labels].copy()
            left_out[np.arange(labels.size), labels] = False
            share = torch.from_numpy(self._shared(where, np.where(left_out, 0.0, shares)[row_of]))
        return Targets(
            row=torch.from_numpy(row_of),
            position=torch.from_numpy(self._position[where]),
            token=torch.from_numpy(self._token),
            adjust=torch.from_numpy(self._adjust[where]),
            target=torch.from_numpy(self._target[where]),
            share=share,
        )

    def _shared(self, where: NDArray[np.int64], shares: NDArray[np.floating]) -> NDArray[np.float32]:
        """Shares of the children at choices, (r, u), from those of the labels, (r, m)."""
        out = np.zeros((where.size, self._token.size), dtype=np.float32)
        for number in np.unique(self._branch[where]):
            at, branch = np.flatnonzero(self._branch[where] == number), self._branches[number]
            # A label on the way here has a share, unless it fell below what float32 holds.
            held = np.maximum(shares[at] @ branch.members.T.astype(np.float64), 1e-12)
            out[np.ix_(at, np.searchsorted(self._token, branch.tokens))] = held
        out[~np.isfinite(self._adjust[where])] = 0  # related labels, which are no choice
        return out / out.sum(axis=1, keepdims=True)

    def _compile(self) -> None:
        """Lay out the choices of every label as rows of one table, so that a batch only gathers."""
        position, target, adjust, number, counts = [], [], [], [], []
        for label in range(len(self)):
            usable = ~self.related[label]
            usable[label] = True
            choices = [(i, b) for i, b in enumerate(self._branches) if b.members[:, label].any()]
            kept = 0
            for place, branch in sorted(choices, key=lambda one: one[1].position):
                inside = branch.members & usable
                if inside.any(axis=1).sum() < 2:
                    continue  # only related labels part here: nothing to decide for this one
                row = np.full(self._token.size, -np.inf, dtype=np.float32)
                columns = np.searchsorted(self._token, branch.tokens)
                row[columns] = np.where(inside.any(axis=1), 0.0, -np.inf)
                adjust.append(row)
                position.append(branch.position)
                number.append(place)
                target.append(columns[int(np.flatnonzero(branch.members[:, label])[0])])
                kept += 1
            counts.append(kept)
        self._start = np.concatenate([[0], np.cumsum(counts)])
        self._position = np.array(position, dtype=np.int64)
        self._target = np.array(target, dtype=np.int64)
        self._branch = np.array(number, dtype=np.int64)
        self._adjust = np.stack(adjust) if adjust else np.empty((0, self._token.size), dtype=np.float32)
        self._last = np.array(
            [self._position[a:b].max(initial=0) for a, b in zip(self._start[:-1], self._start[1:], strict=True)],
            dtype=np.int64,
        )

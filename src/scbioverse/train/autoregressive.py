"""The language model learns to name the object behind the soft tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from ..errors import InputError
from ..llm.prompts import MAX_TEXT_CHARS
from ..llm.score import head_rows
from .sampler import take_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..models.bioverse import BioVerse
    from .candidates import CandidateSet, Targets
    from .sampler import Batch


class AutoregressiveTask:
    """Cross-entropy of the answer that follows a cell's soft tokens; the language model is frozen.

    The keys and values of everything before the soft tokens are computed once, without a gradient; each step runs the
    rest of the prompt only. No head is computed where no answer token stands. The model's backbone may hold bfloat16
    weights; projector and tokens, which are trained, stay float32.

    With `candidates` the loss is what scoring computes: at each point where labels part, a softmax over the tokens that
    go on there, and the rest of the answer is not read; without, the softmax over the whole vocabulary. A batch's own
    `candidates` take their place.

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
        self._fused: str | None = None

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Projector of the modality, and tokens."""
        yield from self.model.trainable(self.modality, shared=False)

    def train(self, mode: bool) -> None:
        """Switch the projector's dropout; the language model stays in evaluation mode."""
        self.model.modules.train(mode)
        backbone = self.model.backbone
        if backbone.device.type != "cpu":
            return
        # On a CPU the gradient of the fused attention takes longer than the plain one's: 31 against 39 examples
        # per core-second with SmolLM2-135M in bfloat16. Forward passes alone are quicker fused.
        held = str(backbone.model.config._attn_implementation)
        if mode and held == "sdpa":
            self._fused = held
            backbone.model.set_attn_implementation("eager")
        elif not mode and self._fused is not None:
            backbone.model.set_attn_implementation(self._fused)
            self._fused = None

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Parts of at most `size` rows with answers of like length."""
        order = np.argsort(self._lengths(batch), kind="stable")
        parts = np.array_split(order, max(1, -(-order.size // size)))
        return [(take_rows(batch, rows), rows.size / order.size) for rows in parts]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, under its name `restricted` or `full` too, with the share `right` of restricted choices."""
        candidates, texts = self._candidates(batch), batch["texts"]
        answers = [self._answer(text) for text in texts]
        read = self._lengths(batch)
        head = self._prompt.head
        hidden = self.read(batch, [answer[:length] for answer, length in zip(answers, read, strict=True)])
        if candidates is None:
            loss = self._full(answers, hidden, len(head))
            return {"loss": loss, "full": loss}
        wanted = candidates.targets(texts, batch.get("shares"))
        loss, right = self._restricted(wanted, len(texts), hidden, len(head))
        return {"loss": loss, "restricted": loss, "right": right}

    def read(self, batch: Batch, answers: list[list[int]]) -> Tensor:
        """Hidden states (n, T, d_llm) behind the cached beginning; gradients flow to what makes the soft tokens."""
        return self.model.forward(torch.as_tensor(batch["embeddings"]), modality=self.modality, answers=answers)

    def _restricted(self, wanted: Targets, n: int, hidden: Tensor, head: int) -> tuple[Tensor, Tensor]:
        device = hidden.device
        chosen = hidden[wanted.row.to(device), head - 1 + wanted.position.to(device)]
        # The head in float32, as scoring has it: in bfloat16 logits step by 1/8 nats.
        weight, bias = head_rows(self.model.backbone, wanted.token.tolist())
        logits = self.model.backbone.head.finish(linear(chosen.float(), weight, bias)) + wanted.adjust.to(device)
        target = wanted.target.to(device)
        if wanted.share is None:
            total = cross_entropy(logits, target, reduction="sum") / n
        else:
            # What is no choice has a share of 0 and a logit of -inf, whose product would be NaN.
            log_probs = logits.log_softmax(dim=1).masked_fill(logits.isneginf(), 0)
            total = -(wanted.share.to(device) * log_probs).sum() / n
        with torch.no_grad():
            wrong = torch.zeros(n, device=device)
            wrong.index_add_(0, wanted.row.to(device), (logits.argmax(dim=1) != target).float())
        return total, (wrong == 0).float().mean()

    def _full(self, answers: list[list[int]], hidden: Tensor, head: int) -> Tensor:
        rows = [row for row, answer in enumerate(answers) for _ in answer]
        at = [head - 1 + i for answer in answers for i in range(len(answer))]
        target = torch.tensor([token for answer in answers for token in answer], device=hidden.device)
        logits = self.model.backbone.logits(hidden[rows, at])
        each = cross_entropy(logits, target, reduction="none")
        share = torch.tensor([1.0 / len(answer) for answer in answers for _ in answer], device=hidden.device)
        return (each * share).sum() / len(answers)

    def _answer(self, text: str) -> list[int]:
        if text not in self._ids:
            # Free texts, such as captions of molecules, are longer than a name may be.
            self._ids[text] = self.model.answer_ids(text, max_chars=MAX_TEXT_CHARS)
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

"""A warm start for the projector: soft tokens that begin as words the language model already reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..llm.prompts import MAX_TEXT_CHARS
from ..models.candidate_tokens import name_code
from .tasks import CheapTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..models.bioverse import BioVerse
    from .sampler import Batch


class LexicalTask(CheapTask):
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
        wanted = torch.stack([self.target(text) for text in batch["texts"]])
        soft = self.model.project(torch.as_tensor(batch["embeddings"]), self.modality)
        return {"loss": (soft - wanted).pow(2).sum(dim=-1).mean() / wanted.pow(2).sum(dim=-1).mean()}

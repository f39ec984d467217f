"""Cells and texts are brought together in the space they share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..nn import info_nce
from .processes import shared_out
from .tasks import CheapTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..models.bioverse import BioVerse
    from .sampler import Batch


class ContrastiveTask(CheapTask):
    """Symmetric InfoNCE between cells and the language model's own representation of their texts.

    Texts are represented once each, so a step costs no forward pass of the language model. The rows of a batch are each
    other's negatives; `negatives` are unrelated texts that no cell may come near, of which a step draws `n_negatives`.
    """

    def __init__(
        self,
        model: BioVerse,
        *,
        modality: str = "cell",
        negatives: Sequence[str] = (),
        n_negatives: int | None = 64,
    ) -> None:
        super().__init__(model, modality=modality)
        self.n_negatives = n_negatives
        if model.text_space is None:
            raise InputError(
                "the model has no text space: call model.fit_text_space(texts) before contrastive training."
            )
        self._texts: dict[str, int] = {}
        self._vectors = torch.empty(0, model.text_dim)
        self._negatives = torch.from_numpy(model.text_coordinates(list(negatives))) if len(negatives) else None

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Projector and shared-space layer of the modality."""
        yield from self.model.trainable(self.modality, shared=True, tokens=False)

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
        if negatives is not None and self.n_negatives is not None and self.n_negatives < len(negatives):
            negatives = negatives[torch.randperm(len(negatives))[: self.n_negatives]]
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

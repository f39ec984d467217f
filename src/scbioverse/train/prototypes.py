"""A projector by prototypes: its attention learns to be a classifier over labels, its codes begin as their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..models.candidate_tokens import name_code
from .tasks import CheapTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..models import BioVerse
    from .sampler import Batch
    from .tasks import Task


@torch.no_grad()
def begin_as_names(model: BioVerse, keys: Tensor, names: Sequence[str], scale: float, modality: str = "cell") -> None:
    """Start prototypes from keys (k, n_tokens * dim) and the language model's own embeddings of k names.

    Nothing is trained yet, and the frozen model already reads names back out of inputs. Training then moves the codes
    to where mixtures of names, too, are read for what they are. `scale` is the logit per unit of cosine.
    """
    projector: Any = model.modules["projectors"][modality]  # type: ignore[index]
    projector.begin_as(keys, torch.stack([name_code(model.reader, name) for name in names]), scale)


class PrototypeTask(CheapTask):
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


class StillAttention:
    """A task that leaves the attention as it is: codes, tokens and shared-space layers learn alone.

    Which label an input is was learned by :class:`PrototypeTask`, from far more inputs than can be sent through the
    language model; and a prototype whose key has moved stands for its term no more.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of the task without keys, biases and sharpness."""
        still = (".keys", ".bias", ".log_scale")
        pairs = self.task.named_parameters()
        return (pair for pair in pairs if not (pair[0].startswith("projectors.") and pair[0].endswith(still)))

    def train(self, mode: bool) -> None:
        """As the task."""
        self.task.train(mode)

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """As the task."""
        return self.task.split(batch, size)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """As the task."""
        return self.task(batch)

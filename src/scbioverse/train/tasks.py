"""What a training task is, and several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..models.bioverse import BioVerse
    from .sampler import Batch


class Task(Protocol):
    """What :func:`~.loop.fit` trains."""

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return scalars; `"loss"` is among them and carries the gradient."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters to train."""

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Parts of a batch whose weighted losses add up to the batch's, if the loss allows that."""

    def train(self, mode: bool) -> None:
        """Switch dropout on or off."""


class CheapTask:
    """What tasks share whose steps do not run the language model: a batch stays whole."""

    def __init__(self, model: BioVerse, *, modality: str = "cell") -> None:
        model.check_modality(modality)
        self.model, self.modality = model, modality

    def train(self, mode: bool) -> None:
        """Switch the projector's dropout."""
        self.model.modules.train(mode)

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Return the batch as it is."""
        return [(batch, 1.0)]


class MixedTask:
    """Weighted sum of tasks over one batch. A task that cannot split a batch keeps it whole."""

    def __init__(self, parts: Sequence[tuple[Task, float]]) -> None:
        if not parts:
            raise InputError("MixedTask needs at least one (task, weight) pair.")
        self.parts = list(parts)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
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

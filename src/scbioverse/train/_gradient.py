"""The gradient of a batch, in parts where memory asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .._memory import BatchSize, is_out_of_memory
from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from .sampler import Batch
    from .tasks import Task


class Gradient:
    """Adds up the gradient of a batch over parts that fit into memory.

    When memory runs out the batch is begun anew in parts of half as many rows, and all later batches are cut that
    small. The rows of a step, and with them the step, stay the same: the parts' weighted gradients add up to the
    batch's, up to rounding. (Dropout draws other masks for a batch in parts; the same ones as with `micro_batch` of
    that size.)

    Parameters
    ----------
    task
        Turns a batch into a loss, and says how to cut it.
    params
        What is trained.
    micro_batch
        Rows of a part to begin with; None: the whole batch.
    """

    def __init__(self, task: Task, params: Iterable[nn.Parameter], micro_batch: int | None) -> None:
        self.task, self.params, self.micro_batch = task, list(params), micro_batch

    def __call__(self, batch: Batch) -> dict[str, float]:
        """Fill the parameters' gradients; return the batch's values, `"loss"` among them.

        Raises
        ------
        InputError
            Memory runs out on a single row, or on a batch that the loss needs whole.
        """
        rows = len(batch["texts"])
        memory = BatchSize(max(1, rows if self.micro_batch is None else min(self.micro_batch, rows)), what="examples")
        first, drawn = memory.size, _generators()

        def work(size: int) -> dict[str, float]:
            for param in self.params:
                param.grad = None
            if size < first:
                _put_back(drawn)
            whole = self.micro_batch is None and size == first
            return self._add_up([(batch, 1.0)] if whole else self.task.split(batch, size), size)

        values = memory.run(work)
        if memory.size < first:
            self.micro_batch = memory.size
        return values

    def _add_up(self, parts: list[tuple[Batch, float]], size: int) -> dict[str, float]:
        total: dict[str, float] = {}
        for part, weight in parts:
            try:
                values = self.task(part)
                (values["loss"] * weight).backward()
            except (MemoryError, RuntimeError) as error:
                rows = len(part["texts"])
                # It was asked for in smaller parts and stayed whole.
                if is_out_of_memory(error) and rows > size:
                    raise InputError(
                        f"Memory ran out on {rows} examples at once, and this loss compares all examples of a batch "
                        f"with each other, so that it cannot be computed in parts: pass batch_size={max(1, rows // 2)} "
                        "or less (the comparison is then among fewer), or device='cpu'."
                    ) from error
                raise
            for key, value in values.items():
                total[key] = total.get(key, 0.0) + weight * float(value.detach())
        return total


def _generators() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """State of the generators, so that a step begun anew draws what it drew before."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _put_back(drawn: tuple[torch.Tensor, Any]) -> None:
    torch.set_rng_state(drawn[0])
    if drawn[1]:
        torch.cuda.set_rng_state_all(drawn[1])

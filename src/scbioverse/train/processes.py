"""Training in several processes: each computes a share of every batch, and all take the same step.

Started by `accelerate launch`, or by anything else that sets the variables of torch.distributed. All processes draw the
same batch. A loss that adds up over rows is computed in parts, which the processes share out. One that compares all
rows with each other (contrastive) is computed from the projected rows of all processes, gathered with their gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

if TYPE_CHECKING:
    from torch import nn


def place() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many train together: (0, 1) where it is alone."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def share(n: int) -> slice:
    """Return which of `n` rows are this process's."""
    at, all_of = place()
    return slice(n * at // all_of, n * (at + 1) // all_of)


def shared_out(compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Compute something row by row, each process its share, and return all rows in all processes, with gradient."""
    all_of = place()[1]
    if all_of == 1:
        return compute(rows)
    from torch.distributed.nn.functional import all_gather

    own = compute(rows[share(len(rows))])
    most = -(-len(rows) // all_of)
    # Shares differ by a row at most; what is gathered has to be of one size.
    padded = torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])])
    sizes = [len(rows) * (one + 1) // all_of - len(rows) * one // all_of for one in range(all_of)]
    return torch.cat([part[:n] for part, n in zip(all_gather(padded.contiguous()), sizes, strict=True)])


def add_up(params: Iterable[nn.Parameter], values: Mapping[str, float]) -> dict[str, float]:
    """Add up gradients, and a step's values, over all processes; each is left with the sums."""
    n_processes, device = place()[1], torch.device("cpu")
    if n_processes == 1:
        return dict(values)
    for param in params:
        if param.grad is None:
            param.grad = torch.zeros_like(param)
        distributed.all_reduce(param.grad)
        device = param.device
    # Where a batch has fewer parts than there are processes, some have no values.
    held: list[list[str]] = [[]] * n_processes
    distributed.all_gather_object(held, list(values))
    names = sorted({name for some in held for name in some})
    summed = torch.tensor([values.get(name, 0.0) for name in names], dtype=torch.float64, device=device)
    distributed.all_reduce(summed)
    return dict(zip(names, summed.tolist(), strict=True))

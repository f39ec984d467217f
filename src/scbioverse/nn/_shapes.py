"""What every projector checks: its sizes, and the shape of the embeddings it is given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import InputError, MismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def check_sizes(sizes: dict[str, int], dropped: dict[str, float], init_norm: float) -> None:
    """Raise an :class:`InputError` for sizes below one, shares outside [0, 1) and lengths that are not positive."""
    wrong = {name: size for name, size in sizes.items() if size < 1}
    if wrong:
        raise InputError(f"Projector sizes must be at least 1, found {wrong}.")
    for name, share in dropped.items():
        if not 0.0 <= share < 1.0:
            raise InputError(f"{name} must lie in [0, 1), found {share}.")
    if not (math.isfinite(init_norm) and init_norm > 0):
        raise InputError(f"init_norm must be a positive number, found {init_norm}.")


def one_each(spread: Sequence[float] | None, n_soft: int) -> tuple[float, ...]:
    """Return a temperature for each soft token, 1 where none are given.

    Raises
    ------
    InputError
        There are more or fewer than soft tokens, or one is not positive.
    """
    found = tuple(spread) if spread else (1.0,) * n_soft
    if len(found) != n_soft or not all(math.isfinite(one) and one > 0 for one in found):
        raise InputError(f"spread takes {n_soft} positive temperatures, found {found}.")
    return found


def one_row_each(x: Tensor, n_tokens: int, dim: int) -> Tensor:
    """Lay the vectors of each object side by side: (n, n_tokens, dim), or (n, dim) for one vector, to (n, all).

    Raises
    ------
    MismatchError
        The embeddings have other sizes.
    """
    if x.ndim == 2 and n_tokens == 1:
        x = x.unsqueeze(1)
    if x.ndim != 3 or tuple(x.shape[1:]) != (n_tokens, dim):
        raise MismatchError(
            f"The projector takes embeddings of shape (n, {n_tokens}, {dim}), found {tuple(x.shape)}: "
            "they come from another encoder."
        )
    return x.flatten(1)

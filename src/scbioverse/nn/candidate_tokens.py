"""Soft tokens that depend on what is asked: how likely each possible answer is, said as a mixture of codes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import normalize

from ..errors import InputError, MismatchError
from .projector import check_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class CandidateTokens(nn.Module):
    """One code of `n_soft` vectors for each answer that can be asked about.

    A projector that must say all that a cell could be spends its few soft tokens on types that nobody asked about.
    Where the possible answers are known, its attention is taken over them alone, and the soft tokens are the answers'
    codes, mixed by it: (n, m) shares and (m, n_soft, d_llm) codes to (n, n_soft, d_llm). What is extracted depends on
    the question, as in InstructBLIP (Dai et al. 2023); here the question is a list of answers.

    `init_norm` is the Euclidean length that codes start with. `spread` holds the temperature of the shares that mix
    each soft token, 1 if not given. A language model reads a half of two names as something between, often a third
    name: soft tokens below 1 lean to the likeliest answer and say which it is, those at 1 say what else it could be.
    """

    def __init__(
        self,
        n_answers: int,
        n_soft: int,
        d_llm: int,
        *,
        init_norm: float = 1.0,
        spread: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_sizes({"n_answers": n_answers, "n_soft": n_soft, "d_llm": d_llm}, {}, init_norm)
        self.spread = tuple(spread) if spread else (1.0,) * n_soft
        if len(self.spread) != n_soft or not all(math.isfinite(one) and one > 0 for one in self.spread):
            raise InputError(f"spread takes {n_soft} positive temperatures, found {self.spread}.")
        self.codes = nn.Parameter(torch.empty(n_answers, n_soft, d_llm))
        nn.init.normal_(self.codes, std=init_norm / math.sqrt(d_llm))

    def forward(self, shares: Tensor, codes: Tensor) -> Tensor:
        """Mix codes (m, n_soft, d_llm) of the answers asked about by shares (n, m), which add up to 1 in each row.

        The codes may be rows of this module's, or others; the soft tokens (n, n_soft, d_llm) have their dtype.
        """
        if shares.ndim != 2 or codes.ndim != 3 or shares.shape[1] != codes.shape[0]:
            raise MismatchError(f"shares {tuple(shares.shape)} and codes {tuple(codes.shape)} do not fit together.")
        # Powers of shares over the largest: no row can vanish.
        leaning = shares.to(codes) / shares.to(codes).amax(dim=1, keepdim=True)
        mixed = {one: normalize(leaning ** (1 / one), p=1, dim=1) for one in set(self.spread)}
        return torch.stack([mixed[one] @ codes[:, slot] for slot, one in enumerate(self.spread)], dim=1)

    def extra_repr(self) -> str:
        """Sizes, shown by `repr`."""
        return f"{' x '.join(map(str, self.codes.shape))}, spread={self.spread}"

"""Which phrases hold of an embedding: a perceptron with one logit a phrase, and the choice among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, relu

from ..errors import InputError
from .projector import check_sizes, one_row_each

if TYPE_CHECKING:
    from collections.abc import Sequence


class PhraseHead(nn.Module):
    """One logit a phrase: (n, n_tokens, dim) embeddings to (n, n_phrases).

    Embeddings are standardised, then pass one hidden layer with ReLU. What the phrases are, and which of them exclude
    each other, is not its concern: see :func:`choose_phrases`. Training sets `share_dropped` of the hidden entries, and
    half as large a share of the embedding's, to zero.
    """

    centre: Tensor
    gain: Tensor

    def __init__(self, dim: int, n_tokens: int, n_phrases: int, hidden: int, share_dropped: float = 0.1) -> None:
        super().__init__()
        sizes = {"dim": dim, "n_tokens": n_tokens, "n_phrases": n_phrases, "hidden": hidden}
        check_sizes(sizes, {"share_dropped": share_dropped}, 1.0)
        self.dim, self.n_tokens, self.n_phrases, self.share_dropped = dim, n_tokens, n_phrases, share_dropped
        self.register_buffer("centre", torch.zeros(n_tokens * dim))
        self.register_buffer("gain", torch.ones(n_tokens * dim))
        self.inside = nn.Linear(n_tokens * dim, hidden)
        self.out = nn.Linear(hidden, n_phrases)

    @torch.no_grad()
    def begin_as(self, embeddings: Tensor, share: Tensor) -> None:
        """Take centre and scale from embeddings (n, n_tokens, dim), and biases from each phrase's share of rows."""
        flat = one_row_each(embeddings, self.n_tokens, self.dim).to(self.centre)
        self.centre.copy_(flat.mean(dim=0))
        self.gain.copy_(1 / (flat.std(dim=0) + 1e-6))
        held = share.to(self.centre).clamp(1e-5, 1 - 1e-5)
        self.out.bias.copy_(torch.log(held / (1 - held)))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, n_phrases) of embeddings (n, n_tokens, dim), or (n, dim) where `n_tokens` is one."""
        flat = (one_row_each(x, self.n_tokens, self.dim).to(self.centre) - self.centre) * self.gain
        seen = linear(dropout(flat, self.share_dropped / 2, self.training), self.inside.weight, self.inside.bias)
        return linear(dropout(relu(seen), self.share_dropped, self.training), self.out.weight, self.out.bias)

    def extra_repr(self) -> str:
        """Sizes, shown by `repr`."""
        return f"({self.n_tokens}, {self.dim}) -> {self.n_phrases}"


def choose_phrases(
    logits: Tensor, sizes: Sequence[int], most: Sequence[int], least: Sequence[float]
) -> list[list[int]]:
    """Choose phrases group by group, the more probable first; return each row's, by number over all groups.

    The groups lie side by side in `logits` (n, sum of `sizes`). Of each, at most so many are chosen, and only those
    that have the `least` probability (the logistic function of the logit); 0 takes the first ones however improbable
    they are.
    """
    if sum(sizes) != logits.shape[1]:
        raise InputError(f"groups of {list(sizes)} phrases do not make up {logits.shape[1]} logits.")
    chosen: list[list[int]] = [[] for _ in range(len(logits))]
    first = 0
    for size, some, needed in zip(sizes, most, least, strict=True):
        # Sorted as logits: probabilities near one are equal long before logits are.
        values, at = logits[:, first : first + size].float().sort(dim=1, descending=True, stable=True)
        likely = torch.sigmoid(values[:, :some]).tolist()
        for row, (p, which) in enumerate(zip(likely, at[:, :some].tolist(), strict=True)):
            chosen[row] += [first + i for value, i in zip(p, which, strict=True) if value >= needed]
        first += size
    return chosen

"""From an embedding to soft tokens: a perceptron, or prototypes that attend to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, normalize, relu, softmax

from ..errors import InputError, MismatchError


def one_row_each(x: Tensor, n_tokens: int, dim: int) -> Tensor:
    """Lay the vectors of each object side by side: (n, n_tokens, dim), or (n, dim) for one vector, to (n, all)."""
    if x.ndim == 2 and n_tokens == 1:
        x = x.unsqueeze(1)
    if x.ndim != 3 or tuple(x.shape[1:]) != (n_tokens, dim):
        raise MismatchError(
            f"The projector takes embeddings of shape (n, {n_tokens}, {dim}), found {tuple(x.shape)}: "
            "they come from another encoder."
        )
    return x.flatten(1)


class Projector(nn.Module):
    """Three-layer perceptron: (n, n_tokens, dim) embeddings to (n, n_soft, d_llm) soft tokens.

    LayerNorm → Linear → LayerNorm → ReLU → dropout → Linear → LayerNorm → ReLU → dropout → Linear → scale. The last
    layer starts with outputs of unit variance and the learnable scale with `init_norm / sqrt(d_llm)`, so that soft
    tokens start about as long as the language model's own embeddings (`init_norm` is their mean norm).
    """

    def __init__(
        self,
        dim: int,
        n_tokens: int,
        n_soft: int,
        d_llm: int,
        hidden: int = 512,
        dropout: float = 0.1,
        *,
        init_norm: float = 1.0,
    ) -> None:
        super().__init__()
        self.dim, self.n_tokens, self.n_soft, self.d_llm = dim, n_tokens, n_soft, d_llm
        self.norm = nn.LayerNorm(n_tokens * dim)
        self.layers = nn.Sequential(
            nn.Linear(n_tokens * dim, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.out = nn.Linear(hidden, n_soft * d_llm)
        # A rectified unit normal has mean square 1/2, so this variance gives outputs of variance one.
        nn.init.normal_(self.out.weight, std=math.sqrt(2.0 / hidden))
        nn.init.zeros_(self.out.bias)
        self.scale = nn.Parameter(torch.tensor(init_norm / math.sqrt(d_llm)))

    def forward(self, x: Tensor) -> Tensor:
        """Soft tokens (n, n_soft, d_llm), in our dtype, of embeddings (n, n_tokens, dim), or (n, dim) for one."""
        flat = one_row_each(x, self.n_tokens, self.dim).to(self.scale)
        soft = self.out(self.layers(self.norm(flat))) * self.scale
        return soft.view(-1, self.n_soft, self.d_llm)

    def mean(self, x: Tensor) -> Tensor:
        """Mean soft token of each embedding: float32 (n, d_llm)."""
        return self(x).float().mean(dim=1)


class PrototypeProjector(nn.Module):
    """Soft tokens as a mixture of codes: (n, n_tokens, dim) embeddings to (n, n_soft, d_llm).

    Every prototype has a key in the encoder's space and a code of `n_soft` vectors in the language model's. An input
    attends to the keys by cosine, and its soft tokens are the codes, mixed by the attention weights. A code can begin
    as the language model's own embedding of some words, so that the frozen model reads it before anything is trained;
    an input between two types becomes a point between two names. Keys, codes, biases and the sharpness all learn.
    Training sets `share_dropped` of the embedding's entries to zero; codes start with the length `init_norm`.

    Text prototypes under a frozen language model are due to Jin et al. (Time-LLM, 2024); here they are whole names.
    """

    def __init__(
        self,
        dim: int,
        n_tokens: int,
        n_soft: int,
        d_llm: int,
        n_prototypes: int,
        share_dropped: float = 0.1,
        *,
        init_norm: float = 1.0,
    ) -> None:
        super().__init__()
        self.dim, self.n_tokens, self.n_soft, self.d_llm = dim, n_tokens, n_soft, d_llm
        self.share_dropped = share_dropped
        self.keys = nn.Parameter(torch.empty(n_prototypes, n_tokens * dim))
        self.bias = nn.Parameter(torch.zeros(n_prototypes))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.codes = nn.Parameter(torch.empty(n_prototypes, n_soft, d_llm))
        nn.init.normal_(self.keys)  # of keys only directions count
        nn.init.normal_(self.codes, std=init_norm / math.sqrt(d_llm))

    @torch.no_grad()
    def begin_as(self, keys: Tensor, codes: Tensor, scale: float) -> None:
        """Start from known prototypes.

        Of keys (n_prototypes, n_tokens * dim) only directions count; codes (n_prototypes, n_soft, d_llm) may be
        embeddings of names; `scale` is the logit per unit of cosine.
        """
        self.keys.copy_(normalize(keys.to(self.keys), dim=1))
        self.codes.copy_(codes)
        self.log_scale.fill_(math.log(scale))

    def logits(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Cosine to each key times the sharpness, plus the bias: (n, n_prototypes), in `dtype` or our own."""
        keys = self.keys.to(dtype or self.keys.dtype)
        flat = dropout(one_row_each(x, self.n_tokens, self.dim).to(keys), self.share_dropped, self.training)
        scale, bias = self.log_scale.to(keys).exp(), self.bias.to(keys)
        return linear(normalize(flat, dim=1), normalize(keys, dim=1)) * scale + bias

    def attention(self, x: Tensor) -> Tensor:
        """Weights of the prototypes for embeddings as :meth:`forward` takes them: (n, n_prototypes), rows add to 1."""
        return softmax(self.logits(x), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Soft tokens (n, n_soft, d_llm), in our dtype, of embeddings (n, n_tokens, dim), or (n, dim) for one."""
        return (self.attention(x) @ self.codes.flatten(1)).view(-1, self.n_soft, self.d_llm)

    def mean(self, x: Tensor) -> Tensor:
        """Mean soft token of each embedding, float32 (n, d_llm): the means of the codes, mixed."""
        return self.attention(x).float() @ self.codes.float().mean(dim=1)


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
        self.spread = tuple(spread) if spread else (1.0,) * n_soft
        if len(self.spread) != n_soft or not all(math.isfinite(one) and one > 0 for one in self.spread):
            raise InputError(f"spread takes {n_soft} positive temperatures, found {self.spread}.")
        self.codes = nn.Parameter(torch.empty(n_answers, n_soft, d_llm))
        nn.init.normal_(self.codes, std=init_norm / math.sqrt(d_llm))

    def forward(self, shares: Tensor, codes: Tensor) -> Tensor:
        """Mix codes (m, n_soft, d_llm) of the answers asked about by shares (n, m), which add up to 1 in each row.

        The codes may be rows of this module's, or others; the soft tokens (n, n_soft, d_llm) have their dtype.
        """
        # Powers of shares over the largest: no row can vanish.
        leaning = shares.to(codes) / shares.to(codes).amax(dim=1, keepdim=True)
        mixed = {one: normalize(leaning ** (1 / one), p=1, dim=1) for one in set(self.spread)}
        return torch.stack([mixed[one] @ codes[:, slot] for slot, one in enumerate(self.spread)], dim=1)


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
        self.dim, self.n_tokens = dim, n_tokens
        self.register_buffer("centre", torch.zeros(n_tokens * dim))
        self.register_buffer("gain", torch.ones(n_tokens * dim))
        self.drop, self.drop_inside = nn.Dropout(share_dropped / 2), nn.Dropout(share_dropped)
        self.inside = nn.Linear(n_tokens * dim, hidden)
        self.out = nn.Linear(hidden, n_phrases)

    @torch.no_grad()
    def begin_as(self, embeddings: Tensor, share: Tensor) -> None:
        """Take centre and scale from embeddings (n, n_tokens, dim), and biases from each phrase's share of rows."""
        flat = one_row_each(embeddings, self.n_tokens, self.dim).to(self.centre)
        self.centre.copy_(flat.mean(dim=0))
        self.gain.copy_(1 / (flat.std(dim=0) + 1e-6))
        self.out.bias.copy_(torch.logit(share.to(self.centre), eps=1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, n_phrases) of embeddings (n, n_tokens, dim), or (n, dim) where `n_tokens` is one."""
        flat = (one_row_each(x, self.n_tokens, self.dim).to(self.centre) - self.centre) * self.gain
        return self.out(self.drop_inside(relu(self.inside(self.drop(flat)))))


def choose_phrases(
    logits: Tensor, sizes: Sequence[int], most: Sequence[int], least: Sequence[float]
) -> list[list[int]]:
    """Choose phrases group by group, the more probable first; return each row's, by number over all groups.

    The groups lie side by side in `logits` (n, sum of `sizes`). Of each, at most so many are chosen, and only those
    that have the `least` probability (the logistic function of the logit); 0 takes the first ones however improbable
    they are.
    """
    chosen: list[list[int]] = [[] for _ in range(len(logits))]
    first = 0
    for own, some, needed in zip(logits.split(list(sizes), dim=1), most, least, strict=True):
        # Sorted as logits: probabilities near one are equal long before logits are.
        values, at = own.float().sort(dim=1, descending=True, stable=True)
        likely = torch.sigmoid(values[:, :some]).tolist()
        for row, (p, which) in enumerate(zip(likely, at[:, :some].tolist(), strict=True)):
            chosen[row] += [first + i for value, i in zip(p, which, strict=True) if value >= needed]
        first += own.shape[1]
    return chosen

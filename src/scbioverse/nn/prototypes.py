"""A projector that speaks in mixtures of words: attention from an embedding over learned prototypes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear, normalize, softmax

from ..errors import InputError, MismatchError
from ._shapes import check_sizes, one_each, one_row_each

if TYPE_CHECKING:
    from collections.abc import Sequence


class PrototypeProjector(nn.Module):
    """Soft tokens as a mixture of codes: (n, n_tokens, dim) embeddings to (n, n_soft, d_llm).

    Every prototype has a key in the encoder's space and a code of `n_soft` vectors in the language model's. An input
    attends to the keys by cosine, and its soft tokens are the codes, mixed by the attention weights. A code can begin
    as the language model's own embedding of some words, so that the frozen model reads it before anything is trained;
    an input between two types becomes a point between two names. Keys, codes, biases and the sharpness all learn.

    Attention near certainty says what an input is and nothing of what else it could be, which is what counts where the
    answer has to be one of other names. With `spread`, some soft tokens are mixed by flatter attention.

    Text prototypes under a frozen language model are due to Jin et al. (Time-LLM, 2024); here they are whole names.

    Parameters
    ----------
    dim
        Length of one embedding vector.
    n_tokens
        Embedding vectors of one object.
    n_soft
        Soft tokens made of one object.
    d_llm
        Width of the language model.
    n_prototypes
        Number of prototypes.
    share_dropped
        Share of the embedding's entries that training sets to zero.
    init_norm
        Euclidean length that codes start with: the mean norm of the language model's token embeddings.
    spread
        Temperature of the attention that mixes each soft token, `n_soft` of them; 1 is that of :meth:`attention`. None:
        1 for all.

    Raises
    ------
    InputError
        A size is below one, `share_dropped` is outside [0, 1), `init_norm` or a temperature is not positive, or there
        are more or fewer temperatures than soft tokens.
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
        spread: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        sizes = {"dim": dim, "n_tokens": n_tokens, "n_soft": n_soft, "d_llm": d_llm, "n_prototypes": n_prototypes}
        check_sizes(sizes, {"share_dropped": share_dropped}, init_norm)
        self.dim, self.n_tokens, self.n_soft, self.d_llm = dim, n_tokens, n_soft, d_llm
        self.n_prototypes, self.share_dropped = n_prototypes, share_dropped
        self.spread = one_each(spread, n_soft)
        self.keys = nn.Parameter(torch.empty(n_prototypes, n_tokens * dim))
        self.bias = nn.Parameter(torch.zeros(n_prototypes))
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.codes = nn.Parameter(torch.empty(n_prototypes, n_soft, d_llm))
        nn.init.normal_(self.keys)  # of keys only directions count
        nn.init.normal_(self.codes, std=init_norm / math.sqrt(d_llm))

    @torch.no_grad()
    def begin_as(self, keys: Tensor, codes: Tensor, scale: float) -> None:
        """Start from known prototypes.

        Parameters
        ----------
        keys
            float (n_prototypes, n_tokens * dim); only their directions count.
        codes
            float (n_prototypes, n_soft, d_llm), for example embeddings of names.
        scale
            Logit per unit of cosine.

        Raises
        ------
        MismatchError
            The shapes are not the projector's.
        """
        if keys.shape != self.keys.shape or codes.shape != self.codes.shape:
            raise MismatchError(
                f"prototypes need keys {tuple(self.keys.shape)} and codes {tuple(self.codes.shape)}, found "
                f"{tuple(keys.shape)} and {tuple(codes.shape)}."
            )
        if not (math.isfinite(scale) and scale > 0):
            raise InputError(f"scale must be a positive number, found {scale}.")
        self.keys.copy_(normalize(keys.to(self.keys), dim=1))
        self.codes.copy_(codes)
        self.log_scale.fill_(math.log(scale))

    def logits(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Cosine to each key times the sharpness, plus the bias: (n, n_prototypes); their softmax is the attention.

        Computed in `dtype`, that of the projector if not given.
        """
        keys = self.keys.to(dtype or self.keys.dtype)
        flat = dropout(one_row_each(x, self.n_tokens, self.dim).to(keys), self.share_dropped, self.training)
        scale, bias = self.log_scale.to(keys).exp(), self.bias.to(keys)
        return linear(normalize(flat, dim=1), normalize(keys, dim=1)) * scale + bias

    def attention(self, x: Tensor) -> Tensor:
        """Weights of the prototypes for embeddings as :meth:`forward` takes them: (n, n_prototypes), rows add to 1."""
        return softmax(self.logits(x), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Project embeddings.

        Parameters
        ----------
        x
            float (n, n_tokens, dim), or (n, dim) where `n_tokens` is one.

        Returns
        -------
        Soft tokens (n, n_soft, d_llm) in the projector's dtype.

        Raises
        ------
        MismatchError
            The embeddings have other sizes than the projector.
        """
        logits = self.logits(x)
        mixed = {one: softmax(logits / one, dim=1) for one in set(self.spread)}
        return torch.stack([mixed[one] @ self.codes[:, slot] for slot, one in enumerate(self.spread)], dim=1)

    def extra_repr(self) -> str:
        """Sizes, shown by `repr`."""
        return f"({self.n_tokens}, {self.dim}) -> {self.n_prototypes} -> ({self.n_soft}, {self.d_llm})"

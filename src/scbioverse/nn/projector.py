"""From an encoder's embedding to soft tokens of the language model's width."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ._shapes import check_sizes, one_row_each


class Projector(nn.Module):
    """Three-layer perceptron: (n, n_tokens, dim) embeddings to (n, n_soft, d_llm) soft tokens.

    LayerNorm → Linear → LayerNorm → ReLU → dropout → Linear → LayerNorm → ReLU → dropout → Linear → scale. The last
    layer starts with outputs of unit variance and the learnable scale with `init_norm / sqrt(d_llm)`, so that soft
    tokens start about as long as the language model's own embeddings.

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
    hidden
        Width of the two hidden layers.
    dropout
        Share of hidden units dropped in training.
    init_norm
        Euclidean length that soft tokens start with: the mean norm of the language model's token embeddings.

    Raises
    ------
    InputError
        A size is below one, `dropout` is outside [0, 1) or `init_norm` is not positive.
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
        sizes = {"dim": dim, "n_tokens": n_tokens, "n_soft": n_soft, "d_llm": d_llm, "hidden": hidden}
        check_sizes(sizes, {"dropout": dropout}, init_norm)
        self.dim, self.n_tokens, self.n_soft, self.d_llm = dim, n_tokens, n_soft, d_llm
        self.hidden, self.dropout = hidden, dropout
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
        flat = one_row_each(x, self.n_tokens, self.dim).to(self.scale)
        soft = self.out(self.layers(self.norm(flat))) * self.scale
        return soft.view(-1, self.n_soft, self.d_llm)

    def extra_repr(self) -> str:
        """Sizes, shown by `repr`."""
        return f"({self.n_tokens}, {self.dim}) -> ({self.n_soft}, {self.d_llm})"

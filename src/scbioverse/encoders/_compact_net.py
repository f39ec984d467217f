"""The compact cell encoder's network: one wide first layer, residual blocks, a projection."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

OutNorm: TypeAlias = Literal["l2", "none"]


class ResidualBlock(nn.Module):
    """`x + Linear(GELU(Linear(LayerNorm(x))))`, width kept."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.down = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to (n, width)."""
        return x + self.down(self.drop(functional.gelu(self.up(self.norm(x)))))


class CompactNet(nn.Module):
    """Clipped z-scores of G genes to a cell embedding.

    `Linear(G, hidden)`, LayerNorm, GELU, `n_blocks` residual blocks, LayerNorm, `Linear(hidden, dim)`; with
    `out_norm="l2"` the output is scaled to length `sqrt(dim)`, so that its entries have unit mean square.

    Parameters
    ----------
    n_genes
        Size of the vocabulary, G.
    hidden
        Width.
    dim
        Width of the embedding.
    n_blocks
        Residual blocks.
    dropout
        Dropout probability after each GELU, in training only.
    out_norm
        `"l2"` or `"none"`.
    """

    def __init__(
        self,
        n_genes: int,
        hidden: int = 256,
        dim: int = 128,
        n_blocks: int = 1,
        dropout: float = 0.0,
        out_norm: OutNorm = "l2",
    ) -> None:
        super().__init__()
        if out_norm not in ("l2", "none"):
            raise ValueError(f"out_norm must be 'l2' or 'none'; found {out_norm!r}")
        self.n_genes, self.hidden, self.dim, self.n_blocks = n_genes, hidden, dim, n_blocks
        self.out_norm: OutNorm = out_norm
        self.first = nn.Linear(n_genes, hidden)
        self.first_norm = nn.LayerNorm(hidden)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(ResidualBlock(hidden, dropout) for _ in range(n_blocks))
        self.last_norm = nn.LayerNorm(hidden)
        self.last = nn.Linear(hidden, dim)

    def forward(self, z: Tensor) -> Tensor:
        """Embed dense z-scores.

        Parameters
        ----------
        z
            float (n, G), 0 where a gene was not measured.

        Returns
        -------
        float (n, dim).
        """
        return self.rest(self.first(z))

    def rest(self, pre: Tensor) -> Tensor:
        """Everything after the first linear layer, (n, hidden) to (n, dim); the sparse path enters here."""
        h = self.drop(functional.gelu(self.first_norm(pre)))
        for block in self.blocks:
            h = block(h)
        out = self.last(self.last_norm(h))
        if self.out_norm == "l2":
            out = functional.normalize(out, dim=-1) * math.sqrt(self.dim)
        return out

    @torch.no_grad()
    def init_first(self, loadings: Tensor) -> None:
        """Start the first layer from gene factors, for example co-expression components.

        Parameters
        ----------
        loadings
            float (k, G), k at most `hidden`: written into the first k units; the others keep their random start.
        """
        k = loadings.shape[0]
        if k > self.hidden or loadings.shape[1] != self.n_genes:
            raise ValueError(f"loadings must be (k <= {self.hidden}, {self.n_genes}); found {tuple(loadings.shape)}")
        self.first.weight[:k] = loadings.to(self.first.weight)

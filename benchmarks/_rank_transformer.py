"""A compact Geneformer-style encoder: a cell is its genes in order of rank, no expression values.

The rank of a gene is that of its count share divided by the gene's median share among training cells that express it
(Theodoris et al., Nature 618, 616-624, 2023), so that housekeeping genes do not stand first in every cell.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from recipes.bioverse_small.batches import AugmentConfig, Pool, draw
from recipes.bioverse_small.data import Profiles, Study
from recipes.bioverse_small.encoder import EncoderConfig, build_pool, term_loss
from recipes.bioverse_small.terms import within_matrix

logger = logging.getLogger("benchmarks.encoders")


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the network and of its input."""

    n_ranks: int = 128
    dim: int = 128
    n_layers: int = 2
    n_heads: int = 4
    dropout: float = 0.1
    steps: int = 350
    lr: float = 1e-3


class RankTransformer(nn.Module):
    """Gene embedding plus rank embedding, pre-norm transformer layers, mean over the genes.

    Parameters
    ----------
    n_genes
        Size of the vocabulary, G. Index G stands for padding.
    config
        Shape.
    """

    def __init__(self, n_genes: int, config: TransformerConfig) -> None:
        super().__init__()
        self.n_genes, self.dim = n_genes, config.dim
        self.genes = nn.Embedding(n_genes + 1, config.dim, padding_idx=n_genes)
        self.ranks = nn.Parameter(torch.randn(config.n_ranks, config.dim) * 0.02)
        nn.init.normal_(self.genes.weight, std=0.1)
        layer = nn.TransformerEncoderLayer(
            config.dim, config.n_heads, 4 * config.dim, config.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.n_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed int64 (n, n_ranks) gene indices in order of rank: float (n, dim)."""
        padding = tokens == self.n_genes
        # A cell without a gene attends to its padding instead of to nothing, which would be NaN.
        padding[:, 0] = False
        hidden = self.norm(self.layers(self.genes(tokens) + self.ranks, src_key_padding_mask=padding))
        kept = (~padding).unsqueeze(2).to(hidden.dtype)
        return (hidden * kept).sum(1) / kept.sum(1)


def rank_tokens(counts: np.ndarray, median: Tensor, n_ranks: int) -> Tensor:
    """Order each cell's expressed genes by count over median.

    Parameters
    ----------
    counts
        (n, G) on the linear scale. A cell's depth does not change its order, so counts serve as shares.
    median
        float32 (G,), median share of each gene.
    n_ranks
        Genes kept.

    Returns
    -------
    int64 (n, n_ranks), G where a cell has fewer genes.
    """
    value, gene = (torch.as_tensor(counts) / median).topk(n_ranks, dim=1)
    return gene.masked_fill(value <= 0, counts.shape[1])


def nonzero_medians(pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """Median count share of each gene among undisturbed draws that express it, float32 (G,)."""
    still = AugmentConfig(0, 1, 0, 0, 0)
    blocks = []
    # As many draws as the compact network's statistics take, so that both networks then see the same batches.
    for _ in range(24):
        counts, _, _ = draw(pool, 256, still, rng)
        blocks.append(sparse.csr_matrix(counts / np.maximum(counts.sum(1, keepdims=True), 1e-6)))
    shares = sparse.vstack(blocks).tocsc()
    median = np.full(shares.shape[1], np.nan)
    for gene in np.flatnonzero(np.diff(shares.indptr)):
        median[gene] = np.median(shares.data[shares.indptr[gene] : shares.indptr[gene + 1]])
    return np.nan_to_num(median, nan=float(np.nanmedian(median))).astype(np.float32)


def train_transformer(
    genes: np.ndarray,
    studies: list[Study],
    profiles: Profiles | None,
    data_config: EncoderConfig,
    config: TransformerConfig,
    seed: int,
) -> tuple[RankTransformer, Tensor]:
    """Train on the same batches and with the same loss as the compact network; return it with the gene medians."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pool, terms = build_pool(studies, profiles, data_config, rng)
    median = torch.from_numpy(nonzero_medians(pool, rng))
    below = torch.tensor(within_matrix(terms))
    above = below.T & ~torch.eye(len(terms), dtype=torch.bool)
    prior = torch.tensor(np.bincount(pool.term, pool.probability, len(terms)), dtype=torch.float32).clamp(1e-6).log()

    net = RankTransformer(len(genes), config)
    prototypes = nn.Parameter(torch.randn(len(terms), config.dim) * 0.1)
    log_scale = nn.Parameter(torch.tensor(2.5))
    parameters = [*net.parameters(), prototypes, log_scale]
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=data_config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, config.steps, pct_start=0.1)
    net.train()
    started, running = time.perf_counter(), 0.0
    for step in range(config.steps):
        counts, _, term = draw(pool, data_config.batch_size, data_config.augment, rng)
        target = torch.as_tensor(term)
        with torch.autocast("cpu", torch.bfloat16):
            raw = net(rank_tokens(counts, median, config.n_ranks))
        logits = (
            functional.normalize(raw.float(), dim=1) @ functional.normalize(prototypes, dim=1).T * log_scale.exp()
            + prior
        )
        loss = term_loss(logits, below[target], above[target])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running += (loss.item() - running) * (0.02 if step else 1)
        if (step + 1) % 100 == 0:
            logger.info("transformer step %d: loss %.3f, %.0f s", step + 1, running, time.perf_counter() - started)
    return net.eval(), median


@torch.inference_mode()
def embed_ranks(net: RankTransformer, median: Tensor, counts: sparse.csr_matrix, n_ranks: int) -> np.ndarray:
    """Embed cells, float32 (n, dim)."""
    out = []
    for start in range(0, counts.shape[0], 256):
        with torch.autocast("cpu", torch.bfloat16):
            out.append(net(rank_tokens(counts[start : start + 256].toarray(), median, n_ranks)).float().numpy())
    return np.concatenate(out)

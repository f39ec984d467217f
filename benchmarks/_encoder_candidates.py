"""The candidates of the encoder benchmark: how each is trained on a fold's studies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from torch import nn

from benchmarks._rank_transformer import TransformerConfig, embed_ranks, train_transformer
from recipes.bioverse_small.data import Profiles, Study
from recipes.bioverse_small.encoder import EncoderConfig, build_pool, train_encoder
from scbioverse.encoders import embed_rows
from scbioverse.encoders.compact import CompactCellEncoder

logger = logging.getLogger("benchmarks.encoders")


@dataclass(frozen=True)
class Budget:
    """What the command line decides."""

    seed: int
    compact_steps: int
    transformer_steps: int
    scvi_steps: int
    scvi_seconds: int
    readout_cells: int
    readout_iterations: int
    test_cells: int


@dataclass
class Cells:
    """Cells of one gene panel: counts (n, G) on the vocabulary, panel (G,) bool."""

    counts: sparse.csr_matrix
    panel: np.ndarray


@dataclass
class Fitted:
    """A frozen encoder: cells to float32 (n, dim), and what it is made of."""

    embed: Callable[[Cells], np.ndarray]
    n_parameters: int
    n_statistics: int
    dim: int


@dataclass
class Fold:
    """What candidates may learn from when a fold is left out."""

    name: str
    genes: np.ndarray
    studies: list[Study]
    profiles: Profiles
    tests: list[Study]


def n_parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


# ---------------------------------------------------------------------- candidates


def fit_compact(fold: Fold, budget: Budget, profiles: Profiles | None) -> Fitted:
    config = EncoderConfig(steps=budget.compact_steps)
    trained = train_encoder(fold.genes, fold.studies, profiles, config, budget.seed)
    encoder = CompactCellEncoder(trained.net, trained.stats)

    def embed(cells: Cells) -> np.ndarray:
        where = np.flatnonzero(cells.panel)
        adata = AnnData(cells.counts[:, where], var=pd.DataFrame(index=pd.Index(fold.genes[where], dtype=str)))
        return embed_rows(encoder, adata, progress=False)[:, 0]

    return Fitted(embed, n_parameters(trained.net), 3 * len(fold.genes), config.dim)


def fit_transformer(fold: Fold, budget: Budget) -> Fitted:
    config = TransformerConfig(steps=budget.transformer_steps)
    net, median = train_transformer(fold.genes, fold.studies, fold.profiles, EncoderConfig(), config, budget.seed)
    return Fitted(
        lambda cells: embed_ranks(net, median, cells.counts, config.n_ranks),
        n_parameters(net),
        len(fold.genes),
        config.dim,
    )


def log_shares(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Log of counts scaled to 10,000 a cell; absent genes stay zero."""
    depth = np.maximum(np.asarray(counts.sum(1)).ravel(), 1e-6)
    return (sparse.diags(1e4 / depth) @ counts).log1p().tocsr().astype(np.float32)


def training_cells(fold: Fold, seed: int, n_simulated: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """All real training cells and some simulated ones: counts, and the study each came from."""
    rng = np.random.default_rng(seed)
    pool, _ = build_pool(fold.studies, fold.profiles, EncoderConfig(), rng)
    simulated = np.flatnonzero(pool.source >= len(fold.studies))
    chosen = np.sort(rng.choice(simulated, min(n_simulated, simulated.size), replace=False))
    counts = [study.counts for study in fold.studies] + [pool.counts[chosen]]
    names = [study.name for study in fold.studies] + ["simulated"]
    return sparse.vstack(counts).tocsr(), np.repeat(names, [len(one.indptr) - 1 for one in counts])


def fit_pca(fold: Fold, budget: Budget, dim: int = 128) -> Fitted:
    counts, _ = training_cells(fold, budget.seed, 6000)
    logged = log_shares(counts)
    spread = np.sqrt(np.asarray(logged.power(2).mean(0)).ravel() - np.asarray(logged.mean(0)).ravel() ** 2) + 0.05
    scale = sparse.diags((1 / spread).astype(np.float32))
    fitted = TruncatedSVD(dim, n_iter=3, random_state=budget.seed).fit(logged @ scale)
    return Fitted(
        lambda cells: fitted.transform(log_shares(cells.counts) @ scale).astype(np.float32),
        fitted.components_.size,
        len(spread),
        dim,
    )


def fit_scvi(fold: Fold, budget: Budget, *, n_latent: int = 30, n_genes: int = 2000, batch_size: int = 256) -> Fitted:
    import scvi  # type: ignore[import-untyped]
    from scvi.model import SCVI  # type: ignore[import-untyped]

    scvi.settings.seed = budget.seed
    scvi.settings.verbosity = logging.ERROR
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    counts, study = training_cells(fold, budget.seed, 6000)
    logged = log_shares(counts)
    variance = np.asarray(logged.power(2).mean(0)).ravel() - np.asarray(logged.mean(0)).ravel() ** 2
    chosen = np.sort(np.argsort(-variance, kind="stable")[:n_genes])

    def to_adata(matrix: sparse.csr_matrix, batch: np.ndarray) -> AnnData:
        x = sparse.csr_matrix(matrix[:, chosen], dtype=np.float32)
        x.data = np.round(x.data)
        x.eliminate_zeros()
        # A cell without counts among the chosen genes has no library size; one count keeps the logarithm finite.
        bare = np.flatnonzero(np.diff(x.indptr) == 0)
        if bare.size:
            x = x + sparse.csr_matrix((np.ones(bare.size, np.float32), (bare, np.zeros_like(bare))), shape=x.shape)
        obs = pd.DataFrame({"study": batch}, index=[str(i) for i in range(x.shape[0])])
        return AnnData(x.tocsr(), obs=obs, var=pd.DataFrame(index=pd.Index(fold.genes[chosen], dtype=str)))

    adata = to_adata(counts, study)
    SCVI.setup_anndata(adata, batch_key="study")
    # Only the decoder reads the study (scvi-tools' default), so that a cell of an unknown study can be encoded.
    model = SCVI(adata, n_latent=n_latent, n_layers=1, n_hidden=128, encode_covariates=False)
    epochs = max(1, round(budget.scvi_steps * batch_size / adata.n_obs))
    model.train(
        max_epochs=epochs,
        accelerator="cpu",
        batch_size=batch_size,
        train_size=1.0,
        plan_kwargs={"n_epochs_kl_warmup": max(1, epochs // 2)},
        enable_progress_bar=False,
        logger=False,
        max_time={"seconds": budget.scvi_seconds},
    )
    known = str(study[0])

    def embed(cells: Cells) -> np.ndarray:
        query = to_adata(cells.counts, np.full(cells.counts.shape[0], known))
        return np.asarray(model.get_latent_representation(query, batch_size=512), np.float32)

    return Fitted(embed, n_parameters(model.module.z_encoder), 0, n_latent)


CANDIDATES: dict[str, tuple[str, Callable[[Fold, Budget], Fitted]]] = {
    "compact": ("compact network, real + simulated cells", lambda f, b: fit_compact(f, b, f.profiles)),
    "compact-real": ("compact network, real cells only", lambda f, b: fit_compact(f, b, None)),
    "transformer": ("rank transformer, real + simulated cells", fit_transformer),
    "scvi": ("scVI latent, real + simulated cells", fit_scvi),
    "pca": ("PCA of log shares (baseline)", fit_pca),
}

# ---------------------------------------------------------------------- readout

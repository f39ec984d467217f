"""Training of the compact cell encoder: a classifier over Cell Ontology terms whose last but one layer is kept."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from recipes.bioverse_small.batches import AugmentConfig, Pool, draw
from recipes.bioverse_small.data import STUDIES, Profiles, Study
from recipes.bioverse_small.self_training import BLOOD, self_labels
from recipes.bioverse_small.simulate import SimulationConfig, simulate
from recipes.bioverse_small.terms import candidate_columns, within_matrix
from scbioverse.encoders.compact import CompactNet, GeneStats

logger = logging.getLogger("recipes.bioverse_small")


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that decides the encoder, apart from the data."""

    hidden: int = 256
    dim: int = 128
    n_blocks: int = 1
    dropout: float = 0.1
    target_sum: float = 1e4
    simulated_share: float = 0.5
    batch_size: int = 192
    steps: int = 1100
    self_training_from: int = 450
    self_training_weight: float = 0.25
    lr: float = 1e-3
    weight_decay: float = 1e-2
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    simulation: SimulationConfig = field(default_factory=SimulationConfig)


@dataclass
class TrainedEncoder:
    """The network, its statistics, and the classifier on top that only the benchmarks use.

    Attributes
    ----------
    prototypes
        (t, dim) unit rows, one a term.
    scale
        Logit per unit of cosine.
    """

    net: CompactNet
    stats: GeneStats
    terms: list[str]
    prototypes: Tensor
    scale: float


def build_pool(
    studies: list[Study], profiles: Profiles | None, config: EncoderConfig, rng: np.random.Generator
) -> tuple[Pool, list[str]]:
    """Join real and simulated cells; within a study a label counts by the square root of its cells."""
    terms = sorted({i for s in studies for i in s.cl_ids if i} | (set(profiles.cl_ids) if profiles else set()))
    index = {term: i for i, term in enumerate(terms)}
    counts, panels, source, term, weight = [], [], [], [], []
    real_share = 1 - config.simulated_share if profiles else 1.0
    total = sum(STUDIES[s.name] for s in studies)
    for k, study in enumerate(studies):
        rows = np.flatnonzero(study.cl_ids != "")
        ids = np.array([index[i] for i in study.cl_ids[rows]])
        share = 1 / np.sqrt(np.bincount(ids, minlength=len(terms))[ids])
        counts.append(study.counts[rows])
        panels.append(study.panel)
        source.append(np.full(len(rows), k))
        term.append(ids)
        weight.append(share / share.sum() * real_share * STUDIES[study.name] / total)
    if profiles:
        cells, origin = simulate(profiles, config.simulation, rng)
        unique, where = np.unique(np.packbits(profiles.panel, axis=1), axis=0, return_inverse=True)
        panels.extend(profiles.panel[np.flatnonzero(where == i)[0]] for i in range(len(unique)))
        ids = np.array([index[i] for i in profiles.cl_ids])[origin]
        # A term counts by its profiles, but no more than one that counts 1: of terms that only sources of little weight
        # have, not all terms alike.
        each = (profiles.weights / np.bincount(origin, minlength=len(profiles.weights)))[origin]
        held = np.bincount(ids, each, minlength=len(terms))
        share = each * (np.minimum(held, 1) / held.clip(1e-12))[ids]
        counts.append(cells)
        source.append(len(studies) + where.ravel()[origin])
        term.append(ids)
        weight.append(share / share.sum() * config.simulated_share)
    probability = np.concatenate(weight)
    return (
        Pool(
            sparse.vstack(counts).tocsr(),
            np.array(panels),
            np.concatenate(source),
            np.concatenate(term),
            probability / probability.sum(),
        ),
        terms,
    )


class Normaliser:
    """`panel-share-v1` on dense batches; the encoder's own sparse path is tested to give the same numbers."""

    def __init__(self, stats: GeneStats) -> None:
        self.mean, self.sd = torch.tensor(stats.mean), torch.tensor(stats.sd)
        self.profile = torch.tensor(stats.profile)
        self.target_sum, self.clip = stats.target_sum, stats.clip

    def log(self, counts: np.ndarray, panel: np.ndarray) -> Tensor:
        """Log of the scaled counts, (n, G)."""
        linear, measured = torch.as_tensor(counts), torch.as_tensor(panel)
        share = (measured * self.profile).sum(1, keepdim=True) / self.profile.sum()
        depth = linear.sum(1, keepdim=True).clamp(min=1e-6)
        return (linear * (self.target_sum * share / depth)).log1p_()

    def __call__(self, counts: np.ndarray, panel: np.ndarray) -> Tensor:
        """Clipped z-scores, (n, G), 0 outside the panel."""
        return self.log(counts, panel).sub_(self.mean).div_(self.sd).clamp_(*self.clip).mul_(torch.as_tensor(panel))


def gene_stats(
    pool: Pool, genes: np.ndarray, profile: np.ndarray, config: EncoderConfig, rng: np.random.Generator
) -> GeneStats:
    """Mean and standard deviation per gene over undisturbed draws from the pool."""
    n = len(genes)
    blank = GeneStats(list(genes), np.zeros(n, np.float32), np.ones(n, np.float32), profile, config.target_sum)
    normaliser = Normaliser(blank)
    still = AugmentConfig(0, 1, 0, 0, 0)
    total, squares, seen = torch.zeros(n), torch.zeros(n), torch.zeros(n)
    for _ in range(24):
        counts, panel, _ = draw(pool, 256, still, rng)
        x, measured = normaliser.log(counts, panel), torch.as_tensor(panel)
        total += (x * measured).sum(0)
        squares += (x * x * measured).sum(0)
        seen += measured.sum(0)
    mean = total / seen.clamp(min=1)
    sd = (squares / seen.clamp(min=1) - mean**2).clamp(min=0).sqrt()
    # The floor keeps a gene that is almost never seen from dominating when it is.
    return GeneStats(list(genes), mean.numpy(), (sd + 0.05).numpy(), profile, config.target_sum)


def term_loss(logits: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Negative log-probability that a cell is its term or something below it; terms above are left out of the choice.

    Parameters
    ----------
    logits
        (n, t).
    below, above
        (n, t) bool: terms that are the cell's own or lie below it, and terms that lie above it.
    """
    logits = logits.masked_fill(above, -1e4)
    return (logits.logsumexp(1) - logits.masked_fill(~below, -1e4).logsumexp(1)).mean()


def train_encoder(
    genes: np.ndarray,
    studies: list[Study],
    profiles: Profiles | None,
    config: EncoderConfig,
    seed: int,
    *,
    unlabelled: list[Study] | None = None,
) -> TrainedEncoder:
    """Train from scratch; the same seed gives the same weights on the same machine and thread count.

    From step `self_training_from` on, cells of `unlabelled` studies take part under the label that they and their
    neighbours get from the network so far (see :mod:`recipes.bioverse_small.self_training`).
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pool, terms = build_pool(studies, profiles, config, rng)
    mean_profile = profiles.mean() if profiles else np.asarray(pool.counts.mean(0)).ravel()
    stats = gene_stats(pool, genes, np.asarray(mean_profile, np.float32), config, rng)
    normaliser = Normaliser(stats)
    below = torch.tensor(within_matrix(terms))
    above = below.T & ~torch.eye(len(terms), dtype=torch.bool)
    # Added in training only: the network then learns how likely a cell is under a term, not how often the term came.
    prior = torch.tensor(np.bincount(pool.term, pool.probability, len(terms)), dtype=torch.float32).clamp(1e-6).log()

    net = CompactNet(len(genes), config.hidden, config.dim, config.n_blocks, config.dropout)
    net.first.weight.data.mul_(0.3)
    prototypes = torch.nn.Parameter(torch.randn(len(terms), config.dim) * 0.1)
    log_scale = torch.nn.Parameter(torch.tensor(2.5))
    parameters = [*net.parameters(), prototypes, log_scale]
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, config.steps, pct_start=0.1)
    net.train()
    started, running = time.perf_counter(), 0.0
    for step in range(config.steps):
        if unlabelled and step == config.self_training_from:
            net.eval()
            so_far = TrainedEncoder(
                net, stats, terms, F.normalize(prototypes.detach(), dim=1), float(log_scale.detach().exp())
            )
            pool = add_self_labelled(pool, so_far, unlabelled, config.self_training_weight)
            net.train()
        counts, panel, term = draw(pool, config.batch_size, config.augment, rng)
        target = torch.as_tensor(term)
        embedding = F.normalize(net(normaliser(counts, panel)), dim=1)
        logits = embedding @ F.normalize(prototypes, dim=1).T * log_scale.exp() + prior
        loss = term_loss(logits, below[target], above[target])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        running += (loss.item() - running) * (0.02 if step else 1)
        if (step + 1) % 200 == 0:
            logger.info("encoder step %d: loss %.3f, %.0f s", step + 1, running, time.perf_counter() - started)
    net.eval()
    return TrainedEncoder(net, stats, terms, F.normalize(prototypes.detach(), dim=1), float(log_scale.detach().exp()))


def embed_study(trained: TrainedEncoder, study: Study, rows: np.ndarray | None = None) -> np.ndarray:
    """Embed the cells of a study, (n, dim) float32."""
    normaliser = Normaliser(trained.stats)
    at = np.arange(study.counts.shape[0]) if rows is None else rows
    out = []
    with torch.inference_mode():
        for start in range(0, len(at), 512):
            counts = study.counts[at[start : start + 512]].toarray()
            panel = np.repeat(study.panel[None], len(counts), axis=0)
            out.append(trained.net(normaliser(counts, panel)).numpy())
    return np.concatenate(out)


def add_self_labelled(
    pool: Pool, trained: TrainedEncoder, studies: list[Study], weight: float, terms: list[str] | None = None
) -> Pool:
    """Join unlabelled cells under the labels the network gives them, as a share `weight` of the draws.

    `terms` are the pool's, where they are not those of the network.
    """
    place = {one: i for i, one in enumerate(terms or trained.terms)}
    counts, panels, source, term, probability = [pool.counts], [pool.panel], [pool.source], [pool.term], []
    for study in studies:
        rows, labels = self_labels(
            embed_study(trained, study), lambda e: head_scores(trained, e, list(BLOOD)), trained.terms
        )
        logger.info("%s: %d of %d cells labelled by the network itself", study.name, rows.size, study.counts.shape[0])
        share = 1 / np.sqrt(np.bincount(labels, minlength=len(trained.terms))[labels])
        counts.append(study.counts[rows])
        source.append(np.full(rows.size, sum(map(len, panels))))
        panels.append(study.panel[None])
        term.append(np.array([place[trained.terms[i]] for i in labels], dtype=np.int64))
        probability.append(share / share.sum() * weight / len(studies))
    return Pool(
        sparse.vstack(counts).tocsr(),
        np.concatenate(panels),
        np.concatenate(source),
        np.concatenate(term),
        np.concatenate([pool.probability * (1 - weight), *probability]),
    )


def head_scores(trained: TrainedEncoder, embedding: np.ndarray, candidates: list[str]) -> np.ndarray:
    """Scores of candidates by the training head alone, no language model: (n, c) float32."""
    unit = F.normalize(torch.as_tensor(embedding), dim=1)
    logits = unit @ trained.prototypes.T * trained.scale
    columns = candidate_columns(candidates, trained.terms)
    scores = [logits[:, at].amax(1) if at else torch.full((len(unit),), -1e3) for at in columns]
    return torch.stack(scores, 1).numpy()

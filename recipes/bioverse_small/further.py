"""A trained cell encoder learns the terms of more profiles, and keeps what it knows.

Trained from the beginning on profiles of the whole body, the encoder tells blood cells apart less well than without
them (`benchmarks/README.md`, "More of the body in training"). So it is trained without them first, and then goes on
with them for a few steps, during which it is also held to what it said before of the terms that it knows (learning
without forgetting, Li and Hoiem 2017).
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from recipes.bioverse_small.batches import Pool, draw
from recipes.bioverse_small.data import BROAD_PROFILES, Profiles, Study
from recipes.bioverse_small.encoder import (
    EncoderConfig,
    Normaliser,
    TrainedEncoder,
    add_self_labelled,
    build_pool,
    term_loss,
)
from recipes.bioverse_small.terms import within_matrix
from scbioverse.encoders.compact import CompactNet

logger = logging.getLogger("recipes.bioverse_small")
# Cells by which a new term begins.
FIRST_CELLS = 24


@dataclass(frozen=True)
class FurtherConfig:
    """How training goes on; what is not here is as in the first training."""

    profiles: tuple[tuple[str, float], ...] = tuple(BROAD_PROFILES.items())
    """How much the profiles of each file count."""
    steps: int = 500
    lr: float = 3e-4
    held: float = 0.5
    """How much the divergence from what was said before counts beside the loss."""
    average: float = 0.99
    """Decay of the moving average of the weights over steps, which is kept in their place."""


class Average:
    """Moving average of parameters over the steps of a training."""

    def __init__(self, parameters: list[torch.nn.Parameter], decay: float) -> None:
        self.parameters, self.decay, self.steps = parameters, decay, 0
        self.held = [one.detach().clone() for one in parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters after a step; the first steps weigh less than the decay alone would have it."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for held, one in zip(self.held, self.parameters, strict=True):
            held.lerp_(one, 1 - decay)

    @torch.no_grad()
    def put(self) -> None:
        """Put the average in the parameters' place."""
        for held, one in zip(self.held, self.parameters, strict=True):
            one.copy_(held)


class Before:
    """What an encoder says of the terms that it knows, for another one to be held to."""

    def __init__(self, trained: TrainedEncoder, terms: list[str]) -> None:
        shared = [i for i, term in enumerate(trained.terms) if term in terms]
        self.net = copy.deepcopy(trained.net).eval()
        self.prototypes, self.scale = trained.prototypes[shared], trained.scale
        self.columns = torch.tensor([terms.index(trained.terms[i]) for i in shared])
        self.known = torch.zeros(len(terms), dtype=torch.bool)
        self.known[self.columns] = True

    def divergence(self, z: Tensor, logits: Tensor, target: Tensor) -> Tensor:
        """Mean divergence (nats) of `logits` (n, t) from what was said of inputs `z`, over cells of known terms."""
        rows = self.known[target]
        if not rows.any():
            return logits.sum() * 0
        with torch.no_grad():
            said = F.normalize(self.net(z[rows]), dim=1) @ self.prototypes.T * self.scale
        new = logits[rows][:, self.columns].log_softmax(1)
        return F.kl_div(new, said.log_softmax(1), log_target=True, reduction="batchmean")


def first_prototypes(trained: TrainedEncoder, pool: Pool, terms: list[str]) -> Tensor:
    """Prototypes (t, dim) to begin with: those that there are, and for a new term the mean of some of its cells.

    A `ValueError` names new terms without cells: a mean of none is NaN, and with it the loss of every cell would be.
    """
    place, normaliser = {term: i for i, term in enumerate(trained.terms)}, Normaliser(trained.stats)
    held, rows = np.bincount(pool.term, minlength=len(terms)), []
    if empty := [term for term, n in zip(terms, held, strict=True) if term not in place and not n]:
        raise ValueError(f"no cells to learn {', '.join(empty)} from: leave these terms out, or simulate cells of them")
    with torch.no_grad():
        for i, term in enumerate(terms):
            if term in place:
                rows.append(trained.prototypes[place[term]])
                continue
            cells = np.flatnonzero(pool.term == i)[:FIRST_CELLS]
            z = normaliser(pool.counts[cells].toarray(), pool.panel[pool.source[cells]])
            rows.append(F.normalize(trained.net(z), dim=1).mean(dim=0))
    return F.normalize(torch.stack(rows), dim=1)


def with_dropout(net: CompactNet, share: float) -> CompactNet:
    """Return a copy to be trained, with so much dropout."""
    net = copy.deepcopy(net).requires_grad_(True)
    for one in net.modules():
        if isinstance(one, torch.nn.Dropout):
            one.p = share
    return net


def train_further(
    trained: TrainedEncoder,
    studies: list[Study],
    profiles: Profiles,
    encoder: EncoderConfig,
    config: FurtherConfig,
    seed: int,
    *,
    unlabelled: list[Study] | None = None,
) -> TrainedEncoder:
    """Go on with the training of an encoder on more profiles; its statistics of genes stay.

    Parameters
    ----------
    trained
        It must not have seen what this training is to do without.
    studies, profiles
        All of the data: those of the first training, and more.
    encoder
        The first training's.
    config
        Of this one.
    unlabelled
        Studies whose cells take part under the labels that `trained` gives them.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pool, terms = build_pool(studies, profiles, encoder, rng)
    prior = torch.tensor(np.bincount(pool.term, pool.probability, len(terms)), dtype=torch.float32).clamp(1e-6).log()
    prototypes = torch.nn.Parameter(first_prototypes(trained, pool, terms))
    if unlabelled:
        pool = add_self_labelled(pool, trained, unlabelled, encoder.self_training_weight, terms)
    normaliser, before = Normaliser(trained.stats), Before(trained, terms)
    below = torch.tensor(within_matrix(terms))
    above = below.T & ~torch.eye(len(terms), dtype=torch.bool)
    net = with_dropout(trained.net, encoder.dropout)
    log_scale = torch.nn.Parameter(torch.tensor(trained.scale, dtype=torch.float32).log())
    parameters = [*net.parameters(), prototypes, log_scale]
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=encoder.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, config.steps, pct_start=0.1)
    averaged = Average(parameters, config.average)
    net.train()
    for step in range(config.steps):
        counts, panel, term = draw(pool, encoder.batch_size, encoder.augment, rng)
        target, z = torch.as_tensor(term), normaliser(counts, panel)
        logits = F.normalize(net(z), dim=1) @ F.normalize(prototypes, dim=1).T * log_scale.exp()
        loss = term_loss(logits + prior, below[target], above[target])
        if config.held:
            loss = loss + config.held * before.divergence(z, logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        averaged.update()
        if (step + 1) % 100 == 0:
            logger.info("encoder, further step %d: loss %.3f", step + 1, loss.item())
    averaged.put()
    net.eval()
    return TrainedEncoder(
        net, trained.stats, terms, F.normalize(prototypes.detach(), dim=1), float(log_scale.detach().exp())
    )

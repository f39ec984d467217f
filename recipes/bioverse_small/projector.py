"""Stage 1 of the shipped checkpoint: the projector learns to speak to the frozen language model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from recipes.bioverse_small.batches import AugmentConfig, Pool, draw
from recipes.bioverse_small.cuts import CutConfig, CutSampler
from recipes.bioverse_small.encoder import Normaliser, TrainedEncoder
from recipes.bioverse_small.varied_cards import varied_card
from scbioverse.knowledge.ontology import load_ontology
from scbioverse.knowledge.phrases import general_texts
from scbioverse.llm.prompts import PromptTemplate
from scbioverse.models import BioVerse, load
from scbioverse.train import AutoregressiveTask, Batch, ContrastiveTask, fit

logger = logging.getLogger("recipes.bioverse_small")


# Three lines of copying are enough for the language model to go on copying, and are few enough to be read fast.
TEMPLATE = PromptTemplate(
    examples=("wooden garden chair", "CD4 music player", "large blue bus"),
    after="",
)


@dataclass(frozen=True)
class ProjectorConfig:
    """Everything that decides the projector, apart from encoder and data."""

    template: PromptTemplate = TEMPLATE
    names: str = "spoken"
    n_soft: int = 2
    bank: int = 40_000
    cards_per_term: int = 2
    other_cards: int = 400
    steps: int = 150
    batch_size: int = 64
    lr: float = 3e-3
    contrastive_steps: int = 1500
    contrastive_lr: float = 1e-3
    space: str | None = None
    """Model whose space of texts is taken over, so that what it knows of molecules and proteins stays readable beside
    new cells; None: one is fitted anew."""
    text_layer: int | None = None
    text_shrinkage: float = 0.5
    cuts: CutConfig = field(default_factory=CutConfig)


def embedding_bank(
    trained: TrainedEncoder, pool: Pool, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Embed augmented draws from the pool, evenly over terms: (size, dim) float32 and (size,) int terms."""
    frequency = np.bincount(pool.term, pool.probability, len(trained.terms))
    weight = pool.probability / frequency[pool.term]
    even = Pool(pool.counts, pool.panel, pool.source, pool.term, weight / weight.sum())
    normaliser = Normaliser(trained.stats)
    mild = AugmentConfig(panel_probability=0.2)
    vectors, terms = [], []
    with torch.inference_mode():
        for _ in range(0, size, 256):
            counts, panel, term = draw(even, 256, mild, rng)
            vectors.append(trained.net(normaliser(counts, panel)).numpy())
            terms.append(term)
    return np.concatenate(vectors), np.concatenate(terms)


class CardSampler(CutSampler):
    """Adds a description of each cell's type to the batch."""

    cards: dict[int, list[str]]

    def describe(self, per_term: int, rng: np.random.Generator) -> list[str]:
        """Write the cards and return all of them."""
        self.cards = {i: [varied_card(node, rng) for _ in range(per_term)] for i, node in enumerate(self.nodes)}
        return [card for cards in self.cards.values() for card in cards]

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch with `cards` beside the names."""
        batch: Any = super().__call__(rng)
        batch["cards"] = [self.cards[i][rng.integers(len(self.cards[i]))] for i in batch["groups"]]
        return batch


class CodesTask(AutoregressiveTask):
    """The autoregressive loss for what is said: codes and marker tokens learn, the attention stays.

    Which type a cell is was learned with the encoder, from far more cells than can be sent through the language model.
    """

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Codes of the projector, and tokens."""
        pairs = super().named_parameters()
        return ((name, one) for name, one in pairs if name.endswith(".codes") or name.startswith("tokens."))


class SpaceTask(ContrastiveTask):
    """Fits the map from soft tokens to the text space, and leaves the soft tokens to the language model."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Layer into the shared space."""
        return ((name, one) for name, one in super().named_parameters() if name.startswith("shared."))


def train_space(model: BioVerse, sampler: CardSampler, cards: list[str], config: ProjectorConfig, seed: int) -> Any:
    """Learn where the soft tokens lie among texts; returns the history."""
    general, held = general_texts(), None if config.space is None else load(config.space)
    if held is None or held.text_space is None or held.config.text_space is None:
        rng = np.random.default_rng(seed)
        others = rng.choice(sorted(set(load_ontology()) - set(sampler.nodes)), config.other_cards, replace=False)
        model.space.fit(
            [*cards, *(varied_card(node, rng) for node in others), *general],
            layer=config.text_layer,
            shrinkage=config.text_shrinkage,
        )
    else:
        model.space.set(held.text_space, held.config.text_space)
    space = SpaceTask(model, negatives=general)
    space.prepare(cards)
    history = fit(space, sampler, steps=config.contrastive_steps, lr=config.contrastive_lr, seed=seed + 1)
    logger.info("contrastive recall %.3f", history["recall"].tail(50).mean())
    return history


def train_projector(
    model: BioVerse,
    embeddings: np.ndarray,
    term: np.ndarray,
    terms: list[str],
    config: ProjectorConfig,
    seed: int,
    *,
    codes: bool = True,
    every: int = 0,
    callback: Callable[[int], dict[str, float] | None] | None = None,
) -> pd.DataFrame:
    """Learn how to say types to the language model, then where that lies among texts; returns the history.

    Without `codes` the first is left out.
    """
    rng = np.random.default_rng(seed)
    sampler = CardSampler(model, embeddings, term, terms, batch_size=config.batch_size, config=config.cuts)
    cards = sampler.describe(config.cards_per_term, rng)
    stages = []
    if codes:
        held = fit(
            CodesTask(model), sampler, steps=config.steps, lr=config.lr, seed=seed, every=every, callback=callback
        )
        logger.info("restricted loss %.3f", held["restricted"].tail(50).mean())
        stages.append(held.assign(stage="autoregressive"))
    stages.append(train_space(model, sampler, cards, config, seed).assign(stage="contrastive"))
    return pd.concat(stages, ignore_index=True)

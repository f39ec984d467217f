"""The language model is taught to read what the projector's attention says, in full: distillation.

The attention of the cell projector is a classifier over the terms it was trained on. Whoever reads the soft tokens that
it mixes should find in them not the likeliest term alone, but how likely each name of any candidate set is, also where
none of them is what the cell resembles most. Training cells are nearly always certain; cells of other studies are not.
So lessons are cells blurred, mixed with others, and asked about names that do not fit them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch

from recipes.bioverse_small.cuts import CutConfig, CutSampler
from scbioverse.models import BioVerse
from scbioverse.models.score import best_of_columns
from scbioverse.nn import PrototypeProjector
from scbioverse.train import Batch


@dataclass(frozen=True)
class TeachingConfig:
    """How lessons are drawn.

    Attributes
    ----------
    whole
        Share of cells that stay themselves; the others are mixed with a further cell of the candidates.
    least
        Weight of a mixed cell in its mixture, from this to 1.
    foreign
        Share of rows that are any cell, whatever the candidates are.
    noise
        Standard deviation of what is added to an entry of a unit vector, from none to this.
    """

    whole: float = 0.5
    least: float = 0.4
    foreign: float = 0.2
    noise: float = 0.02
    cuts: CutConfig = field(default_factory=lambda: CutConfig(min_size=4, max_size=24, broadest=40))


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


class TaughtSampler(CutSampler):
    """Draws cells with how likely the projector's attention finds each candidate, and an answer drawn by that."""

    def __init__(
        self,
        model: BioVerse,
        embeddings: np.ndarray,
        term: np.ndarray,
        terms: list[str],
        *,
        batch_size: int,
        config: TeachingConfig,
    ) -> None:
        super().__init__(model, unit(embeddings), term, terms, batch_size=batch_size, config=config.cuts)
        self.teaching = config

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch with `candidates` and `shares`."""
        return self.drawn(rng)[0]

    def drawn(self, rng: np.random.Generator) -> tuple[Batch, list[int]]:
        """Draw one batch, and the nodes that its candidates are."""
        nodes, names, candidates = self.named_cut(rng)
        x = self.lessons(nodes, rng)
        shares = self.teach(x, nodes)
        # By inversion: one uniform number a row.
        drawn = (shares.cumsum(axis=1) < rng.random((len(x), 1))).sum(axis=1).clip(max=len(names) - 1)
        batch = Batch(
            embeddings=x[:, None],
            texts=[names[i] for i in drawn],
            groups=np.array([nodes[i] for i in drawn]),
            candidates=candidates,
            shares=shares,
        )
        return batch, nodes

    def lessons(self, nodes: list[int], rng: np.random.Generator) -> np.ndarray:
        """Draw embeddings, float32 (batch, dim)."""
        n, config = self.batch_size, self.teaching
        first, second = (self.embeddings[self.cells_of(nodes, n, rng)[1]] for _ in range(2))
        weight = np.where(rng.random(n) < config.whole, 1.0, rng.uniform(config.least, 1.0, n))[:, None]
        x = weight * first + (1 - weight) * second
        foreign = np.flatnonzero(rng.random(n) < config.foreign)
        x[foreign] = self.embeddings[rng.integers(len(self.embeddings), size=foreign.size)]
        blur = rng.standard_normal(x.shape) * config.noise * rng.random((n, 1))
        return (unit(x) + blur).astype(np.float32)

    def columns(self, nodes: list[int]) -> tuple[list[list[int]], list[list[int]] | None]:
        """Which prototypes count for each node, and which are nearest of kin to those for which none does."""
        return [self._terms_of[node] for node in nodes], None

    @torch.no_grad()
    def teach(self, x: np.ndarray, nodes: list[int]) -> np.ndarray:
        """How likely the attention finds each node, float64 (batch, m); rows add up to 1."""
        projector, ready = self.model.ready(x, "cell")
        projector = cast("PrototypeProjector", projector)
        was = projector.training
        projector.eval()
        logits = projector.logits(ready).cpu().numpy()
        projector.train(was)
        found = best_of_columns(logits, *self.columns(nodes))
        if found is None:
            raise RuntimeError("a cut of fewer than two nodes")
        return np.exp(found)

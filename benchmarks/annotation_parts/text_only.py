"""The same language model without an encoder: it reads a cell's highest genes as words (as Cell2Sentence does).

Genes are ranked by how far they are above what is usual for them, as Geneformer ranks them: the highest counts of
nearly every cell are those of the same ribosomal and mitochondrial genes. The language model is adapted by LoRA on the
cells, candidate sets and restricted loss that the projector's autoregressive stage has, and is scored by the same tree
of labels. What differs is what it reads.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from benchmarks.annotation_parts.measures import Meter, Row, cost, measures
from benchmarks.annotation_parts.posing import Test
from recipes.bioverse_small.batches import AugmentConfig, Pool, draw
from recipes.bioverse_small.cuts import CutConfig, CutSampler
from recipes.bioverse_small.projector import ProjectorConfig
from scbioverse.llm.adapter import AdapterConfig, trained_adapter, training_twin
from scbioverse.llm.backbone import Backbone
from scbioverse.llm.prefix import PrefixCache
from scbioverse.llm.score import LabelTrie, score_labels
from scbioverse.models import BioVerse
from scbioverse.train.autoregressive import restricted_loss
from scbioverse.train.loop import learning_rate

BEFORE, AFTER = "The genes", " mean"
N_GENES = 30
BATCH = 16
PEAK_RATE = 1e-3


@dataclass(frozen=True)
class TextConfig:
    """Budget of the text-only model: it stops at whichever comes first.

    Attributes
    ----------
    tokens
        Tokens to read in training.
    seconds
        Time to train.
    cells
        Different training cells.
    """

    tokens: int
    seconds: float
    cells: int = 6000


@dataclass
class TextReader:
    """An adapted language model, what is usual for the genes that it reads, and what its training came to."""

    backbone: Backbone
    genes: list[str]
    usual: np.ndarray
    training: dict[str, float]


def token_budget(model: BioVerse, names: list[str]) -> int:
    """Tokens that were read to train what `score` reads: what stands behind the cached beginning, and answers.

    Those of the projector's autoregressive stage and of the codes of answers.
    """
    training = model.config.training or {}
    held = training.get("projector") or {}
    rows = int(held.get("steps", ProjectorConfig.steps)) * int(held.get("batch_size", ProjectorConfig.batch_size))
    if codes := training.get("answers"):
        rows += int(codes["steps"]) * int(codes["batch_size"])
    answer = float(np.mean([len(model.reader.answer_ids(one)) - 1 for one in names]))
    return round(rows * (len(model.reader.prompt("cell").head) + answer))


def usual_share(counts: sparse.csr_matrix) -> np.ndarray:
    """Mean share that a gene has of a cell's counts where it has any, float64 (G,); infinite for genes never seen."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-12)
    shares = sparse.diags(1 / depth) @ counts
    seen = np.bincount(counts.nonzero()[1], minlength=counts.shape[1])
    total = np.asarray(shares.sum(axis=0)).ravel()
    return np.where(seen > 0, total / np.maximum(seen, 1), np.inf)


def top_genes(counts: np.ndarray, usual: np.ndarray, n: int = N_GENES) -> list[np.ndarray]:
    """Columns of the n highest counts of each row over what is `usual`, falling, ties in column order, zeros out."""
    above = counts / usual
    order = np.argsort(-above, axis=1, kind="stable")[:, :n]
    return [one[above[i, one] > 0] for i, one in enumerate(order)]


class _Words:
    """Token ids of prompts."""

    def __init__(self, backbone: Backbone, genes: list[str]) -> None:
        self.backbone, self.genes = backbone, genes
        self.before = [*backbone.bos_ids, *backbone.encode(BEFORE, allow_special=False)]
        self.after = backbone.encode(AFTER, allow_special=False)
        self._known: dict[int, list[int]] = {}

    def suffix(self, chosen: np.ndarray) -> list[int]:
        """Genes and the words behind them."""
        for at in chosen:
            if at not in self._known:
                self._known[at] = self.backbone.encode(" " + self.genes[at], allow_special=False)
        return [token for at in chosen for token in self._known[at]] + self.after


def _padded(backbone: Backbone, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, ids))
    table = torch.zeros(len(ids), width, dtype=torch.long)
    mask = torch.zeros(len(ids), width, dtype=torch.long)
    for i, one in enumerate(ids):
        table[i, : len(one)] = torch.tensor(one)
        mask[i, : len(one)] = 1
    return backbone.embed_tokens(table), mask


def train_text(
    model: BioVerse, genes: list[str], pool: Pool, terms: list[str], config: TextConfig, seed: int
) -> TextReader:
    """Adapt the model's language model to read genes.

    Cells are drawn evenly over terms with mild augmentation, as for the projector.
    """
    started = time.perf_counter()
    rng = np.random.default_rng(seed)
    frequency = np.bincount(pool.term, pool.probability, len(terms))
    weight = pool.probability / frequency[pool.term]
    usual = usual_share(pool.counts)
    even = Pool(pool.counts, pool.panel, pool.source, pool.term, weight / weight.sum())
    chosen: list[np.ndarray] = []
    drawn = []
    for _ in range(0, config.cells, 250):
        counts, _, term = draw(even, 250, AugmentConfig(panel_probability=0.2), rng)
        chosen += top_genes(counts, usual)
        drawn.append(term)
    # The sampler of the projector draws row numbers here in place of embeddings, without noise.
    rows = np.arange(len(chosen), dtype=np.float32)[:, None]
    sampler = CutSampler(model, rows, np.concatenate(drawn), terms, batch_size=BATCH, config=CutConfig(noise=0.0))
    shape = AdapterConfig()
    twin, params = training_twin(model.backbone, shape, seed=seed)
    if twin.device.type == "cpu":
        # There the gradient of the fused attention takes longer than the plain one's.
        twin.model.set_attn_implementation("eager")
    words = _Words(twin, genes)
    optimiser = torch.optim.AdamW(params.values(), lr=PEAK_RATE, weight_decay=0.0)
    read, seen = 0, 0
    losses: list[float] = []
    guesses: list[float] = []
    began = time.perf_counter()
    while True:
        done = max(read / config.tokens, (time.perf_counter() - began) / config.seconds)
        if done >= 1 and losses:
            break
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(round(done * 1000), steps=1000, peak=PEAK_RATE, warmup=50)
        batch = sampler(rng)
        candidates, texts = batch["candidates"], batch["texts"]
        picked = batch["embeddings"][:, 0, 0].astype(int)
        prompts = [words.before + words.suffix(chosen[i]) for i in picked]
        answers = [
            model.reader.answer_ids(text)[:length] for text, length in zip(texts, candidates.needed(texts), strict=True)
        ]
        ids = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        embeds, mask = _padded(twin, ids)
        with torch.autocast(twin.device.type, torch.bfloat16):
            hidden, _ = twin.hidden(embeds, mask)
        wanted = candidates.targets(texts)
        loss, _ = restricted_loss(twin, wanted, hidden, [len(one) for one in prompts])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        read += int(mask.sum())
        seen += len(texts)
        losses.append(loss.item())
        guesses.append(float(np.log(len(candidates.names))))
    training = {
        "tokens": read,
        "token_budget": config.tokens,
        "examples": seen,
        "seconds": round(time.perf_counter() - began, 1),
        "preparation_seconds": round(began - started, 1),
        "first_loss": round(float(np.mean(losses[:5])), 3),
        "last_loss": round(float(np.mean(losses[-20:])), 3),
        "guess_loss": round(float(np.mean(guesses[-20:])), 3),
    }
    return TextReader(trained_adapter(shape, params).merged_into(model.backbone), genes, usual, training)


@torch.inference_mode()
def text_row(reader: TextReader, model: BioVerse, test: Test, names: list[str], max_cells: int, seed: int) -> Row:
    """Score a test's cells by their genes; a seeded sub-sample of at most `max_cells`."""
    n = len(test.truth)
    rows = np.sort(np.random.default_rng(seed).choice(n, max_cells, replace=False)) if n > max_cells else np.arange(n)
    words = _Words(reader.backbone, reader.genes)
    prefix = PrefixCache(reader.backbone, reader.backbone.embed_tokens(torch.tensor(words.before)))
    trie = LabelTrie([model.reader.answer_ids(name) for name in names])
    with Meter() as meter:
        chosen = top_genes(test.study.counts[rows].toarray(), reader.usual)
        ids = [words.suffix(one) for one in chosen]
        order = np.argsort([len(one) for one in ids], kind="stable")
        values = np.empty((len(rows), len(names)), np.float32)
        for start in range(0, len(rows), 32):
            at = order[start : start + 32]
            embeds, mask = _padded(reader.backbone, [ids[i] for i in at])
            values[at] = score_labels(reader.backbone, prefix, embeds, trie, attention_mask=mask, batch_size=32)
    row = measures(values.argmax(1), test.truth[rows], test.candidates, values)
    return row | cost(len(rows), meter.seconds, meter) | {"cells": len(rows)}

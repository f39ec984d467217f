"""Train the adapter that reads questions: `python -m recipes.questions.make FOLDER [--pairs N] [--begin ADAPTER]`.

Pairs of a question and the line of its query are drawn (:mod:`recipes.questions.pairs`), and a low-rank adapter of the
upper blocks of SmolLM2-135M learns to write the lines. Only the tokens of the line are trained, among the tokens that
lines are made of. 12,000 pairs take about six minutes of process time on one core, after one for drawing them. With
`--begin` an adapter is trained on.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, linear

from recipes.questions.pairs import Pair, pairs, schemas
from scbioverse._device import autocast
from scbioverse.ask.linear import symbols
from scbioverse.ask.model_reader import prompt_ids, symbol_ids
from scbioverse.ask.slots import KINDS
from scbioverse.llm import Backbone
from scbioverse.llm.adapter import Adapter, AdapterConfig, trained_adapter, training_twin
from scbioverse.llm.score import head_rows
from scbioverse.train.loop import learning_rate

logger = logging.getLogger("recipes.questions")
LLM = "smollm2-135m-instruct"


# The upper third of SmolLM2's thirty blocks: gradients stop below, and the adapter has 1.6 MB in half precision.
_PARTS = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
_UPPER = tuple(f"layers.{i}.{part}_proj" for i in range(20, 30) for part in _PARTS)


@dataclass(frozen=True)
class ReadingConfig:
    """Everything that decides how the adapter is trained, apart from pairs and seed."""

    adapter: AdapterConfig = field(default_factory=lambda: AdapterConfig(rank=8, targets=_UPPER))
    batch_tokens: int = 640
    lr: float = 1.5e-3
    weight_decay: float = 0.01


def encoded(backbone: Backbone, pair: Pair) -> tuple[list[int], list[int]]:
    """Token ids of what is read and of what is to be written."""
    opening = [*backbone.bos_ids, *backbone.encode("\n", allow_special=False)]
    line = [token for symbol in [*pair.line.split(), ""] for token in symbol_ids(backbone, symbol)]
    return [*opening, *prompt_ids(backbone, pair.text)], line


def train(
    backbone: Backbone, drawn: list[Pair], config: ReadingConfig, seed: int, folder: Path | None = None,
    start: Adapter | None = None,
) -> Adapter:  # fmt: skip
    """Train an adapter on pairs, each seen once, from `start` on; what there is so far is saved in `folder`."""
    twin, params = training_twin(backbone, config.adapter, start=start, seed=seed)
    _quickened(twin)
    rows = [encoded(backbone, one) for one in drawn]
    batches = _batches(rows, config.batch_tokens, np.random.default_rng(seed))
    optimizer = torch.optim.AdamW(params.values(), lr=config.lr, weight_decay=config.weight_decay)
    begun, seen, lately = time.process_time(), 0, []
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps=len(batches), peak=config.lr, warmup=20)
        with autocast(backbone.device, torch.bfloat16):  # half as long again in single precision
            loss = loss_of(twin, [rows[i] for i in batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
        seen += sum(len(part) for i in batch for part in rows[i])
        lately.append(float(loss.detach()))
        if step % 20 == 19:
            speed = seen / (time.process_time() - begun)
            logger.info("step %d of %d: loss %.3f, %.0f tokens/s", step + 1, len(batches), np.mean(lately[-20:]), speed)
            if folder is not None:
                trained_adapter(config.adapter, params).save(folder, llm=LLM, dtype=torch.float16)
    return trained_adapter(config.adapter, params)


def _quickened(twin: Backbone) -> None:
    """Cast frozen weights once and not at each step, and attend without blocks: half as many tokens again a second."""
    twin.model.config._attn_implementation = "eager"
    for module in twin.model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if not weight.requires_grad:
                setattr(module, name, torch.nn.Parameter(weight.to(torch.bfloat16), requires_grad=False))


def _batches(rows: list[tuple[list[int], list[int]]], most: int, rng: np.random.Generator) -> list[list[int]]:
    """Put rows of about the same length together, in a random order of batches."""
    length = [len(one) + len(other) for one, other in rows]
    order = sorted(rng.permutation(len(rows)), key=lambda i: length[i])
    batches: list[list[int]] = [[]]
    for i in order:
        if batches[-1] and (len(batches[-1]) + 1) * length[i] > most:
            batches.append([])
        batches[-1].append(int(i))
    return [batches[i] for i in rng.permutation(len(batches))]


@cache
def _known(backbone: Backbone) -> tuple[int, ...]:
    """Tokens that lines are made of."""
    held = [f"{kind}{i}" for kind in dict.fromkeys(KINDS.values()) for i in range(1, 10)]
    return tuple(sorted({token for one in ["", *symbols(), *held] for token in symbol_ids(backbone, one)}))


def loss_of(backbone: Backbone, rows: list[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Mean negative log-probability of a token of the lines, among the tokens that lines are made of."""
    width = max(len(read) + len(line) for read, line in rows) - 1
    ids, mask = torch.zeros(2, len(rows), width, dtype=torch.long)
    at, wanted = [], []
    for i, (read, line) in enumerate(rows):
        whole = [*read, *line][:-1]
        ids[i, : len(whole)], mask[i, : len(whole)] = torch.tensor(whole), 1
        at += [(i, len(read) - 1 + j) for j in range(len(line))]
        wanted += line
    hidden, _ = backbone.hidden(backbone.embed_tokens(ids), mask)
    known = _known(backbone)
    which, where = torch.tensor(at).T
    place = {token: i for i, token in enumerate(known)}
    weight, bias = head_rows(backbone, known)
    logits = backbone.head.finish(linear(hidden[which, where].float(), weight, bias))
    return cross_entropy(logits, torch.tensor([place[one] for one in wanted]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--begin", type=Path, help="folder of an adapter that is trained on")
    parser.add_argument("--lr", type=float, default=ReadingConfig.lr, help="learning rate at its peak")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(args.seed)
    drawn = pairs(args.pairs, args.seed, schemas(args.seed))
    logger.info("%d pairs, for example %s", len(drawn), json.dumps([(one.text, one.line) for one in drawn[:3]]))
    backbone = Backbone.load(LLM, dtype="float32", device="cpu")
    start = Adapter.load(args.begin) if args.begin is not None else None
    adapter = train(backbone, drawn, ReadingConfig(lr=args.lr), args.seed, args.folder, start)
    adapter.save(args.folder, llm=LLM, dtype=torch.float16)


if __name__ == "__main__":
    main()

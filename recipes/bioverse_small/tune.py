"""Stage 2 of the shipped checkpoint: `python -m recipes.bioverse_small.tune --minutes 8`.

Reads an aligned checkpoint, trains an adapter on questions and answers from facts, measures `score` on cells of the
training studies that no example speaks of, before and after, and refuses to write a model that got worse. If the full
adapter costs accuracy, weaker versions of it (its change scaled down) are tried first.

In the checkpoint the adapter is for what the model writes (`BioVerseConfig.adapter_scores` is False): temperatures and
weights of `score` were fitted on models that had none.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from recipes.bioverse_small import data
from recipes.bioverse_small.instructions import Held, LessonConfig, make_lessons
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.knowledge.phrases import answer_name
from scbioverse.llm.adapter import Adapter, AdapterConfig
from scbioverse.models import BioVerse, load
from scbioverse.train import fit
from scbioverse.train.instructions import InstructionSampler, InstructionTask, Lessons

logger = logging.getLogger("recipes.bioverse_small")
TARGET = Path(__file__).parents[2] / "src/scbioverse/models/weights/bioverse-small"
# By so much the mean accuracy over studies may fall; more, and nothing is written.
MARGIN = 0.005
STRENGTHS = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class TuneConfig:
    """Everything that decides the adapter, apart from model and data."""

    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    lessons: LessonConfig = field(default_factory=LessonConfig)
    steps: int = 150
    batch_size: int = 12
    lr: float = 5e-4
    # The label prompt is what `score` reads; reasons are what `annotate` and `ask` need most.
    weights: dict[str, float] = field(
        default_factory=lambda: {"label": 8.0, "reason": 4.0, "markers": 2.0, "identity": 2.0, "compare": 2.0}
    )
    train_projector: bool = False


def accuracies(model: BioVerse, held: list[Held]) -> dict[str, float]:
    """Accuracy of `score` on each study's held-back cells, the study's labels as candidates, and their mean."""
    out = {}
    for one in held:
        if len(one.candidates) < 2 or not len(one.truth):
            continue
        names = [answer_name(cl_id, model.config.names) for cl_id in one.candidates]
        scores = model.score(one.embeddings, names, progress=False, calibrated=False)
        out[one.study] = round(float((scores.argmax(axis=1) == one.truth).mean()), 4)
    out["mean"] = round(float(np.mean(list(out.values()))), 4)
    return out


def scaled(adapter: Adapter, factor: float) -> Adapter:
    """Return the adapter with all its changes multiplied by `factor`, on one side: the product is what is scaled."""
    return Adapter(adapter.config, {k: v * factor if ".lora_B." in k else v for k, v in adapter.tensors.items()})


def steps_for(task: InstructionTask, sampler: InstructionSampler, minutes: float, most: int) -> int:
    """Optimiser steps that fit into some minutes on this machine, by timing two gradients."""
    task.train(True)
    seconds = []
    for number in range(3):
        batch = sampler(np.random.default_rng([9, number]))
        tick = time.perf_counter()
        task(batch)["loss"].backward()
        seconds.append(time.perf_counter() - tick)
    task.train(False)
    for _, param in task.named_parameters():
        param.grad = None
    # The first one also warms caches up.
    return int(min(most, max(10, 60 * minutes / np.mean(seconds[1:]))))


def tune(
    model: BioVerse, lessons: Lessons, held: list[Held], config: TuneConfig, seed: int, *, minutes: float | None = None
) -> tuple[BioVerse | None, dict[str, object], pd.DataFrame]:
    """Train the adapter and judge it.

    Returns
    -------
    The tuned model, None if every strength of the adapter got worse; the figures; the training history.
    """
    before = accuracies(model, held)
    tuned = model.copy()
    tuned.config.adapter_scores = True  # judged by what `score` reads with it
    task = InstructionTask(
        tuned, lessons, config.adapter, train_projector=config.train_projector, start=model.adapter, seed=seed
    )
    sampler = InstructionSampler(lessons, weights=config.weights, batch_size=config.batch_size)
    steps = config.steps if minutes is None else steps_for(task, sampler, minutes, config.steps)
    tick = time.perf_counter()
    history = fit(task, sampler, steps=steps, lr=config.lr, seed=seed)
    figures: dict[str, object] = {
        "before": before,
        "steps": steps,
        "examples_per_minute": round(60 * steps * config.batch_size / (time.perf_counter() - tick), 1),
        "loss_first": round(float(history["loss"].head(10).mean()), 4),
        "loss_last": round(float(history["loss"].tail(10).mean()), 4),
        "questions": dict(sorted(Counter(one.task for one in lessons.examples).items())),
    }
    adapter = task.adapter()
    for strength in STRENGTHS:
        tuned.set_adapter(scaled(adapter, strength))
        after = accuracies(tuned, held)
        figures[f"after, strength {strength:g}"] = after
        logger.info("strength %g: mean accuracy %.4f, before %.4f", strength, after["mean"], before["mean"])
        if after["mean"] >= before["mean"] - MARGIN:
            figures["strength"] = strength
            return tuned, figures, history
    return None, figures, history


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TARGET, help="aligned checkpoint to begin with")
    parser.add_argument("--target", type=Path, default=TARGET, help="where to write the tuned one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=8.0, help="of training; the steps are fitted to it")
    parser.add_argument("--steps", type=int, default=400, help="at most")
    parser.add_argument("--studies", nargs="*", default=list(data.STUDIES), help="training studies to use")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    barred = set(args.studies) - set(data.STUDIES)
    if barred:
        parser.error(f"only training studies may train a checkpoint, not {sorted(barred)}")
    model = load(args.model)
    encoder = model.encoders["cell"]
    if not isinstance(encoder, CompactCellEncoder):
        parser.error(f"{args.model} holds a {type(encoder).__name__}, not the compact encoder")
    genes = np.array(encoder.stats.genes, dtype=object)
    config = TuneConfig(steps=args.steps)
    studies = [data.load_study(name, genes) for name in args.studies]
    lessons, held = make_lessons(encoder, studies, genes, config.lessons, args.seed, model.config.names)
    tuned, figures, _ = tune(model, lessons, held, config, args.seed, minutes=args.minutes)
    logger.info("%s", json.dumps(figures, indent=1))
    if tuned is None:
        raise SystemExit("not written: the adapter costs more accuracy than allowed, at every strength")
    tuned.config.training = {
        **tuned.config.training,
        "stage 2": {
            "command": f"python -m recipes.bioverse_small.tune --seed {args.seed}",
            **asdict(config),
            **figures,
        },
    }
    tuned.config.adapter_scores = False
    tuned.save(args.target, overwrite=True, dtype="float16")


if __name__ == "__main__":
    main()

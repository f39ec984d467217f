"""One adapter for all modalities, or one for each: `python -m benchmarks.adapters`.

Lessons about cells (soft tokens and measured evidence in, answers out) and about molecules (notes in, captions out) are
learned by adapters of one shape: each modality by one of its own, both by one that they share, for which each has about
as many steps as alone. What counts is the loss on lessons held back, in nats a token. The language model without an
adapter and each adapter on the other modality's lessons stand beside.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from recipes.bioverse_small import data
from recipes.bioverse_small.instructions import LessonConfig, make_lessons
from recipes.bioverse_small.molecules import pairs
from recipes.bioverse_small.tune import TuneConfig
from recipes.bioverse_small.writing import CaptionTask, WritingConfig, lessons_of
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse, load
from scbioverse.nn import Composer
from scbioverse.train import Batch, MixedTask, fit
from scbioverse.train.instructions import InstructionSampler, InstructionTask, Lessons
from scbioverse.train.tasks import Sampler

RESULTS = Path(__file__).parent / "results" / "adapters.json"
MODALITIES = ("cell", "molecule")
# A lesson in this many is held back; molecules by their own split.
HELD = 10


def split(lessons: Lessons) -> tuple[Lessons, Lessons]:
    """Part lessons into those that train and those held back, by what they speak of: no source is in both."""
    sources = sorted({one.source for one in lessons.examples})
    back = set(sources[::HELD])
    parts = [[one for one in lessons.examples if (one.source in back) == held] for held in (False, True)]
    return Lessons(parts[0], lessons.embeddings), Lessons(parts[1], lessons.embeddings)


def cell_lessons(model: BioVerse, seed: int) -> tuple[Lessons, Lessons]:
    """Lessons that the shipped adapter learns."""
    encoder = model.encoders["cell"]
    if not isinstance(encoder, CompactCellEncoder):
        raise TypeError(f"{model.name} holds a {type(encoder).__name__}, not the compact encoder")
    genes = np.array(encoder.stats.genes, dtype=object)
    studies = [data.load_study(name, genes) for name in data.STUDIES]
    return split(make_lessons(encoder, studies, genes, LessonConfig(), seed, model.config.names)[0])


def molecule_lessons() -> tuple[Lessons, Lessons]:
    """Make lessons of the training split's captions, and of those that are put aside for development."""
    config = WritingConfig()
    return lessons_of(pairs("train"), config), lessons_of(pairs("dev"), config)


def with_one_adapter(tasks: list[InstructionTask]) -> MixedTask:
    """Have all tasks train the adapter of the first; a batch says whose `part` it is."""
    first, *others = tasks
    for one in others:
        one.backbone, one.params = first.backbone, first.params
        one.composer = Composer(one.backbone.embed_tokens, one.model.tokens)
    return MixedTask([(one, 1.0) for one in tasks])


def in_turns(samplers: list[InstructionSampler]) -> Sampler:
    """Draw the modality of each step by lot, its batch from its own sampler."""

    def draw(rng: np.random.Generator) -> Batch:
        part = int(rng.integers(len(samplers)))
        return {**samplers[part](rng), "part": part}  # type: ignore[typeddict-item]

    return draw


@torch.inference_mode()
def held_loss(task: InstructionTask, lessons: Lessons, n: int) -> float:
    """Mean over lessons of the mean over answer tokens, nats."""
    task.train(False)
    was, task.lessons, task._rendered = task.lessons, lessons, {}
    rows = np.random.default_rng(0).permutation(len(lessons.examples))[:n]
    try:
        losses = []
        for start in range(0, len(rows), 16):
            part = rows[start : start + 16]
            batch = {"texts": [lessons.examples[i].answer for i in part], "groups": part, "examples": part}
            losses.append((float(task(batch)["loss"]), len(part)))  # type: ignore[arg-type]
    finally:
        task.lessons, task._rendered = was, {}
    return round(float(np.average([one for one, _ in losses], weights=[size for _, size in losses])), 4)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bioverse-small")
    parser.add_argument("--steps", type=int, default=96, help="of each modality")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--held", type=int, default=160, help="lessons of each modality to measure on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    model = load(args.model)
    taught = {"cell": cell_lessons(model, args.seed), "molecule": molecule_lessons()}
    shape: AdapterConfig = WritingConfig().adapter

    def task(modality: str) -> InstructionTask:
        lessons = taught[modality][0]
        if modality == "molecule":
            return CaptionTask(model, lessons, shape, seed=args.seed)
        return InstructionTask(model, lessons, shape, train_projector=False, seed=args.seed)

    def sampler(modality: str) -> InstructionSampler:
        weights = TuneConfig().weights if modality == "cell" else None
        return InstructionSampler(taught[modality][0], weights=weights, batch_size=args.batch)

    def measured(tasks: dict[str, InstructionTask]) -> dict[str, float]:
        return {name: held_loss(one, taught[name][1], args.held) for name, one in tasks.items()}

    # A captioner with the shipped adapter would begin with it merged in.
    model.writing_adapters = {}
    out: dict[str, dict[str, float]] = {"none": measured({name: task(name) for name in MODALITIES})}
    seconds = {}
    for name, parts in {"cells alone": ["cell"], "molecules alone": ["molecule"], "shared": list(MODALITIES)}.items():
        tasks = {one: task(one) for one in [*parts, *(m for m in MODALITIES if m not in parts)]}
        both = with_one_adapter(list(tasks.values()))
        tick = time.perf_counter()
        steps = args.steps * len(parts)
        fit(both, in_turns([sampler(one) for one in parts]), steps=steps, lr=TuneConfig().lr, seed=args.seed)
        seconds[name] = round(time.perf_counter() - tick)
        out[name] = measured(tasks)
        print(f"{name}: {out[name]}", flush=True)
    print("held-back loss, nats a token")
    print(f"{'adapter':18s} " + " ".join(f"{one:>10s}" for one in MODALITIES))
    for name, values in out.items():
        print(f"{name:18s} " + " ".join(f"{values[one]:10.3f}" for one in MODALITIES))
    args.out.parent.mkdir(exist_ok=True)
    settings = {"steps_each": args.steps, "batch": args.batch, "held": args.held, "seed": args.seed}
    record = {"model": model.fingerprint(), **settings, "loss": out, "seconds": seconds}
    args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The language model writes what a molecule is, with its neighbours in view.

It reads the molecule's soft tokens, how similar molecules are defined (how similar is said, and their names) and a
draft: the definition that :mod:`scbioverse.predict.compose` chooses. A small adapter learns from real training
captions, each with the others as reference, to write the definition; roles, classes and relations stay those of the
vote. `python -m recipes.bioverse_small.neighbours_in_view FOLDER` trains it, goes on where it was stopped, and prints
how good the definitions are on captions that took no part, beside the draft and three controls: the neighbours of other
molecules, the soft tokens of other molecules, and no soft tokens. It wants a GPU: 300 to 600 tokens a second of one
core are ten minutes for 100 steps of eight lessons at best.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import scbioverse as sb
from recipes.bioverse_small.caption_choice import reference_of, split
from recipes.bioverse_small.writing import UPPER_HALF
from scbioverse.llm.adapter import Adapter, AdapterConfig
from scbioverse.llm.prompts import QuestionTemplate
from scbioverse.metrics import text_metrics
from scbioverse.predict.compose import CaptionComposer
from scbioverse.train import fit
from scbioverse.train.instructions import Instruction, InstructionSampler, InstructionTask, Lessons

if TYPE_CHECKING:
    import pandas as pd

    from scbioverse.models import BioVerse
    from scbioverse.predict.neighbours import Neighbours

TEMPLATE = QuestionTemplate(
    "Say what the molecule is, from what is known of molecules like it. A draft is corrected where it is wrong.",
    "Known:", "Draft:", "Right:",
)  # fmt: skip
SHOWN = 2  # neighbours in view
MOST_CHARS = 300  # of a definition in view: those shown fit into the prompt
LONGEST = 400  # characters of the longest definition that is a lesson
MOLECULE = "molecule"


@dataclass(frozen=True)
class WriterConfig:
    """Settings of the adapter and its training."""

    adapter: AdapterConfig = UPPER_HALF
    steps: int = 750
    batch_size: int = 8
    lr: float = 1e-3


def lessons_of(
    composer: CaptionComposer, molecules: list[Any], names: list[str], near: Neighbours, rows: np.ndarray, x: np.ndarray
) -> Lessons:
    """Make a lesson of every row whose definition is short enough.

    Parameters
    ----------
    composer
        Puts drafts together.
    molecules, names, near
        rdkit molecules, names and neighbours of the reference.
    rows
        Rows of the reference to learn from.
    x
        float32 (n, dim): their embeddings.
    """
    examples, kept = [], []
    for row in rows:
        right = composer.caption(row).definition
        if len(right) > LONGEST:
            continue
        others, similarity = near.rows[row], near.similarity[row]
        draft, _ = composer.definition(molecules[row], composer.relatives(molecules[row]), others, similarity)
        known: dict[str, str] = {}
        for one, value in zip(others, similarity, strict=True):
            text = composer.caption(one).definition[:MOST_CHARS]
            known.setdefault(text, f"{round(100 * float(value))} % like {names[one] or 'it'}: {text}")
        evidence = " ".join(list(known.values())[:SHOWN])
        examples.append(Instruction("define", draft, right, f"row {row}", ((MOLECULE, len(kept), ""),), evidence))
        kept.append(row)
    return Lessons(examples, {MOLECULE: x[kept]})


def train(
    model: BioVerse, lessons: Lessons, config: WriterConfig, seed: int, *, state: Path | None = None
) -> tuple[Adapter, pd.DataFrame]:
    """Train the adapter; a run that was stopped goes on from the folder `state`. Returns it, and the losses."""
    task = InstructionTask(model, lessons, config.adapter, train_projector=False, template=TEMPLATE, seed=seed)
    sampler = InstructionSampler(lessons, batch_size=config.batch_size)
    history = fit(task, sampler, steps=config.steps, lr=config.lr, seed=seed, state=state, save_every=25)
    return task.adapter(), history


def written(
    model: BioVerse, adapter: Adapter, lessons: Lessons, *, soft: bool = True, batch_size: int = 16
) -> list[str]:
    """Let the model write the definition that each lesson asks for."""
    writer = model.copy()
    writer.set_adapter(adapter)
    asks, out = writer.asks(TEMPLATE), []
    objects = [(MOLECULE, "")] if soft else []
    for start in range(0, len(lessons.examples), batch_size):
        some = lessons.examples[start : start + batch_size]
        prompts = [asks.prompt(one.question, objects=objects, evidence=one.evidence) for one in some]
        values = [{MOLECULE: lessons.embeddings[MOLECULE][[one.objects[0][1]]]} if soft else {} for one in some]
        out += asks.write(prompts, values, max_new_tokens=160)
    return out


def controls(model: BioVerse, adapter: Adapter, lessons: Lessons, seed: int) -> dict[str, dict[str, float]]:
    """Measure definitions written for lessons that were not learned, the drafts, and what each part adds."""
    dealt = np.random.default_rng(seed).permutation(len(lessons.examples))
    examples = list(lessons.examples)
    evidence = [replace(one, evidence=examples[at].evidence) for one, at in zip(examples, dealt, strict=True)]
    other = Lessons(examples, {MOLECULE: lessons.embeddings[MOLECULE][dealt]})
    said = {
        "draft": [one.question for one in examples],
        "written": written(model, adapter, lessons),
        "neighbours shuffled": written(model, adapter, Lessons(evidence, lessons.embeddings)),
        "soft tokens shuffled": written(model, adapter, other),
        "without soft tokens": written(model, adapter, lessons, soft=False),
    }
    right = [one.answer for one in examples]
    return {name: text_metrics(texts, right) for name, texts in said.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the adapter, the state of the run and the measures")
    parser.add_argument("--steps", type=int, default=WriterConfig().steps)
    parser.add_argument("--measured", type=int, default=300, help="so many captions that take no part are written")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = sb.models.load("bioverse-small")
    known = reference_of(model)
    composer = CaptionComposer(known.texts, known.molecules, known.names)
    taught, held = split(known, options.seed)
    parts = (known.molecules, known.names, known.near)
    config = replace(WriterConfig(), steps=options.steps)
    lessons = lessons_of(composer, *parts, taught, known.embeddings)
    adapter, history = train(model, lessons, config, options.seed, state=options.folder / "state")
    adapter.save(options.folder / "adapter", llm=model.config.llm.name, dtype=torch.float16)
    found = controls(
        model, adapter, lessons_of(composer, *parts, held[: options.measured], known.embeddings), options.seed
    )
    for name, row in found.items():
        print(name, {key: round(row[key], 4) for key in ("bleu2", "bleu4", "rougeL", "meteor")}, flush=True)
    found["loss"] = {"first": float(history["loss"].head(5).mean()), "last": float(history["loss"].tail(20).mean())}
    (options.folder / "measures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

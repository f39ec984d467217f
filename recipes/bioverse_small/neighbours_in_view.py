"""The language model writes what a molecule is, with its neighbours in view.

It reads the molecule's soft tokens, how similar molecules are defined (how similar is said, and their names) and a
draft: the definition that :mod:`scbioverse.predict.compose` chooses. A small adapter learns from real training
captions, each with the others as reference, to write the definition; roles, classes and relations stay those of the
vote. `python -m recipes.bioverse_small.neighbours_in_view FOLDER` trains it, goes on where it was stopped, and prints
how good the definitions are on captions that took no part, beside the draft and three controls: the neighbours of other
molecules, the soft tokens of other molecules, and no soft tokens. What a stopped run had written stands in the folder.
It wants a GPU: 100 steps of eight lessons are 15 to 25 minutes of one core.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import scbioverse as sb
from recipes.bioverse_small.caption_choice import gain, reference_of, split
from recipes.bioverse_small.writing import UPPER_HALF
from scbioverse.llm.adapter import Adapter, AdapterConfig
from scbioverse.llm.prompts import QuestionTemplate
from scbioverse.metrics import text_metrics
from scbioverse.predict.compose import CaptionComposer
from scbioverse.train import fit
from scbioverse.train.instructions import Instruction, InstructionSampler, InstructionTask, Lessons

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from scbioverse.models import BioVerse
    from scbioverse.predict.neighbours import Neighbours

TEMPLATE = QuestionTemplate(
    "Say what the molecule is, from what is known of molecules like it. A draft is corrected where it is wrong.",
    "Known:", "Draft:", "Right:",
)  # fmt: skip
SHOWN = 2  # neighbours in view
MOST_CHARS = 300  # of a definition in view: those shown fit into the prompt
LONGEST = 400  # characters of the longest definition that is a lesson, and of the longest draft that is rewritten
NO_REPEAT = 16  # so many tokens in a row are written once: sugars may say the same of three rings, not for ever
MOLECULE = "molecule"


@dataclass(frozen=True)
class WriterConfig:
    """Settings of the adapter and its training."""

    adapter: AdapterConfig = UPPER_HALF
    steps: int = 300
    batch_size: int = 8
    micro_batch: int = 2  # lessons of like length together: less padding, less memory, the same gradient
    lr: float = 1e-3


def lessons_of(
    composer: CaptionComposer,
    molecules: list[Any],
    names: list[str],
    near: Neighbours,
    rows: np.ndarray,
    x: np.ndarray,
    *,
    learned: bool = True,
) -> Lessons:
    """Make a lesson of every row whose definition, or draft where it is not to be `learned`, is short enough.

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
        right, mol = composer.caption(row).definition, molecules[row]
        if learned and len(right) > LONGEST:
            continue
        others, similarity = near.rows[row], near.similarity[row]
        draft, _ = composer.definition(mol, composer.relatives(mol), others, similarity)
        if not learned and len(draft) > LONGEST:
            continue
        seen = in_view(composer, names, others, similarity)
        examples.append(Instruction("define", draft, right, f"row {row}", ((MOLECULE, len(kept), ""),), seen))
        kept.append(row)
    return Lessons(examples, {MOLECULE: x[kept]})


def in_view(composer: CaptionComposer, names: Sequence[str], rows: np.ndarray, similarity: np.ndarray) -> str:
    """Say of the nearest molecules with different definitions how similar they are, and how they are defined.

    `rows` and `similarity` (k,) are neighbours in the reference, the nearest first.
    """
    known: dict[str, str] = {}
    for one, value in zip(rows, similarity, strict=True):
        text = composer.caption(one).definition[:MOST_CHARS]
        known.setdefault(text, f"{round(100 * float(value))} % like {names[one] or 'it'}: {text}")
    return " ".join(list(known.values())[:SHOWN])


def train(
    model: BioVerse, lessons: Lessons, config: WriterConfig, seed: int, *, state: Path | None = None
) -> tuple[Adapter, pd.DataFrame]:
    """Train the adapter; a run that was stopped goes on from the folder `state`. Returns it, and the losses."""
    task = InstructionTask(model, lessons, config.adapter, train_projector=False, template=TEMPLATE, seed=seed)
    sampler = InstructionSampler(lessons, batch_size=config.batch_size)
    history = fit(
        task, sampler, steps=config.steps, lr=config.lr, micro_batch=config.micro_batch, seed=seed, state=state,
        save_every=25,
    )  # fmt: skip
    return task.adapter(), history


def written(
    model: BioVerse, adapter: Adapter, lessons: Lessons, *, soft: bool = True, batch_size: int = 16
) -> list[str]:
    """Let the model write the definition that each lesson asks for, those of like length together."""
    writer = model.copy()
    writer.set_adapter(adapter)
    asks, objects = writer.asks(TEMPLATE), [(MOLECULE, "")] if soft else []
    prompts = asks.prompts([(one.question, one.evidence) for one in lessons.examples], objects=objects)
    order, out = np.argsort([len(one) for one in prompts], kind="stable"), [""] * len(prompts)
    for start in range(0, len(prompts), batch_size):
        some = order[start : start + batch_size].tolist()
        rows = [lessons.examples[i].objects[0][1] for i in some]
        values = [{MOLECULE: lessons.embeddings[MOLECULE][[row]]} if soft else {} for row in rows]
        said = asks.write([prompts[i] for i in some], values, max_new_tokens=160, no_repeat=NO_REPEAT)
        for i, text in zip(some, said, strict=True):
            out[i] = text
    return out


def kept(at: Path, make: Callable[[], list[str]]) -> list[str]:
    """Return texts that a run before this one left in a file, or make them and leave them there."""
    if at.is_file():
        return list(json.loads(at.read_text(encoding="utf-8")))
    texts = make()
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(json.dumps(texts, indent=0) + "\n", encoding="utf-8")
    return texts


def controls(
    model: BioVerse, adapter: Adapter, lessons: Lessons, seed: int, folder: Path, controlled: int
) -> dict[str, dict[str, float]]:
    """Measure definitions written for lessons that were not learned, beside the drafts; and what each part adds.

    The latter on the first so many: `controlled`. Of what was written, too: how many definitions are better than their
    draft and how many worse by the mean of ROUGE-L and METEOR, and the mean difference.
    """
    examples = list(lessons.examples)
    right = [one.answer for one in examples]
    said = kept(folder / "written.json", lambda: written(model, adapter, lessons))
    found = {"draft": text_metrics([one.question for one in examples], right), "written": text_metrics(said, right)}
    first = examples[:controlled]
    dealt = np.random.default_rng(seed).permutation(len(first))
    evidence = [replace(one, evidence=first[at].evidence) for one, at in zip(first, dealt, strict=True)]
    x = lessons.embeddings[MOLECULE][: len(first)]
    ways = {
        "neighbours shuffled": (Lessons(evidence, {MOLECULE: x}), True),
        "soft tokens shuffled": (Lessons(first, {MOLECULE: x[dealt]}), True),
        "without soft tokens": (Lessons(first, {MOLECULE: x}), False),
    }
    part = {"draft": [one.question for one in first], "written": said[: len(first)]}
    for name, (asked, soft) in ways.items():
        place = folder / f"{name.replace(' ', '_')}.json"
        part[name] = kept(place, lambda asked=asked, soft=soft: written(model, adapter, asked, soft=soft))  # type: ignore[misc]
    gains = np.array([gain(one, answer) for one, answer in zip(said, right, strict=True)])
    gains -= [gain(one.question, one.answer) for one in examples]
    found["written"] |= {
        "better": int((gains > 0).sum()), "worse": int((gains < 0).sum()),
        "mean difference": float(gains.mean()), "standard error": float(gains.std() / len(gains) ** 0.5),
    }  # fmt: skip
    return found | {f"a part: {name}": text_metrics(some, right[: len(first)]) for name, some in part.items()}


def all_lessons(model: BioVerse, seed: int, folder: Path) -> tuple[Lessons, Lessons]:
    """Lessons to learn from and to measure by: some minutes' work, kept in the folder for the next run."""
    source = inspect.getsource(lessons_of) + str((seed, SHOWN, MOST_CHARS, LONGEST, model.fingerprint()))
    at = folder / f"lessons_{hashlib.sha256(source.encode()).hexdigest()[:16]}.pickle"
    if at.is_file():
        found: tuple[Lessons, Lessons] = pickle.loads(at.read_bytes())
        return found
    known = reference_of(model)
    composer = CaptionComposer(known.texts, known.molecules, known.names)
    parts = (known.molecules, known.names, known.near)
    made = [
        lessons_of(composer, *parts, rows, known.embeddings, learned=learned)
        for rows, learned in zip(split(known, seed), (True, False), strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    at.write_bytes(pickle.dumps(tuple(made)))
    return made[0], made[1]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the adapter, the state of the run and the measures")
    parser.add_argument("--steps", type=int, default=WriterConfig().steps)
    parser.add_argument("--measured", type=int, default=300, help="so many captions that take no part are written")
    parser.add_argument("--controlled", type=int, default=100, help="for so many of these the controls are written")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = sb.models.load("bioverse-small")
    config = replace(WriterConfig(), steps=options.steps)
    lessons, asked = all_lessons(model, options.seed, options.folder)
    adapter, history = train(model, lessons, config, options.seed, state=options.folder / "state")
    adapter.save(options.folder / "adapter", llm=model.config.llm.name, dtype=torch.float16)
    asked = Lessons(asked.examples[: options.measured], asked.embeddings)
    found = controls(model, adapter, asked, options.seed, options.folder, options.controlled)
    for name, row in found.items():
        print(name, {key: round(row[key], 4) for key in ("bleu2", "bleu4", "rougeL", "meteor")}, flush=True)
    found["n"] = {"written": len(asked.examples), "a part": min(options.controlled, len(asked.examples))}
    found["loss"] = {"first": float(history["loss"].head(5).mean()), "last": float(history["loss"].tail(20).mean())}
    (options.folder / "measures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

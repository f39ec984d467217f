"""Who reads questions best: `python -m benchmarks.readers [--adapter FOLDER] [--alone | --all] [--show] [SET ...]`.

The rules, and the rules with the language model where they do not understand, on the sets of :mod:`benchmarks.ask` and
on `held_out/cells` and `held_out/molecules`: a hundred questions that were written before any model was trained or
tried. With `--alone` also the model by itself, with and without accounting for every word, and with `--all` controls,
too: the same model without its adapter, shown examples, and with the adapter but the words of the question shuffled; a
line takes a second or two on one core. Chats are left out: follow-ups are the rules'.
"""

from __future__ import annotations

import argparse
import json
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import scbioverse as sb
from benchmarks.ask import QUESTIONS, made, verdict
from scbioverse.ask.asked import Asked
from scbioverse.ask.model_reader import ModelReader
from scbioverse.ask.read import Both, Grammar
from scbioverse.ask.slots import Slots
from scbioverse.llm import Backbone
from scbioverse.llm.adapter import Adapter
from scbioverse.tl._ask import asked_rows

RESULTS = Path(__file__).parent / "results" / "readers.json"
SHIPPED = Path(sb.__file__).parent / "models" / "weights" / "questions"
LLM = "smollm2-135m-instruct"
_PLAIN: dict[str, Any] = {
    "groupby": None, "cells": None, "modality": "cell", "key": None, "layer": None, "key_added": "bioverse",
    "reference": None, "text_key": "text", "model": "none-is-loaded", "device": "cpu",
}  # fmt: skip


class Shuffled(ModelReader):
    """The same with the words of each question in another order."""

    def write(self, slots: Slots) -> tuple[list[str], float]:
        """Write the line of the shuffled words."""
        words = np.random.default_rng(0).permutation(slots.text.split())
        return super().write(replace(slots, text=" ".join(words)))


def readers(names: Any, backbone: Backbone, adapter: Adapter, *, alone: bool, controls: bool) -> dict[str, Any]:
    """Make front ends for the names of a data set: rules, rules with the model; the model `alone`; its controls."""
    model, rules = ModelReader(names, backbone, adapter), partial(Grammar, names)
    found: dict[str, Any] = {"rules": rules(), "rules and model": Both(rules(), lambda: model, names)}
    if not alone:
        return found
    shuffled, untrained = Shuffled(names, backbone, adapter), ModelReader(names, backbone)
    others = {"untrained": untrained, "shuffled": shuffled} if controls else {}
    for kind, strict in {"model": model, **others}.items():
        loose = copy(strict)
        loose.strict = False  # what is written is the same
        found |= {f"{kind} alone": loose, f"{kind}, accounted": strict}
    for kind, one in others.items():
        found[f"rules and {kind}"] = Both(rules(), partial(copy, one), names)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="names of sets; all if none")
    parser.add_argument("--adapter", type=Path, default=SHIPPED, help="folder that recipes.questions.make wrote")
    parser.add_argument("--alone", action="store_true", help="also the model by itself")
    parser.add_argument("--all", action="store_true", help="every front end on every set")
    parser.add_argument("--show", action="store_true", help="print what another front end than the rules answered")
    args = parser.parse_args()
    torch.set_num_threads(1)
    backbone = Backbone.load(LLM, dtype="float32", device="cpu")
    adapter = Adapter.load(args.adapter)
    figures: dict[str, dict[str, list[int]]] = {}
    if RESULTS.is_file():
        figures = json.loads(RESULTS.read_text(encoding="utf-8"))
    for path in sorted([*(QUESTIONS / "held_out").glob("*.json"), *QUESTIONS.glob("*.json")]):
        name = path.relative_to(QUESTIONS).with_suffix("").as_posix()
        if (args.sets and name not in args.sets) or "chats" in name:
            continue
        adata, truths, options = made(path.stem)
        asked = Asked(asked_rows(adata, **(_PLAIN | options)).rows)
        rows = json.loads(path.read_text(encoding="utf-8"))
        which = {"alone": args.alone or args.all, "controls": args.all}
        for kind, reader in readers(asked.names, backbone, adapter, **which).items():
            asked.reader = reader
            outcomes = []
            for row in rows:
                answer = asked.answer(row["q"])
                outcomes.append(verdict(row, answer, truths))
                if args.show and kind != "rules" and (outcomes[-1] == "wrong" or answer.computed):
                    print(f"{outcomes[-1]:8} {kind}: {row['q']}\n         {answer.text[:160]!r}")
            counts = [outcomes.count(one) for one in ("right", "refused", "wrong")]
            figures.setdefault(name, {})[kind] = counts
            print(f"{name:20} {kind:22} " + " / ".join(map(str, counts)), flush=True)
        # Sets that were not asked keep their figures; those of another adapter are only printed.
        if args.adapter == SHIPPED:
            RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

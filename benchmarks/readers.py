"""Who reads questions best: `python -m benchmarks.readers [--adapter FOLDER] [--show] [SET ...]`.

The rules; the language model alone, with and without accounting for every word; and both, the model where the rules do
not understand. Controls: the same model without its adapter, shown examples, and with the adapter but the words of the
question shuffled. Sets are those of :mod:`benchmarks.ask`, and `held_out/cells` and `held_out/molecules`: a hundred
questions that were written before any model was trained or tried. Chats are left out: follow-ups are the rules'.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ask import QUESTIONS, made, verdict
from scbioverse.ask.asked import Asked
from scbioverse.ask.model_reader import Both, ModelReader
from scbioverse.ask.read import Grammar
from scbioverse.ask.slots import Slots
from scbioverse.llm import Backbone
from scbioverse.llm.adapter import Adapter
from scbioverse.tl._ask import asked_rows

RESULTS = Path(__file__).parent / "results" / "readers.json"
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


def readers(names: Any, backbone: Backbone, adapter: Adapter | None) -> dict[str, Any]:
    """Make every front end for the names of a data set."""
    rules = partial(Grammar, names)
    found: dict[str, Any] = {"rules": rules()}
    kinds: dict[str, ModelReader] = {"untrained": ModelReader(names, backbone)}
    if adapter is not None:
        kinds = {
            "model": ModelReader(names, backbone, adapter),
            **kinds,
            "shuffled": Shuffled(names, backbone, adapter),
        }
    for kind, strict in kinds.items():
        loose = type(strict)(names, backbone, None if kind == "untrained" else adapter, strict=False)
        loose._written = strict._written  # what is written is the same
        found |= {
            f"{kind} alone": loose,
            f"{kind}, accounted": strict,
            f"rules and {kind}": Both(rules(), strict, names),
        }
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="names of sets; all if none")
    parser.add_argument("--adapter", type=Path, help="folder that recipes.questions.make wrote")
    parser.add_argument("--only", nargs="*", help="front ends")
    parser.add_argument("--show", action="store_true", help="print what another front end than the rules answered")
    args = parser.parse_args()
    backbone = Backbone.load(LLM, dtype="float32", device="cpu")
    adapter = Adapter.load(args.adapter) if args.adapter else None
    figures: dict[str, dict[str, list[int]]] = {}
    paths = sorted([*QUESTIONS.glob("*.json"), *(QUESTIONS / "held_out").glob("*.json")])
    for path in paths:
        name = path.relative_to(QUESTIONS).with_suffix("").as_posix()
        if (args.sets and name not in args.sets) or "chats" in name:
            continue
        adata, truths, options = made(path.stem)
        asked = Asked(asked_rows(adata, **(_PLAIN | options)).rows)
        rows = json.loads(path.read_text(encoding="utf-8"))
        figures[name] = {}
        for kind, reader in readers(asked.names, backbone, adapter).items():
            if args.only and kind not in args.only:
                continue
            asked.reader = reader
            outcomes = []
            for row in rows:
                answer = asked.answer(row["q"])
                outcomes.append(verdict(row, answer, truths))
                if args.show and kind != "rules" and (outcomes[-1] == "wrong" or answer.computed):
                    print(f"{outcomes[-1]:8} {kind}: {row['q']}\n         {answer.text[:160]!r}")
            figures[name][kind] = [outcomes.count(one) for one in ("right", "refused", "wrong")]
            print(f"{name:20} {kind:22} " + " / ".join(map(str, figures[name][kind])), flush=True)
    if not args.sets and not args.only:
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Definitions that the language model writes with neighbours in view, beside the drafts, on open test captions.

The adapter is what `python -m recipes.bioverse_small.neighbours_in_view FOLDER` leaves in `FOLDER/adapter`; none is
shipped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.modalities_parts.captions import known_molecules, measured, tables, written_by_peer
from recipes.bioverse_small.neighbours_in_view import LONGEST, MOLECULE, in_view, kept, written
from scbioverse._slots import Slots
from scbioverse.llm.adapter import Adapter
from scbioverse.pp._smiles import parse_smiles
from scbioverse.predict.compose import CaptionComposer
from scbioverse.predict.neighbours import compared_views, nearest_rows
from scbioverse.train.instructions import Instruction, Lessons


def by_model(model: Any, folder: Path, n: int, seed: int) -> dict[str, Any]:
    """Measure captions of a random part of the test molecules: with the drafts, and with what was written of them.

    `folder` is that of the training run; what is written is kept there. Roles, classes and relations are those of the
    vote in both. A draft that is longer than any lesson stays. The measures that the training run left there are of
    definitions alone, of training captions that took no part, with the controls.
    """
    train, test = known_molecules(model), tables(n, seed)[1]
    held, names, right = (one.tolist() for one in (train.obs["text"], train.obs["name"], test.obs["text"]))
    views, embedded = compared_views(
        test, train, model, modality="molecule", use_rep=None, metric="cosine", key=None, layer=None, slots=Slots()
    )
    near = nearest_rows(views, 10)
    mols, known = ([one.mol for one in parse_smiles(data.obs["smiles"])] for data in (test, train))
    composer = CaptionComposer(held, known, names)
    own = [composer.relatives(mol) for mol in mols]
    pairs = list(zip(near.rows, near.similarity, strict=True))
    drafts = [composer.definition(mol, one, *pair) for mol, one, pair in zip(mols, own, pairs, strict=True)]
    short = [row for row, (draft, _) in enumerate(drafts) if len(draft) <= LONGEST]
    seen = [in_view(composer, names, *pairs[row]) for row in short]
    lessons = [
        Instruction("define", drafts[row][0], "", f"row {row}", ((MOLECULE, at, ""),), evidence)
        for at, (row, evidence) in enumerate(zip(short, seen, strict=True))
    ]
    asked = Lessons(lessons, {MOLECULE: embedded.values[short]})
    adapter = Adapter.load(folder / "adapter")
    texts = kept(folder / f"open_{n}_{seed}.json", lambda: written(model, adapter, asked))
    said = [draft for draft, _ in drafts]
    for row, text in zip(short, texts, strict=True):
        said[row] = text
    made = {
        name: [
            composer.around(text, at, one, *pair)
            for text, (_, at), one, pair in zip(some, drafts, own, pairs, strict=True)
        ]
        for name, some in (("combined", [draft for draft, _ in drafts]), ("definition written by the model", said))
    }
    dealt = np.random.default_rng(seed).permutation(test.n_obs)
    made["the same, dealt to other molecules"] = [made["definition written by the model"][i] for i in dealt]
    made["MolT5-large"] = written_by_peer(test)
    changed = float(np.mean([text != draft for text, (draft, _) in zip(said, drafts, strict=True)]))
    controls = json.loads((folder / "measures.json").read_text(encoding="utf-8"))
    return {
        "n": test.n_obs, "changed": changed, "rows": {name: measured(some, right) for name, some in made.items()},
        "controls": {name: row for name, row in controls.items() if "rougeL" in row}, "loss": controls["loss"],
        "n_controls": controls["n"],
    }  # fmt: skip

"""Captions of the open test molecules, ours and everybody's, on the same rows."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb
from benchmarks.modalities_parts.facts import facts, floors
from recipes.bioverse_small import molecules
from scbioverse._slots import Slots
from scbioverse.datasets import fetch
from scbioverse.knowledge.captions import read_caption
from scbioverse.metrics import extract_classes, extract_roles, set_agreement, text_metrics
from scbioverse.pp._smiles import parse_smiles
from scbioverse.predict.compose import CaptionComposer, composed
from scbioverse.predict.descriptions import NOTHING_SIMILAR, choose_rows
from scbioverse.predict.neighbours import FLOOR, Neighbours, compared_views, nearest_rows

PEER = "molt5_large_on_chebi20_open"
# What is no longer to be had line by line: with these measures on the same 1,800 rows, as the shared data record it.
RECORDED = {"MolT5-base (recorded, not run here)": {"bleu2": 0.564, "bleu4": 0.466, "rougeL": 0.579, "meteor": 0.589}}
SHOWN = ("bleu2", "bleu4", "rougeL", "meteor", "roles F1", "classes F1", "related F1")


def tables(n: int | None, seed: int, split: str = "test") -> tuple[ad.AnnData, ad.AnnData]:
    """Training captions with names as reference, and the rows of a split or a random part of them."""
    train, test = molecules.named_pairs(), molecules.pairs(split)
    for form in ("canonical", "parent"):
        shared = set(train[form]) & set(test[form])
        if shared:
            raise RuntimeError(f"{len(shared)} {split} molecules are among the training captions")
    if n is not None:
        test = test.sample(min(n, len(test)), random_state=seed)
    return tuple(  # type: ignore[return-value]
        ad.AnnData(obs=one.assign(smiles=one["canonical"]).reset_index(drop=True).rename(index=str))
        for one in (train, test)
    )


def known_molecules(model: Any) -> ad.AnnData:
    """Training captions with names and the model's embeddings: worked out once, then read from the cache folder."""
    source = Path(inspect.getfile(molecules)).read_bytes() + inspect.getsource(tables).encode()
    key = hashlib.sha256(source + str(model.fingerprint()).encode()).hexdigest()[:16]
    at = sb.settings.cache_dir / "benchmarks" / f"captions_{key}.h5ad"
    if at.is_file():
        return ad.read_h5ad(at)
    known = tables(1, 0)[0]
    sb.tl.embed(known, model=model, modality="molecule", invalid="skip")
    at.parent.mkdir(parents=True, exist_ok=True)
    known.write_h5ad(at)
    return known


def related(text: str) -> frozenset[str]:
    """Read what a caption says of conjugates, enantiomer, tautomer and what it derives from."""
    held = read_caption(text)
    return frozenset(one.lower() for one in (*held.related, *held.derives))


def measured(said: list[str], right: list[str]) -> dict[str, float]:
    """Measures of the words and of the facts."""
    facts = (("roles", extract_roles), ("classes", extract_classes), ("related", related))
    return text_metrics(said, right) | {
        f"{name} F1": set_agreement([read(one) for one in said], [read(one) for one in right])["f1"]
        for name, read in facts
    }


def written_by_peer(test: ad.AnnData) -> list[str]:
    """Read what MolT5-large wrote of each test molecule."""
    peer = pd.read_csv(fetch(PEER), sep="\t", dtype=str).fillna("")
    # One of the two files doubles its backslashes.
    written = dict(zip(peer["SMILES"].map(_single), peer["molt5_large"], strict=True))
    source = molecules.pairs("test").drop_duplicates("canonical").set_index("canonical")["smiles"].map(_single)
    return [written[source[one]] for one in test.obs["canonical"]]


def captions(model: Any, n: int | None, seed: int) -> dict[str, Any]:
    """Measure all ways to come to a caption of the test molecules, and their controls."""
    train, test = known_molecules(model), tables(n, seed)[1]
    rng = np.random.default_rng(seed)
    right, held = test.obs["text"].tolist(), train.obs["text"].tolist()
    names = train.obs["name"].tolist()
    views, embedded = compared_views(
        test, train, model, modality="molecule", use_rep=None, metric="cosine", key=None, layer=None, slots=Slots()
    )
    near, tanimoto = nearest_rows(views, 10), nearest_rows(views[1:], 10)
    parsed = [[one.mol for one in parse_smiles(data.obs["smiles"])] for data in (test, train)]
    combined, _ = composed(CaptionComposer(held, parsed[1], names), near, parsed[0])
    far = near.similarity[:, 0] < FLOOR
    some = np.sort(rng.permutation(test.n_obs)[: len(combined) // 6])
    found = {
        "combined": combined,
        "combined, or nothing where nothing is similar": [
            NOTHING_SIMILAR if gone else one for one, gone in zip(combined, far, strict=True)
        ],
        "nearest by Tanimoto similarity": [held[i] for i in tanimoto.rows[:, 0]],
        "nearest": [held[i] for i in near.rows[:, 0]],
        "consensus of ten": [
            held[i] for i in near.rows[np.arange(test.n_obs), choose_rows(near, held, "consensus", model, None)]
        ],
        "combined, dealt to other molecules": [combined[i] for i in rng.permutation(test.n_obs)],
    }
    found["MolT5-large"] = written_by_peer(test)
    rows = {name: measured(said, right) for name, said in found.items()} | RECORDED
    # What each half adds, on a part of the rows: names of other molecules, and other molecules' neighbours.
    part = Neighbours(near.rows[some], near.similarity[some])
    other = Neighbours(near.rows[rng.permutation(some)], part.similarity)
    here, texts = [parsed[0][i] for i in some], [right[i] for i in some]
    rows["a part: combined"] = measured([combined[i] for i in some], texts)
    for name, neighbours, called in (
        ("a part: without names", part, [""] * len(names)),
        ("a part: names shuffled", part, list(rng.permutation(names))),
        ("a part: neighbours shuffled", other, names),
    ):
        rows[name] = measured(composed(CaptionComposer(held, parsed[1], called), neighbours, here)[0], texts)
    return {
        "n_test": test.n_obs, "n_reference": train.n_obs, "nothing similar": int(far.sum()), "rows": rows,
        "floors": floors(near, right, held), "facts": facts(model, embedded.values, right, tanimoto, held),
    }  # fmt: skip


def _single(smiles: str) -> str:
    return smiles.replace("\\\\", "\\")

"""Captions of the open test molecules, ours and everybody's, on the same rows."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb
from recipes.bioverse_small import molecules
from scbioverse.datasets import fetch
from scbioverse.metrics import extract_classes, extract_roles, set_agreement, text_metrics

PEER = "molt5_large_on_chebi20_open"
SHOWN = ("bleu2", "bleu4", "rougeL", "meteor", "roles F1", "classes F1", "related F1")


def tables(n: int | None, seed: int) -> tuple[ad.AnnData, ad.AnnData]:
    """Training captions with names as reference, and the test rows or a random part of them."""
    train, test = molecules.pairs("train"), molecules.pairs("test")
    for form in ("canonical", "parent"):
        shared = set(train[form]) & set(test[form])
        if shared:
            raise RuntimeError(f"{len(shared)} test molecules are among the training captions")
    if n is not None:
        test = test.sample(min(n, len(test)), random_state=seed)
    named = pd.read_csv(fetch(molecules.REBUILT), sep="\t", dtype=str).fillna("")
    # Names of test molecules are read nowhere.
    named = named[named["split_chebi20"] != "test"]
    by_id, by_form = (dict(zip(named[one], named["name"], strict=True)) for one in ("chebi_id", "canonical_smiles"))
    train["name"] = [
        by_id.get(row) or by_form.get(form, "") for row, form in zip(train["row"], train["canonical"], strict=True)
    ]
    return tuple(  # type: ignore[return-value]
        ad.AnnData(obs=one.assign(smiles=one["canonical"]).reset_index(drop=True).rename(index=str))
        for one in (train, test)
    )


def related(text: str) -> frozenset[str]:
    """Read what a caption says of conjugates, enantiomer, tautomer and what it derives from."""
    from scbioverse.knowledge.captions import read_caption

    held = read_caption(text)
    return frozenset(one.lower() for one in (*held.related, *held.derives))


def measured(said: list[str], right: list[str]) -> dict[str, float]:
    """Measures of the words and of the facts."""
    facts = (("roles", extract_roles), ("classes", extract_classes), ("related", related))
    return text_metrics(said, right) | {
        f"{name} F1": set_agreement([read(one) for one in said], [read(one) for one in right])["f1"]
        for name, read in facts
    }


def described(data: ad.AnnData, model: Any, reference: ad.AnnData, **options: Any) -> list[str]:
    """Texts of `sb.tl.describe`."""
    done = sb.tl.describe(data, modality="molecule", model=model, reference=reference, copy=True, **options)
    return done.obs["bioverse_description"].tolist()


def captions(model: Any, n: int | None, seed: int) -> dict[str, Any]:
    """Measure all ways to come to a caption of the test molecules, and their controls."""
    train, test = tables(n, seed)
    rng = np.random.default_rng(seed)
    right = test.obs["text"].tolist()
    sb.tl.embed(train, model=model, modality="molecule")
    sb.tl.embed(test, model=model, modality="molecule")
    for one in (train, test):
        sb.tl.embed(one, model="morgan", modality="molecule", key_added="morgan")
    everyone: dict[str, Any] = {"min_similarity": -1}
    found = {"combined": described(test, model, train, **everyone)}
    similar = sb.tl.describe(test, modality="molecule", model=model, reference=train, copy=True)
    found["combined, or nothing where nothing is similar"] = similar.obs["bioverse_description"].tolist()
    prints = {"use_rep": "X_morgan_molecule", "metric": "tanimoto"}
    found["nearest by Tanimoto similarity"] = described(test, model, train, choose="nearest", **prints, **everyone)
    found["nearest"] = described(test, model, train, choose="nearest", **everyone)
    found["consensus of ten"] = described(test, model, train, choose="consensus", **everyone)
    unnamed = train.copy()
    del unnamed.obs["name"]
    found["combined, without names"] = described(test, model, unnamed, **everyone)
    found["combined, dealt to other molecules"] = [found["combined"][i] for i in rng.permutation(test.n_obs)]
    shuffled = train.copy()
    shuffled.obs["text"] = rng.permutation(train.obs["text"].to_numpy())
    found["combined, captions of the reference shuffled"] = described(test, model, shuffled, **everyone)
    peer = pd.read_csv(fetch(PEER), sep="\t", dtype=str).fillna("")
    # One of the two files doubles its backslashes.
    written = dict(zip(peer["SMILES"].map(_single), peer["molt5_large"], strict=True))
    source = molecules.pairs("test").drop_duplicates("canonical").set_index("canonical")["smiles"].map(_single)
    found["MolT5-large"] = [written[source[one]] for one in test.obs["canonical"]]
    return {
        "n_test": test.n_obs, "n_reference": train.n_obs,
        "nothing similar": int((similar.obs["bioverse_description_source"] == "").sum()),
        "rows": {name: measured(said, right) for name, said in found.items()},
    }  # fmt: skip


def _single(smiles: str) -> str:
    return smiles.replace("\\\\", "\\")

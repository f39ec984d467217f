"""Weights by which captions are put together from neighbours, learned from real training captions.

Every real caption that trains has the other training molecules as reference. Weights of definitions make the expected
gain largest, where the probability of a definition is the softmax of its weighted features (minimum risk training, Och
2003); those of roles and classes are of a logistic regression. One real caption of three takes no part and chooses the
probability from which a role or class is said. `python -m recipes.bioverse_small.caption_choice` writes
`predict/caption_choice.json` and prints the measures of the captions that took no part.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import scbioverse as sb
from recipes.bioverse_small.molecules import REAL, named_pairs
from scbioverse._slots import Slots
from scbioverse.knowledge.captions import bare
from scbioverse.metrics import meteor, rouge, text_metrics
from scbioverse.pp._smiles import parse_smiles
from scbioverse.predict.compose import WEIGHTS, CaptionComposer, ChoiceWeights, item_features
from scbioverse.predict.neighbours import Neighbours, View, compared_views, nearest_rows

if TYPE_CHECKING:
    from scbioverse.models import BioVerse

# Probabilities from which an item may be said.
LEAST = (0.15, 0.2, 0.25, 0.3, 0.35)
KINDS = ("roles", "classes")
# So many more neighbours are looked for, since some are the molecule itself in another form.
_SPARE = 15
PENALTY = 1e-3


@dataclass(frozen=True, eq=False)
class Reference:
    """Training molecules with captions, each with neighbours among the others.

    Attributes
    ----------
    texts, names, molecules
        Captions, names and rdkit molecules.
    near
        Neighbours of each that is not the same molecule; -1 for molecules without.
    real
        Rows whose caption is one of ChEBI-20's.
    embeddings
        float32 (n, dim).
    """

    texts: list[str]
    names: list[str]
    molecules: list[Any]
    near: Neighbours
    real: np.ndarray
    embeddings: np.ndarray


def reference_of(model: BioVerse) -> Reference:
    """Embed all training molecules and find their neighbours: some minutes."""
    train = ad.AnnData(obs=named_pairs().assign(smiles=lambda one: one["canonical"]).rename(index=str))
    views, made = compared_views(
        train, train, model, modality="molecule", use_rep=None, metric="cosine", key=None, layer=None, slots=Slots()
    )
    near = left_out(views, [train.obs[one].to_numpy() for one in ("canonical", "parent")])
    parsed = [one.mol for one in parse_smiles(train.obs["smiles"])]
    real = np.flatnonzero(train.obs["source"] == REAL)
    values = made.values.reshape(train.n_obs, -1)  # type: ignore[union-attr]
    return Reference(train.obs["text"].tolist(), train.obs["name"].tolist(), parsed, near, real, values)


def split(known: Reference, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, two of three real captions that have neighbours; and rows to choose and measure by."""
    order = np.random.default_rng(seed).permutation(known.real[known.near.rows[known.real, 0] >= 0])
    return order[: 2 * len(order) // 3], order[2 * len(order) // 3 :]


def left_out(views: list[View], forms: list[np.ndarray], k: int = 10) -> Neighbours:
    """Find neighbours of every training molecule among those that are not the same in one of its `forms`."""
    near = nearest_rows(views, k + _SPARE, same=True)
    rows, similarity = np.full((len(near.rows), k), -1), np.full((len(near.rows), k), np.nan, dtype=np.float32)
    for at, (others, values) in enumerate(zip(near.rows, near.similarity, strict=True)):
        same = np.any([form[others] == form[at] for form in forms], axis=0)
        kept = np.flatnonzero(~same & (others >= 0))[:k]
        if kept.size == k:
            rows[at], similarity[at] = others[kept], values[kept]
    return Neighbours(rows, similarity)


def gain(said: str, right: str) -> float:
    """Mean of ROUGE-L and METEOR."""
    return (rouge([said], [right])["rougeL"] + meteor([said], [right])) / 2


def fit_definition(features: np.ndarray, gains: np.ndarray, steps: int = 200) -> tuple[float, ...]:
    """Weights (f,) that make the expected gain largest, from features (n, k, f) and gains (n, k)."""
    spread = features.std(axis=(0, 1)) + 1e-9
    x, y = torch.from_numpy(features / spread), torch.from_numpy(gains)
    weight = torch.zeros(features.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        chosen = torch.softmax(x @ weight, dim=1)
        (PENALTY * weight.square().sum() - (chosen * y).sum(dim=1).mean()).backward()
        optimizer.step()
    return tuple(float(one) for one in weight.detach().numpy() / spread)


def fit_items(features: np.ndarray, holds: np.ndarray) -> tuple[float, ...]:
    """Weights of a logistic regression, in the units of the features, and its constant."""
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(max_iter=500).fit(scaler.transform(features), holds)
    slope = model.coef_[0] / scaler.scale_
    return (*map(float, slope), float(model.intercept_[0] - slope @ scaler.mean_))


def fit(composer: CaptionComposer, molecules: list[Any], near: Neighbours, queries: np.ndarray) -> ChoiceWeights:
    """Fit all weights on some rows of the reference, each with the others as neighbours."""
    edited, features, gains = [], [], []
    for row in queries:
        mol, others = molecules[row], near.rows[row]
        said, values = composer.candidates(mol, composer.relatives(mol), others, near.similarity[row])
        right = composer.caption(row).definition
        known = {one: gain(one, right) for one in set(said)}
        edited.append(said)
        features.append(values)
        gains.append([known[one] for one in said])
    definition = fit_definition(np.array(features), np.array(gains))
    chosen = (np.array(features) @ np.array(definition)).argmax(axis=1)
    items = {}
    for kind in KINDS:
        rows, holds = [], []
        for at, row in enumerate(queries):
            theirs = [getattr(composer.caption(other), kind) for other in near.rows[row]]
            names, values = item_features(theirs, near.similarity[row], edited[at][chosen[at]])
            right = set(map(bare, getattr(composer.caption(row), kind)))
            rows.append(values)
            holds += [bare(one) in right for one in names]
        items[kind] = fit_items(np.concatenate(rows), np.array(holds))
    return ChoiceWeights(definition, items, dict.fromkeys(KINDS, 0.25))


def written(
    composer: CaptionComposer, weights: ChoiceWeights, molecules: list[Any], near: Neighbours, rows: np.ndarray
) -> list[str]:
    """Captions of some rows by some weights."""
    composer.weights = weights
    return [composer.compose(molecules[row], near.rows[row], near.similarity[row])[0] for row in rows]


def learn(known: Reference, seed: int) -> tuple[ChoiceWeights, dict[str, dict[str, float]]]:
    """Fit on two of three real captions; choose on the others, and measure them."""
    texts, near = known.texts, known.near
    composer = CaptionComposer(texts, known.molecules, known.names)
    taught, held = split(known, seed)
    fitted = fit(composer, known.molecules, near, taught)
    right = [texts[row] for row in held]
    found = {"nearest": text_metrics([texts[one] for one in near.rows[held, 0]], right)}
    best, most = fitted, -np.inf
    for least in LEAST:
        now = replace(fitted, least=dict.fromkeys(KINDS, least))
        row = text_metrics(written(composer, now, known.molecules, near, held), right)
        found[f"combined, from {least}"] = row
        # METEOR rewards recall: it would have less likely roles and classes said.
        if (value := row["bleu4"] + row["rougeL"]) > most:
            best, most = now, value
    return best, found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    weights, found = learn(reference_of(sb.models.load("bioverse-small")), options.seed)
    for name, row in found.items():
        print(name, {key: round(row[key], 4) for key in ("bleu2", "bleu4", "rougeL", "meteor")})
    options.out.write_text(json.dumps(asdict(weights), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What the language model says of groups of alike cells: from soft tokens, from words of top genes, from both.

With an adapter that `python -m recipes.bioverse_small.group_words` trained, two kinds of groups are asked about: those
of the experts, and three cells of an expert's group at a time, which the other sources call wrongly more often.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import log_softmax

import scbioverse as sb
from benchmarks.language_model_parts.studies import Asked
from recipes.bioverse_small.group_words import ANSWER, QUESTION, GroupConfig, genes_of_group, mean_share, words_of
from scbioverse.knowledge.ontology import canonical_phrase
from scbioverse.llm.adapter import Adapter

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
BOTH = "soft tokens and words"
# Cells of a small group.
FEW = 3
Every = dict[str, dict[str, np.ndarray]]


def with_its_word(every: Every, truth: dict[str, np.ndarray], way: str) -> dict[str, Any]:
    """Add its word to the other sources: by study the pooled scores, and the weight that the other studies gave it."""

    def pooled(study: str, weight: float) -> np.ndarray:
        return log_softmax(every[study]["without"] + weight * every[study][way], axis=1)

    def likelihood(study: str, weight: float) -> float:
        return float(pooled(study, weight)[np.arange(len(truth[study])), truth[study]].clip(-20).mean())

    out, weights = {}, {}
    for study in every:
        others = [one for one in every if one != study]
        weights[study] = max(WEIGHTS, key=lambda w: (sum(likelihood(one, w) for one in others), -w))
        out[study] = pooled(study, weights[study])
    return {"scores": out, "weights": weights}


def group_ways(
    writer: Any, means: np.ndarray, said: list[str], names: list[str], *, controls: bool = True
) -> dict[str, np.ndarray]:
    """Log-probabilities (g, m) of names, by way: what is read of a group, and, as `controls`, what is another group's.

    `means` are the groups' embeddings (g, 1, dim), `said` their words.
    """
    answers = list(map(ANSWER.format, names))

    def ask(soft: np.ndarray | None, words: list[str] | None) -> np.ndarray:
        objects = [] if soft is None else [("cell", "")]
        prompts = writer.prompts([(QUESTION, one) for one in words or [""] * len(said)], objects=objects)
        given = [{} if soft is None else {"cell": soft[i][None]} for i in range(len(said))]
        found = writer.weigh(prompts, given, [answers] * len(said))
        # Less what it says of the average group, so that what it likes to say does not decide.
        table = np.array(found, np.float64)
        return log_softmax(table - table.mean(axis=0), axis=1)

    ways = {BOTH: ask(means, said), "own soft tokens": ask(means, None), "gene words": ask(None, said)}
    if controls:
        turned, other = np.roll(means, 1, axis=0), [said[-1], *said[:-1]]
        ways |= {
            "shuffled": ask(turned, None),
            "words, soft tokens shuffled": ask(turned, said),
            "soft tokens, words shuffled": ask(means, other),
            "both shuffled": ask(turned, other),
        }
    return ways


def genes_of(one: Asked, model: Any, groups: np.ndarray, n: int) -> list[str]:
    """Say each group's top genes, of those that the encoder knows."""
    names = np.array(one.adata.var_names, object)
    matrix = sparse.csr_matrix(one.adata.X)
    usual = np.where(np.isin(names, model.encoders["cell"].stats.genes), mean_share(matrix), np.inf)
    rows = (matrix[np.flatnonzero(groups == i)] for i in range(groups.max() + 1))
    return [words_of(names[genes_of_group(some, usual, n)[0]].tolist()) for some in rows]


def split(truth: np.ndarray, cells: int | None, rng: np.random.Generator) -> np.ndarray:
    """Tell each cell its group, int (n,): one of the expert, or about so many of its cells at a time, all in some."""
    groups, first = np.empty(len(truth), int), 0
    for code in np.unique(truth):
        rows = rng.permutation(np.flatnonzero(truth == code))
        parts = 1 if cells is None else max(1, len(rows) // cells)
        groups[rows] = first + np.arange(len(rows)) % parts
        first += parts
    return groups


def adapter_task(studies: dict[str, Asked], model: Any, folder: Path, seed: int) -> dict[str, Any]:
    """Ask the language model with an adapter for groups, among the study's labels."""
    adapted = model.copy()
    adapted.set_adapter(Adapter.load(folder / "adapter"))
    writer, found = adapted.text_writer, {}
    for kind, cells in (("groups of the experts", None), (f"groups of {FEW} cells", FEW)):
        rng, every, truth = np.random.default_rng(seed), {}, {}
        for one in studies.values():
            groups = split(one.truth, cells, rng)
            first = [int(np.flatnonzero(groups == i)[0]) for i in range(groups.max() + 1)]
            truth[one.name] = one.truth[first]
            one.adata.obs["group"] = pd.Categorical([f"g{i}" for i in groups])
            labels = {canonical_phrase(term): term for term in one.terms}
            sb.tl.annotate(one.adata, model=model, rationale=None, labels=labels, groupby="group")
            pooled = np.asarray(one.adata.obsm["bioverse_scores"], np.float64)[first]
            values = np.asarray(one.adata.obsm["X_bioverse"], np.float32).reshape(one.adata.n_obs, 1, -1)
            means = np.stack([values[groups == i].mean(0) for i in range(len(first))])
            said = genes_of(one, model, groups, GroupConfig.genes)
            ways = group_ways(writer, means, said, list(labels), controls=cells is None)
            every[one.name] = {"without": pooled, **ways}
            print(f"{kind}, {one.name}: {len(first)}", flush=True)
        found[kind] = counted(every, truth)
    figures = json.loads((folder / "figures.json").read_text())
    return {"kinds": found, "training": figures, "genes": GroupConfig.genes}


def counted(every: Every, truth: dict[str, np.ndarray]) -> dict[str, Any]:
    """Right answers and likelihood (nats) by way, the weight that its word gets, and what that makes right or wrong."""
    joined = with_its_word(every, truth, BOTH)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    nats: dict[str, list[float]] = defaultdict(list)
    changed = [0, 0]
    for name, scores in joined["scores"].items():
        right = {way: one.argmax(1) == truth[name] for way, one in {**every[name], "with": scores}.items()}
        for way, one in {**every[name], "with": scores}.items():
            counts[way] = [counts[way][0] + int(right[way].sum()), counts[way][1] + len(truth[name])]
            likely = log_softmax(one, axis=1)[np.arange(len(truth[name])), truth[name]]
            nats[way] += likely.clip(-20).tolist()
        changed[0] += int((right["with"] & ~right["without"]).sum())
        changed[1] += int((right["without"] & ~right["with"]).sum())
    means = {way: round(float(np.mean(some)), 4) for way, some in nats.items()}
    return {"counts": counts, "nats": means, "weights": joined["weights"], "made right, made wrong": changed}

"""An adapter that reads groups of alike cells as soft tokens and as the names of their top genes: an experiment.

`python -m recipes.bioverse_small.group_words build/group_words` trains it for a model that is there, and
`python -m benchmarks.language_model --groups-adapter build/group_words` measures it. It is no part of the
checkpoint (`docs/language_model.md` says what it is worth).

Groups are simulated from the profiles of the whole body. Each set of profiles, what one group measured in one tissue,
stands for a study: its cells share a panel and factors of the platform, and a gene is said of a group where it is above
what is usual in that study. The answer is chosen among 4 to 16 terms: those of one set, or a cut through the ontology
in which near relatives meet. Some sets are held back; on their groups the adapter is judged while it learns, and the
one that does best there is kept. A run that was stopped goes on where its state was kept last.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from recipes.bioverse_small.batches import AugmentConfig, Pool, draw
from recipes.bioverse_small.cuts import CutConfig, CutSampler
from recipes.bioverse_small.data import BROAD_PROFILES, Profiles, load_profiles
from recipes.bioverse_small.encoder import Normaliser
from recipes.bioverse_small.profile_sets import set_names, without_sets
from recipes.bioverse_small.simulate import SimulationConfig, simulate
from recipes.bioverse_small.tune import TARGET
from scbioverse._device import autocast
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.knowledge.ontology import canonical_phrase
from scbioverse.knowledge.phrases import phrases
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse, load
from scbioverse.train import Batch, CandidateSet, fit
from scbioverse.train.autoregressive import restricted_loss
from scbioverse.train.instructions import Instruction, InstructionTask, Lessons

logger = logging.getLogger("recipes.bioverse_small")
QUESTION, ANSWER = "What are these cells?", "These cells are {}."
# A gene is said of a group of whose cells so many show it, and shares below this one differ by chance.
LEAST_SHOWN, LITTLE = 0.2, 1e-4
# Sets that no group of the training is of: lung, gullet, testis, heart, lavage fluid and bladder.
HELD_BACK = (
    "Adult_Lung_HCA",
    "Adult_Esophagus_HCA",
    "Adult_Testis_Guo",
    "Fetal_Heart_Descartes",
    "COVID-Infected_Bronchoalveolar_lavage_fluid_COVID19_cellAtlas",
    "HCL_AdultBladder",
)


@dataclass(frozen=True)
class GroupConfig:
    """Everything that decides the adapter, apart from model and profiles.

    Attributes
    ----------
    rounds
        Studies that are simulated of each set of profiles.
    cells
        Cells of a group, on average.
    genes
        Genes that are said of a group.
    narrow, least_panel, most_panel
        Share of studies that measure some genes only, and how many.
    words_only, soft_only
        Share of groups that are read without soft tokens, and without words.
    one_set
        Share of steps whose candidates are terms of one set.
    """

    rounds: int = 2
    cells: int = 12
    genes: int = 15
    narrow: float = 0.4
    least_panel: int = 200
    most_panel: int = 8000
    words_only: float = 0.25
    soft_only: float = 0.1
    one_set: float = 0.5
    cuts: CutConfig = field(default_factory=lambda: CutConfig(min_size=4, max_size=16))
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    steps: int = 120
    batch_size: int = 16
    lr: float = 1e-3


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of alike cells.

    Attributes
    ----------
    embeddings
        (n, dim) float32, mean over a group's cells.
    words
        What is said of each group's genes.
    term
        (n,) int, position in `terms`.
    source
        (n,) object, the set of profiles.
    """

    embeddings: np.ndarray
    words: list[str]
    term: np.ndarray
    source: np.ndarray
    terms: list[str]

    def __len__(self) -> int:
        return len(self.words)


def mean_share(counts: sparse.csr_matrix) -> np.ndarray:
    """Mean share that a gene has of a cell's counts, (G,)."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-12)
    return np.asarray((sparse.diags(1 / depth) @ counts).mean(axis=0)).ravel()


def genes_of_group(counts: sparse.csr_matrix, usual: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the n genes whose mean share in a group's cells is most times what is usual, and who shows them.

    `usual` is the mean share over a study's cells (:func:`mean_share`), infinite for a gene that is not to be said.
    Second comes the share of the cells that show each gene, float64 (n,). A gene that few show is left out.
    """
    shown = np.asarray((counts > 0).mean(axis=0)).ravel()
    above = np.where(shown >= LEAST_SHOWN, (mean_share(counts) + LITTLE) / (usual + LITTLE), 0.0)
    chosen = np.argsort(-above, kind="stable")[:n]
    chosen = chosen[above[chosen] > 1]
    return chosen, shown[chosen]


def words_of(genes: list[str]) -> str:
    """Say a group's genes."""
    return " ".join(genes) + "."


def simulate_groups(
    encoder: CompactCellEncoder, profiles: Profiles, config: GroupConfig, rng: np.random.Generator
) -> Groups:
    """Simulate `rounds` studies of each set of profiles, one group a profile."""
    names, genes, normaliser = set_names(profiles), np.array(encoder.stats.genes, object), Normaliser(encoder.stats)
    terms = sorted(set(profiles.cl_ids))
    place = {one: i for i, one in enumerate(terms)}
    vectors, words, found, source = [], [], [], []
    for name in np.repeat(sorted(set(names)), config.rounds):
        part = profiles.take(names == name)
        if len(set(part.cl_ids)) < config.cuts.min_size:
            continue  # what is usual in so small a study says little
        whole = replace(part, weights=np.ones_like(part.weights))
        counts, origin = simulate(whole, SimulationConfig(cells_per_profile=2 * config.cells), rng)
        one = np.full(len(origin), 1 / len(origin))
        pool = Pool(counts, part.panel.any(axis=0)[None], np.zeros(len(origin), int), origin, one)
        size = config.cells * len(part.cl_ids)
        drawn, panel, origin = draw(pool, size, AugmentConfig(panel_probability=0), rng)
        if rng.random() < config.narrow:
            drawn, panel = _narrowed(drawn, panel, config, rng)
        with torch.inference_mode():
            embedded = encoder.net(normaliser(drawn, panel)).numpy()
        matrix = sparse.csr_matrix(drawn)
        usual = mean_share(matrix)
        for profile in np.unique(origin):
            rows = np.flatnonzero(origin == profile)
            chosen, _ = genes_of_group(matrix[rows], usual, config.genes)
            if not chosen.size:
                continue
            vectors.append(embedded[rows].mean(axis=0))
            words.append(words_of(genes[chosen].tolist()))
            found.append(place[part.cl_ids[profile]])
            source.append(name)
    return Groups(np.array(vectors, np.float32), words, np.array(found), np.array(source, object), terms)


def _narrowed(
    counts: np.ndarray, panel: np.ndarray, config: GroupConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Measure some genes only, rather those that many cells show; a cell without any count is left with its panel."""
    most = int(np.exp(rng.uniform(np.log(config.least_panel), np.log(config.most_panel))))
    shown = (counts > 0).mean(axis=0)
    weight = np.where(panel.any(axis=0), shown**0.5 + 0.02, 0)
    n = min(most, int((weight > 0).sum()))
    kept = np.zeros(len(weight), bool)
    kept[rng.choice(len(weight), n, replace=False, p=weight / weight.sum())] = True
    return counts * kept, panel & kept


class GroupSampler(CutSampler):
    """Draws groups, each batch with a candidate set of its own; groups held back are read with all that they have."""

    def __init__(self, model: BioVerse, groups: Groups, config: GroupConfig, *, held: bool = False) -> None:
        rows = np.arange(len(groups), dtype=np.float32)[:, None]
        super().__init__(
            model, rows, groups.term, groups.terms, batch_size=config.batch_size,
            config=replace(config.cuts, other_name=0.0) if held else config.cuts,
        )  # fmt: skip
        self.settings, self.held = config, held
        self.template = model.text_writer.template
        # As `annotate` names a term, and not as single cells are asked about.
        self._names = [[canonical_phrase(node), *phrases(node)] for node in self.nodes]
        place = {node: i for i, node in enumerate(self.nodes)}
        self._sets = [
            np.array([place[groups.terms[i]] for i in np.unique(groups.term[groups.source == one])])
            for one in sorted(set(groups.source))
        ]

    def cut(self, rng: np.random.Generator) -> list[int]:
        """Draw terms of one set, of which none lies within another, or a cut through the ontology."""
        least, most = self.settings.cuts.min_size, self.settings.cuts.max_size
        if self.held or rng.random() < self.settings.one_set:
            nodes, chosen = rng.permutation(self._sets[rng.integers(len(self._sets))]), []
            for node in nodes:
                if not self._clash[node][chosen].any() and len(chosen) < most:
                    chosen.append(int(node))
            size = len(chosen) if self.held else int(rng.integers(least, most + 1))
            if len(chosen) >= least:
                return chosen[:size]
        return super().cut(rng)

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch; `examples` are groups, behind all of them those without soft tokens, then without words."""
        nodes, names, _ = self.named_cut(rng)
        label, picked = self.cells_of(nodes, self.batch_size, rng)
        said = list(map(ANSWER.format, names))
        ways = self.settings.words_only, self.settings.soft_only
        way = 0 if self.held else rng.choice(3, size=self.batch_size, p=[1 - sum(ways), *ways])
        return Batch(
            embeddings=self.embeddings[picked],
            texts=[said[i] for i in label],
            groups=np.array([nodes[i] for i in label]),
            candidates=CandidateSet(said, self.template.encode_answers(self.model.backbone, said)),
            examples=picked + way * len(self.embeddings),
        )


def lessons_of(groups: Groups) -> Lessons:
    """Make an example of each group with soft tokens and words, with words alone, and with soft tokens alone."""
    rows = range(len(groups))
    cell = [(("cell", i, ""),) for i in rows]

    def one(i: int, objects: Any, evidence: str) -> Instruction:
        term = groups.terms[groups.term[i]]
        return Instruction("group", QUESTION, term, f"{groups.source[i]}/{term}", objects, evidence)

    examples = [one(i, cell[i], groups.words[i]) for i in rows]
    examples += [one(i, (), groups.words[i]) for i in rows] + [one(i, cell[i], "") for i in rows]
    return Lessons(examples, {"cell": groups.embeddings})


class GroupTask(InstructionTask):
    """The loss is on the answer among the batch's candidates, up to where it is told from the others."""

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, and `right`, the share of groups in which every choice is right."""
        rows, texts, candidates = batch["examples"].tolist(), batch["texts"], batch["candidates"]
        heads = [one.ids[: one.start] for one in map(self.render, rows)]
        whole = self.template.encode_answers(self.backbone, texts)
        answers = [ids[:length] for ids, length in zip(whole, candidates.needed(texts), strict=True)]
        with autocast(self.backbone.device, torch.bfloat16):
            ids = [head + answer for head, answer in zip(heads, answers, strict=True)]
            hidden = self.read(rows, ids, self.beginning("question", ""))
        loss, right = restricted_loss(self.backbone, candidates.targets(texts), hidden, list(map(len, heads)))
        return {"loss": loss, "right": right, "guess": loss.new_tensor(np.log(len(candidates)))}


def judged(task: GroupTask, sampler: GroupSampler, batches: int, seed: int) -> dict[str, float]:
    """Loss and share of right answers on some batches, without learning."""
    task.train(False)
    with torch.inference_mode():
        found = [task(sampler(np.random.default_rng([seed, i, 1]))) for i in range(batches)]
    return {f"held_{name}": round(float(np.mean([one[name] for one in found])), 4) for name in found[0]}


def train_groups(
    model: BioVerse,
    groups: Groups,
    held: Groups,
    config: GroupConfig,
    seed: int,
    *,
    folder: Path,
    every: int = 30,
    batches: int = 6,
) -> dict[str, Any]:
    """Train the adapter, beginning from the model's own, and keep the one that is best on groups held back.

    Returns
    -------
    Figures; `folder` holds the state of the run, its history, and the adapter.
    """
    task = GroupTask(model, lessons_of(groups), config.adapter, train_projector=False, start=model.adapter, seed=seed)
    test = GroupTask(model, lessons_of(held), config.adapter, train_projector=False, start=model.adapter, seed=seed)
    test.backbone = task.backbone  # what learns is what is judged
    sampler, unseen = GroupSampler(model, groups, config), GroupSampler(model, held, config, held=True)
    best, notes = folder / "adapter", folder / "figures.json"
    figures: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {}
    if not figures:
        figures = {"groups": len(groups), "groups held back": len(held), "before": judged(test, unseen, batches, seed)}
        figures |= {"best": figures["before"] | {"step": 0}, "judged": []}
        notes.write_text(json.dumps(figures, indent=1) + "\n")
        logger.info("before: %s", figures["before"])

    def judge(step: int) -> dict[str, float]:
        found = judged(test, unseen, batches, seed)
        figures["judged"] = [one for one in figures["judged"] if one["step"] <= step] + [found | {"step": step + 1}]
        if found["held_loss"] < figures["best"]["held_loss"]:
            figures["best"] = found | {"step": step + 1}
            task.adapter().save(best, llm=model.config.llm.name)
        notes.write_text(json.dumps(figures, indent=1) + "\n")
        logger.info("step %d: %s", step + 1, found)
        return found

    history = fit(
        task, sampler, steps=config.steps, lr=config.lr, weight_decay=0.0, seed=seed,
        state=folder / "state", save_every=max(1, every // 2), every=every, micro_batch=8, callback=judge,
    )  # fmt: skip
    history.to_csv(folder / "history.csv", index=False)
    figures |= {"steps": len(history), "groups a step": config.batch_size, "seed": seed}
    figures |= {f"{name}, first 20": round(float(history[name].head(20).mean()), 3) for name in ("loss", "guess")}
    figures |= {f"{name}, last 50": round(float(history[name].tail(50).mean()), 3) for name in ("loss", "guess")}
    figures["seconds a step"] = round(float(history["seconds"].median()), 2)
    notes.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where state and adapter are kept: build/group_words")
    parser.add_argument("--model", type=Path, default=TARGET, help="whose cells, soft tokens and adapter to begin with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=GroupConfig.steps)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model, config = load(args.model), GroupConfig(steps=args.steps)
    encoder = model.encoders["cell"]
    if not isinstance(encoder, CompactCellEncoder):
        parser.error(f"{args.model} holds a {type(encoder).__name__}, not the compact encoder")
    began = time.perf_counter()
    profiles = load_profiles(np.array(encoder.stats.genes, dtype=object), BROAD_PROFILES)
    names = set_names(profiles)
    groups = simulate_groups(encoder, without_sets(profiles, HELD_BACK), config, np.random.default_rng([args.seed, 0]))
    others, few = profiles.take(np.isin(names, HELD_BACK)), replace(config, rounds=1)
    held = simulate_groups(encoder, others, few, np.random.default_rng([args.seed, 1]))
    logger.info("%d groups, %d held back, %.0f s", len(groups), len(held), time.perf_counter() - began)
    args.folder.mkdir(parents=True, exist_ok=True)
    logger.info("%s", json.dumps(train_groups(model, groups, held, config, args.seed, folder=args.folder), indent=1))


if __name__ == "__main__":
    main()

"""Questions and answers for stage 2, built from facts: the Cell Ontology, marker tables, cells of the training studies.

Every example names its source. Development tests never take part: cells come from :func:`data.training_studies` alone,
and a tenth of each study's cells is held back to measure the tuning on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from recipes.bioverse_small.data import Study
from recipes.bioverse_small.encoder import Normaliser
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.explain.expression import Expression
from scbioverse.explain.support import Claim, judge
from scbioverse.io import MatrixInfo
from scbioverse.knowledge import canonical_phrase, load_markers, load_ontology
from scbioverse.knowledge.phrases import answer_name
from scbioverse.train.instructions import Instruction, Lessons
from scbioverse.train.lessons import Group, comparison_lesson, group_lessons, nothing_lessons, term_lessons

logger = logging.getLogger("recipes.bioverse_small")

TISSUES = {
    "kang_ifnb_pbmc": "blood",
    "citeseq_pbmc10k_4000g": "blood",
    "pbmc_facs_zheng": "blood",
    "pbmc14k_facs_3500": "blood",
    "pbmc_sorted_mudan": "blood",
    "pancreas_baron_human": "pancreas",
}


@dataclass(frozen=True)
class LessonConfig:
    """How many examples are made."""

    cells_per_label: int = 60
    held_per_label: int = 12
    per_task: int = 8
    pairs_per_study: int = 20
    terms: int = 250
    noise: int = 60
    genes: int = 8


@dataclass(frozen=True, eq=False)
class Held:
    """Cells of one training study that no example speaks of.

    Attributes
    ----------
    study
        Its name.
    embeddings
        float32 (n, dim).
    truth
        int (n,): position in `candidates`.
    candidates
        Cell Ontology ids of the study's labels.
    """

    study: str
    embeddings: np.ndarray
    truth: np.ndarray
    candidates: list[str]


def make_lessons(
    encoder: CompactCellEncoder,
    studies: list[Study],
    genes: np.ndarray,
    config: LessonConfig,
    seed: int,
    names: str = "natural",
) -> tuple[Lessons, list[Held]]:
    """Build the examples, and the cells held back.

    Parameters
    ----------
    encoder
        The model's cell encoder.
    studies
        Training studies on the vocabulary `genes`.
    genes
        (G,) symbols.
    config
        How many.
    seed
        Chooses cells and wordings.
    names
        Form of names that the model answers with when asked for a label.
    """
    rng = np.random.default_rng([seed, 7])
    examples: list[Instruction] = []
    blocks: list[np.ndarray] = []
    held: list[Held] = []
    used: set[str] = set()
    size = 0
    for study in studies:
        groups, values, kept = _groups(encoder, study, genes, config, rng, size, names)
        blocks.append(values)
        size += len(values)
        held.append(kept)
        for group in groups:
            examples += group_lessons(group, rng, per_task=config.per_task)
            used.add(str(group.cl_id))
        for _ in range(config.pairs_per_study if len(groups) > 1 else 0):
            a, b = rng.choice(len(groups), 2, replace=False)
            made = comparison_lesson(groups[a], groups[b], rng)
            examples += [] if made is None else [made]
        logger.info("%s: %d labels, %d cells, %d held back", study.name, len(groups), len(values), len(kept.truth))
    cells = np.concatenate(blocks)
    noise = cells[rng.integers(len(cells), size=(config.noise, cells.shape[1])), np.arange(cells.shape[1])]
    examples += nothing_lessons(range(size, size + config.noise), rng)
    for cl_id in sorted(used) + _further_terms(used, config.terms, rng):
        examples += term_lessons(cl_id, rng)
    return Lessons(examples, {"cell": np.concatenate([cells, noise]).astype(np.float32)}), held


def _groups(
    encoder: CompactCellEncoder,
    study: Study,
    genes: np.ndarray,
    config: LessonConfig,
    rng: np.random.Generator,
    first: int,
    names: str,
) -> tuple[list[Group], np.ndarray, Held]:
    """Labels of a study with their genes, the embeddings they speak of (counted from `first`), and cells held back."""
    candidates = sorted(set(study.cl_ids) - {""})
    chosen: list[np.ndarray] = []
    back: list[np.ndarray] = []
    for cl_id in candidates:
        rows = rng.permutation(np.flatnonzero(study.cl_ids == cl_id))
        n_back = min(config.held_per_label, len(rows) // 4)
        back.append(rows[:n_back])
        chosen.append(rows[n_back : n_back + config.cells_per_label])
    rows = np.concatenate(chosen)
    values = embed_counts(encoder, study, rows)
    # Genes are tested on the very cells that the examples speak of, and on these alone.
    panel = np.flatnonzero(study.panel)
    info = MatrixInfo(len(rows), len(panel), "counts")
    expression = Expression(study.counts[rows][:, panel], [str(gene) for gene in genes[panel]], info)
    groups, at = [], 0
    for cl_id, own in zip(candidates, chosen, strict=True):
        inside = np.zeros(len(rows), bool)
        inside[at : at + len(own)] = True
        table = _top_genes(expression, inside, config.genes)
        places = list(range(first + at, first + at + len(own)))
        tissue, said = TISSUES.get(study.name, ""), answer_name(cl_id, names)
        groups.append(Group(canonical_phrase(cl_id), cl_id, places, table, study.name, tissue, said))
        at += len(own)
    held_rows = np.concatenate(back)
    truth = np.array([candidates.index(i) for i in study.cl_ids[held_rows]])
    return groups, values, Held(study.name, embed_counts(encoder, study, held_rows), truth, candidates)


def _top_genes(expression: Expression, inside: np.ndarray, n: int) -> pd.DataFrame:
    """Genes higher inside by the rules of the checker, the largest difference of fractions times fold change first."""
    columns = ["gene", "fraction_in", "fraction_out", "strength"]
    if inside.all():
        return pd.DataFrame(columns=columns)  # a study with one label has nothing to set its cells apart from
    genes = list(expression.positions)
    hits = expression.logs(genes)
    hits.data = np.ones_like(hits.data)
    rows = hits.tocsr()
    gap = np.asarray(rows[inside].mean(axis=0)).ravel() - np.asarray(rows[~inside].mean(axis=0)).ravel()
    short = [genes[i] for i in np.argsort(-gap, kind="stable")[:60]]
    found = [
        (gene, one.fraction_in, one.fraction_out, (one.fraction_in - one.fraction_out) * one.log_fold_change)
        for gene, one in expression.measure(inside, ~inside, short).items()
        if judge(Claim(gene, (gene,), "high", 0), {gene: one})[0] == "supported"
    ]
    table = pd.DataFrame(found, columns=columns)
    return table.sort_values(["strength", "gene"], ascending=[False, True]).head(n).reset_index(drop=True)


def embed_counts(encoder: CompactCellEncoder, study: Study, rows: np.ndarray) -> np.ndarray:
    """Embed some cells of a study on the vocabulary the encoder was trained on: (n, dim) float32."""
    normaliser = Normaliser(encoder.stats)
    out = []
    with torch.inference_mode():
        for start in range(0, len(rows), 512):
            counts = study.counts[rows[start : start + 512]].toarray()
            panel = np.repeat(study.panel[None], len(counts), axis=0)
            out.append(encoder.net(normaliser(counts, panel)).numpy())
    return np.concatenate(out)


def _further_terms(used: set[str], n: int, rng: np.random.Generator) -> list[str]:
    """Human terms with markers that no training cell has."""
    ontology = load_ontology()
    known = sorted({i for i in load_markers()["cl_id"] if i in ontology and i.startswith("CL:")} - used)
    return sorted(rng.choice(known, min(n, len(known)), replace=False).tolist())

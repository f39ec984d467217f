"""Tests of the annotation benchmark: a study's labelled cells, its labels as candidates, and the reference cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from recipes.bioverse_small.data import Study
from recipes.bioverse_small.terms import candidate_columns

MIN_GENES = 300


@dataclass(frozen=True)
class Test:
    """Cells of one study, each to be called by itself.

    Attributes
    ----------
    study
        The cells asked about, all labelled.
    group
        `"development"` or `"left out"`.
    fold
        The training that did not see the study.
    candidates
        The study's own labels as Cell Ontology ids, those too rare for the sub-sample included.
    truth
        int (n,): columns.
    """

    study: Study
    group: str
    fold: str
    candidates: list[str]
    truth: np.ndarray

    __test__ = False

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.study.name


def pose(study: Study, group: str, fold: str, max_cells: int, seed: int) -> Test:
    """Ask about at most `max_cells` labelled cells of a study, drawn once for all methods."""
    rows = np.flatnonzero(study.cl_ids != "")
    candidates = sorted(set(study.cl_ids[rows]))
    if len(rows) > max_cells:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_cells, replace=False))
    held = take(study, rows)
    return Test(held, group, fold, candidates, np.array([candidates.index(one) for one in held.cl_ids]))


def take(study: Study, rows: np.ndarray) -> Study:
    """Return some cells of a study."""
    return replace(study, counts=study.counts[rows], cl_ids=study.cl_ids[rows], labels=study.labels[rows])


@dataclass(frozen=True)
class Reference:
    """Real training cells that are of one of a test's candidates.

    Attributes
    ----------
    counts
        (n, g) CSR float32 on the genes `genes`, zero where a cell's study lacks the gene.
    label
        int (n,): columns of the test's candidates.
    study
        (n,) names.
    genes
        int (g,): positions in the vocabulary.
    missing
        Candidates without a reference cell: what learns from the reference cannot call them.
    """

    counts: sparse.csr_matrix
    label: np.ndarray
    study: np.ndarray
    genes: np.ndarray
    missing: list[str]


def map_to_candidates(cl_ids: np.ndarray, candidates: list[str]) -> np.ndarray:
    """Column of the candidate that each label is, or lies within; -1 for none. A finer candidate goes first."""
    terms = sorted(set(cl_ids) - {""})
    column = dict.fromkeys(["", *terms], -1)
    for i, at in enumerate(candidate_columns(candidates, terms)):
        column |= {terms[j]: i for j in at}
    return np.array([column[one] for one in cl_ids], dtype=np.int64)


def reference_for(test: Test, studies: list[Study], per_label: int, seed: int) -> Reference | None:
    """Gather reference cells of a test: at most `per_label` of each label of each study; None without any.

    Genes are those that the test and all reference studies measured. Where studies with small panels leave fewer than
    300, a gene counts that 90, 75 or 50 % of the reference cells were measured for: the strictest that leaves 300, or
    else that leaves most.
    """
    rng = np.random.default_rng(seed)
    counts, label, name, panels = [], [], [], []
    for study in studies:
        column = map_to_candidates(study.cl_ids, test.candidates)
        rows = [np.flatnonzero(column == one) for one in sorted(set(column) - {-1})]
        rows = [np.sort(rng.choice(at, per_label, replace=False)) if len(at) > per_label else at for at in rows]
        if rows:
            at = np.concatenate(rows)
            counts.append(study.counts[at])
            label.append(column[at])
            name.append(np.full(len(at), study.name, dtype=object))
            panels.append(study.panel)
    if not counts:
        return None
    share = np.array([len(one) for one in label]) / sum(map(len, label))
    measured = (np.array(panels) * share[:, None]).sum(0)
    options = [np.flatnonzero(test.study.panel & (measured >= least - 1e-9)) for least in (1.0, 0.9, 0.75, 0.5)]
    genes = next(one for one in options if len(one) >= min(MIN_GENES, len(options[-1])))
    labels = np.concatenate(label)
    missing = [one for i, one in enumerate(test.candidates) if i not in labels]
    return Reference(sparse.vstack(counts).tocsr()[:, genes], labels, np.concatenate(name), genes, missing)


def log_shares(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Log of counts scaled to 10,000 a cell over the columns given."""
    depth = np.maximum(np.asarray(counts.sum(1)).ravel(), 1e-6)
    return (sparse.diags(1e4 / depth) @ counts).log1p().tocsr().astype(np.float32)


def variable_genes(logged: sparse.csr_matrix, study: np.ndarray, n: int) -> np.ndarray:
    """Columns with the highest variance within studies, the mean of the studies' ranks, sorted."""
    rank = np.zeros(logged.shape[1])
    for one in np.unique(study.astype(str)):
        part = logged[study.astype(str) == one]
        variance = np.asarray(part.power(2).mean(0)).ravel() - np.asarray(part.mean(0)).ravel() ** 2
        rank += np.argsort(np.argsort(variance, kind="stable"), kind="stable") * part.shape[0]
    return np.sort(np.argsort(-rank, kind="stable")[:n])

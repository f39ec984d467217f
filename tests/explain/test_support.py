from __future__ import annotations

import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scbioverse.explain import support
from scbioverse.explain.reasons import grouped, reason
from scbioverse.explain.support import COLUMNS, evidence_of, worth_naming
from scbioverse.knowledge import resolve_label
from tests._group_evidence import group_evidence

B, T = "CL:0000236", "CL:0000084"
SYMBOLS = ["CD79A", "MS4A1", "CD3D", "CD3E", "ACTB", "GAPDH", "LYZ", "NKG7"] + [
    f"LINC0{i:04d}" for i in range(1000, 1032)
]
LABELS = {"b": B, "t": T}


def counts(n_b: int = 40, n_t: int = 60, seed: int = 0) -> tuple[sparse.csr_matrix, np.ndarray]:
    """B cells that express CD79A and MS4A1, T cells that express CD3D and CD3E, and noise."""
    rng = np.random.default_rng(seed)
    mean = np.full((n_b + n_t, len(SYMBOLS)), 5.0)
    mean[:, :4] = 0.05
    mean[:n_b, :2] = 4
    mean[n_b:, 2:4] = 4
    return sparse.csr_matrix(rng.poisson(mean).astype(np.float32)), np.array(["b"] * n_b + ["t"] * n_t)


def named(rows: pd.DataFrame) -> list[str]:
    return [one.gene for one in worth_naming(rows).claims]


def write(rows: pd.DataFrame, label: str) -> str:
    return reason(label, worth_naming(rows))


def supported(evidence: pd.DataFrame, group: str) -> set[str]:
    return set(evidence.loc[(evidence["group"] == group) & evidence["supported"], "gene"])


def test_planted_markers_and_no_others():
    X, groups = counts()
    evidence = group_evidence(X, SYMBOLS, groups, LABELS)
    assert list(evidence.columns) == COLUMNS
    assert supported(evidence, "b") == {"CD79A", "MS4A1"}
    assert supported(evidence, "t") == {"CD3D", "CD3E"}
    row = evidence[(evidence["group"] == "b") & (evidence["gene"] == "CD79A")].iloc[0]
    dense = X.toarray()
    np.testing.assert_allclose(row["fraction_in"], (dense[:40, 0] > 0).mean())
    np.testing.assert_allclose(row["fraction_out"], (dense[40:, 0] > 0).mean())
    scaled = dense / dense.sum(1, keepdims=True) * 1e4
    change = np.log2((scaled[:40, 0].mean() + 0.1) / (scaled[40:, 0].mean() + 0.1))
    np.testing.assert_allclose(row["log_fold_change"], change, rtol=1e-5)
    assert (row["n_in"], row["n_out"], row["kind"]) == (40, 60, "self")


def test_dense_sparse_counts_and_logs_agree():
    X, groups = counts()
    scaled = X.toarray() / X.toarray().sum(1, keepdims=True) * 1e4
    first = group_evidence(X, SYMBOLS, groups, LABELS)
    for other in (X.toarray(), np.log1p(scaled), sparse.csc_matrix(np.log1p(scaled))):
        again = group_evidence(other, SYMBOLS, groups, LABELS)
        pd.testing.assert_frame_equal(first, again, rtol=1e-4)


def test_row_order_does_not_matter():
    X, groups = counts()
    order = np.random.default_rng(1).permutation(len(groups))
    pd.testing.assert_frame_equal(
        group_evidence(X, SYMBOLS, groups, LABELS), group_evidence(X[order], SYMBOLS, groups[order], LABELS)
    )


def test_input_is_not_changed():
    X, groups = counts()
    before = X.copy()
    group_evidence(X, SYMBOLS, groups, LABELS)
    assert (before != X).nnz == 0


def test_sentence_reads_well():
    X, groups = counts()
    evidence = group_evidence(X, SYMBOLS, groups, LABELS)
    sentence = write(evidence[evidence["group"] == "b"], "B cell")
    first, second = evidence.loc[evidence["group"] == "b", "gene"].head(2)
    assert sentence.startswith(f"{first} (")
    assert " of these cells, " in sentence
    assert f" of others) and {second} (" in sentence
    assert sentence.endswith(" mark B cell.")
    assert named(evidence[evidence["group"] == "b"]) == [first, second]


@pytest.mark.parametrize("seed", range(8))
def test_every_gene_named_passes(seed):
    rng = np.random.default_rng(seed)
    X = sparse.csr_matrix(rng.poisson(rng.gamma(0.4, 2, size=len(SYMBOLS)), size=(60, len(SYMBOLS))).astype(float))
    groups = rng.choice(["b", "t", "x"], size=60)
    evidence = group_evidence(X, SYMBOLS, groups, {**LABELS, "x": None})
    for group in ("b", "t", "x"):
        rows = evidence[evidence["group"] == group]
        sentence, genes = write(rows, group), named(rows)
        assert set(genes) <= supported(rows, group)
        assert [gene for gene in SYMBOLS if f"{gene} (" in sentence] == sorted(genes, key=SYMBOLS.index)
        passing = rows[rows["supported"]]
        assert (passing["fraction_in"] >= 0.1).all()
        assert (passing["fraction_in"] > passing["fraction_out"]).all()
        assert (passing["log_fold_change"] > 0.25).all()
        assert (passing["p_adj"] < 0.01).all()


def test_parents_markers_count_as_ancestor():
    X, groups = counts()
    evidence = group_evidence(X, SYMBOLS, groups, {"b": B, "t": "CL:0000898"})  # naive T cell
    rows = evidence[(evidence["group"] == "t") & evidence["supported"]]
    assert set(rows["gene"]) == {"CD3D", "CD3E"}
    for gene, kind, cl_id in zip(rows["gene"], rows["kind"], rows["cl_id"], strict=True):
        assert (kind == "self") == (cl_id == "CL:0000898"), gene


def test_broader_type_is_named_as_such():
    rows = pd.DataFrame(
        {"group": "t", "gene": ["CD3D"], "kind": "ancestor", "cl_id": T, "fraction_in": 0.9, "fraction_out": 0.1,
         "log_fold_change": 3.0, "auc": 0.9, "p": 1e-9, "p_adj": 1e-9, "weight": 2.0, "n_in": 30, "n_out": 30,
         "supported": True}
    )  # fmt: skip
    sentence = write(rows, "naive T cell")
    assert "CD3D (90 % of these cells, 10 % of others) marks the broader type T cell" in sentence
    assert "no marker of naive T cell itself" in sentence


def test_nothing_supported_is_said():
    X, groups = counts()
    # Both are lymphocytes, whose marker CD3D is; but it marks T cells more and so is no reason for "B cell".
    swapped = group_evidence(X, SYMBOLS, groups, {"b": T, "t": B})
    assert not swapped["supported"].any()
    sentence = write(swapped[swapped["group"] == "b"], "T cell")
    assert sentence.startswith("None of the ")
    assert named(swapped[swapped["group"] == "b"]) == []


def test_unknown_label_and_unmeasured_markers_are_said():
    X, groups = counts()
    evidence = group_evidence(X, SYMBOLS, groups, {"b": None, "t": T})
    assert set(evidence["group"]) == {"t"}
    assert "No marker gene of odd is known" in write(evidence[evidence["group"] == "b"], "odd")
    nothing = group_evidence(X[:, 10:], SYMBOLS[10:], groups, LABELS)
    assert nothing.empty
    assert list(nothing.columns) == COLUMNS


def test_one_group_has_nothing_to_compare_with():
    X, _ = counts()
    evidence = group_evidence(X, SYMBOLS, np.array(["b"] * 100), LABELS)
    assert not evidence["supported"].any()
    assert evidence["fraction_out"].isna().all()


@pytest.mark.parametrize("n", [1, 5, 9])
def test_few_cells_are_judged_by_effect_and_it_is_said(n):
    X, groups = counts(n_b=n, n_t=60)
    evidence = group_evidence(X, SYMBOLS, groups, LABELS)
    rows = evidence[evidence["group"] == "b"]
    assert rows["p_adj"].isna().all()
    assert supported(evidence, "b") == {"CD79A", "MS4A1"} or (n == 1 and supported(evidence, "b"))
    assert "Too few cells for a test" in write(rows, "B cell")


def test_thresholds_count(monkeypatch):
    X, groups = counts()
    with monkeypatch.context() as patched:
        patched.setattr(support, "MIN_FRACTION", 1.01)
        assert not group_evidence(X, SYMBOLS, groups, LABELS)["supported"].any()
    monkeypatch.setattr(support, "MIN_CELLS", 1000)
    assert group_evidence(X, SYMBOLS, groups, LABELS)["p_adj"].isna().all()


def test_cells_without_a_group_do_not_count():
    X, groups = counts()
    some = pd.Categorical(np.where(np.arange(100) % 2 == 0, groups, None), categories=["b", "t", "absent"])
    keep = np.arange(0, 100, 2)
    pd.testing.assert_frame_equal(
        group_evidence(X, SYMBOLS, some, {**LABELS, "absent": B}),
        group_evidence(X[keep], SYMBOLS, groups[keep], LABELS),
    )


def test_older_gene_names_are_understood():
    X, groups = counts()
    renamed = ["CD20" if name == "MS4A1" else name for name in SYMBOLS]
    cells = ad.AnnData(X, var=pd.DataFrame(index=renamed))
    found = evidence_of(grouped(cells, pd.Categorical(groups).codes, 2), ["b", "t"], LABELS)
    assert supported(found, "b") == {"CD79A", "MS4A1"}


def test_real_cells_fast_and_right():
    from scbioverse.datasets import pbmc3k

    adata = pbmc3k()
    groups = pd.Categorical(adata.obs["cell_type"])
    labels = {name: resolve_label(name).cl_id for name in groups.categories}
    group_evidence(adata.X[:50], list(adata.var_names), groups[:50], labels)
    start = time.process_time()
    evidence = group_evidence(adata.X, list(adata.var_names), groups, labels)
    assert time.process_time() - start < 2
    for name in set(groups.categories) - {"unassigned"}:
        rows = evidence[evidence["group"] == name]
        assert len(named(rows)) >= 3, name
        assert set(named(rows)) <= supported(rows, name)
    assert {"CD79A", "MS4A1"} <= set(named(evidence[evidence["group"] == "B"]))


def test_given_genes_that_set_nothing_apart_are_said():
    X, groups = counts()
    given = {"b": ["CD3D", "CD3E"], "t": ["ACTB"]}
    evidence = group_evidence(X, SYMBOLS, groups, LABELS, given=given)
    said = write(evidence[evidence["group"] == "b"], "my B")
    assert "None of the genes that you gave for my B (CD3E and CD3D) sets these cells apart." in said
    assert "ACTB, which you gave for t, does not set" in write(evidence[evidence["group"] == "t"], "t")
    evidence = group_evidence(X, SYMBOLS, groups, LABELS, given={"b": ["CD79A", "CD3E"]})
    assert "you gave for b" in write(evidence[evidence["group"] == "b"], "b")
    assert "None of the genes" not in write(evidence[evidence["group"] == "b"], "b")

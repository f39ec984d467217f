"""Sums over blocks say what the same cells in memory say: shares exactly, ranks within the error that is stated."""

from __future__ import annotations

from functools import cache
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.explain import over_blocks
from scbioverse.explain.expression import InMemory
from scbioverse.explain.over_blocks import OverBlocks
from scbioverse.explain.reasons import grouped, reasons
from scbioverse.io import Cells

NAMES = ["B", "CD8 T", "NK", "Platelet"]
IDS = ["CL:0000236", "CL:0000625", "CL:0000623", "CL:0000233"]


@cache
def blood() -> Any:
    return sb.datasets.pbmc3k()


def codes() -> Any:
    names = blood().obs["cell_type"].astype(str)
    return np.array([NAMES.index(one) if one in NAMES else -1 for one in names])


def both(adata: Any, of: Any) -> tuple[InMemory, OverBlocks]:
    exact = grouped(adata, of, len(NAMES))
    assert isinstance(exact, InMemory)
    return exact, OverBlocks(Cells.of(adata), of, len(NAMES))


def logs(base: float = np.e) -> ad.AnnData:
    adata = blood()
    X = sp.csr_matrix(adata.X, dtype=np.float32)
    X.data *= np.repeat(1e4 / np.asarray(X.sum(axis=1)).ravel(), np.diff(X.indptr)).astype(np.float32)
    return ad.AnnData(X.log1p() / np.float32(np.log(base)), obs=adata.obs, var=adata.var)


@pytest.mark.parametrize("base", [None, np.e, 2.0])
def test_shares_are_exact_and_ranks_within_the_error(base: float | None) -> None:
    exact, added = both(blood() if base is None else logs(base), codes())
    genes = [gene for gene in exact.positions if exact.hits()[:, exact.positions[gene]].sum() > 20][::7]
    a, b = exact.statistics(genes), added.statistics(genes)
    np.testing.assert_array_equal(added.sizes, exact.sizes)
    for name in ("fraction_in", "fraction_out", "n_in", "n_out"):
        np.testing.assert_array_equal(b[name], a[name])
    # Logs are rounded to 5 digits in memory.
    np.testing.assert_allclose(b["log_fold_change"], a["log_fold_change"], atol=2e-3)
    apart = np.abs(b["auc"] - a["auc"])
    assert apart.max() <= added.auc_error
    assert 0 < added.auc_error < 0.03
    # Bins cost something: were they not used, there would be nothing to bound.
    assert apart.max() > 1e-6
    assert ((a["p"] < 1e-3) == (b["p"] < 1e-3)).mean() > 0.995


def test_two_groups_and_genes_without_bins() -> None:
    exact, added = both(blood(), codes())
    added.statistics(["CD3D"])
    a, b = exact.measure(0, ["MS4A1", "CD3D"], 2), added.measure(0, ["MS4A1", "CD3D"], 2)
    for gene in a:
        assert (b[gene].fraction_in, b[gene].fraction_out) == (a[gene].fraction_in, a[gene].fraction_out)
        assert (b[gene].n_in, b[gene].n_out) == (a[gene].n_in, a[gene].n_out)
        assert b[gene].log_fold_change == pytest.approx(a[gene].log_fold_change, abs=2e-3)
        assert b[gene].p_high == pytest.approx(a[gene].p_high, rel=0.2) or max(a[gene].p_high, b[gene].p_high) < 1e-20
    for code in range(len(NAMES)):
        assert added.standing_out(code, 2) == exact.standing_out(code, 2)
    np.testing.assert_array_equal(added.shares(["CD3D"]), exact.shares(["CD3D"]))


def test_blocks_and_the_order_of_rows_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    adata, of = blood(), codes()
    wanted = OverBlocks(Cells.of(adata), of, len(NAMES)).statistics(["CD3D", "MS4A1", "NKG7"])
    order = np.random.default_rng(0).permutation(adata.n_obs)
    monkeypatch.setattr("scbioverse.io.cells._ROWS", 300)
    found = OverBlocks(Cells.of(adata[order].copy()), of[order], len(NAMES)).statistics(["CD3D", "MS4A1", "NKG7"])
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


def test_fewer_bins_where_there_is_no_room_and_a_larger_error(monkeypatch: pytest.MonkeyPatch) -> None:
    fine, coarse = (OverBlocks(Cells.of(blood()), codes(), len(NAMES)) for _ in range(2))
    genes = ["CD3D", "MS4A1", "NKG7"]
    fine.statistics(genes)
    monkeypatch.setattr(over_blocks, "_MOST_BINS", 300)
    exact, found = both(blood(), codes())[0].statistics(genes), coarse.statistics(genes)
    assert coarse.auc_error > 4 * fine.auc_error
    assert np.abs(found["auc"] - exact["auc"]).max() <= coarse.auc_error


def test_labels_that_no_cell_has_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    of, genes = codes(), ["CD3D", "MS4A1", "NKG7"]
    monkeypatch.setattr(over_blocks, "_MOST_BINS", len(genes) * len(NAMES) * 24 * 16)  # the finest of four groups
    few = OverBlocks(Cells.of(blood()), of, len(NAMES))
    many = OverBlocks(Cells.of(blood()), np.where(of < 0, -1, 7 * of + 2), 3000)
    wanted, found = few.statistics(genes), many.statistics(genes)
    at = 7 * np.arange(len(NAMES)) + 2
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name][..., at], values)
    assert many.auc_error == few.auc_error
    assert many.hits().sum() == few.hits().sum()
    assert many.standing_out(2, 2) == few.standing_out(0, 2)
    assert many.measure(2, genes, 9) == few.measure(0, genes, 1)


def test_reasons_of_many_cells_are_of_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    few = reasons(blood(), NAMES, IDS, codes())
    assert few.measured == {"cells": int((codes() >= 0).sum()), "auc_error": 0.0}
    monkeypatch.setattr("scbioverse.explain.reasons.SAMPLE_CELLS", 100)
    many = reasons(blood(), NAMES, IDS, codes())
    assert many.measured["cells"] == few.measured["cells"]
    assert 0 < many.measured["auc_error"] < 0.03
    assert many.sentences == few.sentences
    for name in ("gene", "fraction_in", "fraction_out", "n_in", "n_out"):
        assert many.table[name].tolist() == few.table[name].tolist()

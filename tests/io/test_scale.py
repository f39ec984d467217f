from __future__ import annotations

import math

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats

import scbioverse as sb
from scbioverse.errors import BioverseError, InputError
from scbioverse.io import Cells, MatrixInfo
from scbioverse.io._scale import guess_scale, sum_spread, whole_multiples


def info_of(matrix: sp.csr_array | np.ndarray) -> MatrixInfo:
    return Cells.of(ad.AnnData(matrix)).info


BASES = {"natural": math.e, "log2": 2.0, "log10": 10.0}


@pytest.fixture(scope="module")
def counts() -> sp.csr_array:
    """Real counts: every tenth cell of the bundled data."""
    return sp.csr_array(sb.datasets.pbmc3k()[::10].X)


def normalised(counts: sp.csr_array, total: float = 1e4) -> sp.csr_array:
    """Scale each cell to `total`."""
    return sp.csr_array(sp.diags_array(total / np.asarray(counts.sum(axis=1)).ravel()) @ counts).astype(np.float32)


def log_of(linear: sp.csr_array, base: float) -> sp.csr_array:
    out = linear.copy()
    out.data = (np.log1p(out.data) / math.log(base)).astype(np.float32)
    return out


def smart_seq(n: int = 120, m: int = 3000) -> sp.csr_array:
    """Fractional values without a unit, as RSEM gives."""
    rng = np.random.default_rng(1)
    values = rng.gamma(0.4, 1.0, (n, m)) * rng.lognormal(0, 1.5, m) * (rng.random((n, m)) < 0.3)
    return sp.csr_array(values.astype(np.float32))


@pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())
@pytest.mark.parametrize("n_genes", [None, 2000, 250], ids=["all genes", "2000 genes", "250 genes"])
@pytest.mark.parametrize("total", [1e4, 1e6], ids=["1e4", "1e6"])
def test_base_of_real_log_values(counts: sp.csr_array, base: float, n_genes: int | None, total: float) -> None:
    values = log_of(normalised(counts, total), base)
    if n_genes is not None:
        columns = np.random.default_rng(0).choice(values.shape[1], n_genes, replace=False)
        values = values[:, columns]
    info = info_of(values)
    assert (info.scale, info.log_base) == ("log", base)
    assert (info.target_sum is not None) == (n_genes is None)
    if n_genes is None:
        assert info.target_sum == pytest.approx(total, rel=1e-3)


def test_spread_of_sums_alone_would_mislead_on_a_subset(counts: sp.csr_array) -> None:
    # The reason for the test of whole multiples: on a subset of genes a smaller base shrinks every spread.
    columns = np.random.default_rng(0).choice(counts.shape[1], 2000, replace=False)
    values = log_of(normalised(counts), math.e)[:, columns]
    assert sum_spread(values, 2.0)[0] < sum_spread(values, math.e)[0]
    assert whole_multiples(values, math.e)[0] > 0.99
    assert whole_multiples(values, 2.0)[0] < 0.2


def test_log_of_counts_that_were_not_normalised(counts: sp.csr_array) -> None:
    info = info_of(log_of(counts, math.e))
    assert (info.scale, info.log_base) == ("log", math.e)


@pytest.mark.parametrize("base", [math.e, 2.0], ids=["natural", "log2"])
def test_log_of_counts_stored_with_two_digits(counts: sp.csr_array, base: float) -> None:
    values = log_of(counts, base)
    values.data = np.round(values.data, 2)
    assert info_of(values).log_base == base


@pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())
def test_values_without_a_unit_are_told_by_equal_sums(base: float) -> None:
    info = info_of(log_of(normalised(smart_seq(), 1e4), base))
    assert (info.log_base, info.evidence) == (base, "equal sums of all cells")


def test_natural_log_is_assumed_where_nothing_tells() -> None:
    values = log_of(normalised(smart_seq(), 1e4), math.e)[:, :300]
    info = info_of(values)
    assert info.log_base == math.e
    assert "assumed" in info.evidence


def test_base_two_when_too_large_for_natural_logs() -> None:
    linear = smart_seq()[:, :300] * 10.0
    linear.data[0] = 200_000
    info = info_of(log_of(sp.csr_array(linear), 2.0))
    assert info.log_base == 2.0


def test_linear_values_are_linear_whatever_their_size(counts: sp.csr_array) -> None:
    assert info_of(counts).scale == "counts"
    assert info_of(normalised(counts)).scale == "counts"
    assert info_of(normalised(counts)).target_sum == pytest.approx(1e4, rel=1e-3)
    # Normalised to so small a total that no value exceeds a possible logarithm.
    small = normalised(counts, 100.0)
    assert small.max() < 50
    assert info_of(small).scale == "counts"
    fractional = smart_seq() * 20.0
    assert fractional.max() > 50
    assert info_of(fractional).scale == "counts"


def test_one_cell_and_hardly_any_values_do_not_crash() -> None:
    one = sp.csr_array(np.array([[0.0, 0.6931, 1.0986]], dtype=np.float32))
    assert guess_scale(one, largest=1.1).scale == "log"
    assert guess_scale(sp.csr_array((3, 4), dtype=np.float32), largest=1.5).log_base == math.e


def test_explicit_zeros_do_not_count_as_the_smallest_value(counts: sp.csr_array) -> None:
    values = log_of(normalised(counts), math.e)
    values.data[::3] = 0
    assert info_of(values).log_base == math.e


def test_real_log2_panel_of_219_genes() -> None:
    try:
        adata = sb.datasets.load("pancreas_wang_501_219g_log")
    except (BioverseError, KeyError) as error:
        pytest.skip(f"data set not at hand: {error}")
    info = info_of(adata.X)
    assert (info.scale, info.log_base) == ("log", 2.0)


@pytest.mark.parametrize("genes", [slice(None), slice(0, None, 40)], ids=["all", "panel"])
@pytest.mark.parametrize("total", [None, 1e4], ids=["counts", "normalised"])
def test_square_roots_are_refused(counts: sp.csr_array, genes: slice, total: float | None) -> None:
    values = counts[:, genes] if total is None else normalised(counts, total)[:, genes]
    with pytest.raises(InputError, match=r"square roots.*\*\* 2"):
        info_of(values.sqrt())
    assert info_of(sp.csr_array(values.sqrt()).power(2)).scale == "counts"
    assert info_of(log_of(sp.csr_array(values), 2.0)).log_base == 2.0


def test_cells_of_equal_length_are_refused(counts: sp.csr_array) -> None:
    logs = log_of(normalised(counts), 2.0)
    length = np.sqrt(np.asarray(logs.power(2).sum(axis=1)).ravel())
    with pytest.raises(InputError, match="same sum"):
        info_of(sp.csr_array(sp.diags_array(1 / length) @ logs))


@pytest.mark.parametrize("genes", [slice(None), slice(0, None, 40)], ids=["all", "panel"])
def test_counts_of_cells_of_equal_length_are_linear_values(counts: sp.csr_array, genes: slice) -> None:
    held = sp.csr_array(counts[:, genes], dtype=np.float64)
    held = held[np.asarray(held.sum(axis=1)).ravel() > 0]
    length = np.sqrt(np.asarray(held.power(2).sum(axis=1)).ravel())
    assert info_of(sp.csr_array(sp.diags_array(1 / length) @ held)).scale == "counts"


def test_means_of_some_cells_are_not_taken_for_cells_of_equal_length(counts: sp.csr_array) -> None:
    logs = log_of(normalised(counts), math.e)
    # Four samples whose lengths differ by half a per cent, and whose sums differ by more.
    parts = [sp.csr_array(logs[i::4]) for i in range(4)]
    means = np.vstack([np.asarray(part.mean(axis=0)).ravel() for part in parts])
    means[:, means.max(axis=0) > 2] *= np.array([[0.9], [1.0], [1.05], [1.1]])
    means *= (np.array([1, 1.003, 0.997, 1.005]) / np.sqrt((means**2).sum(axis=1)))[:, None]
    assert info_of(means).scale == "log"


@pytest.mark.parametrize("transform", ["ranks", "roots of Freeman and Tukey", "log2(x + 4)"])
def test_what_has_something_else_for_zero_is_refused(counts: sp.csr_array, transform: str) -> None:
    values = counts[:60].toarray().astype(np.float32)
    if transform == "ranks":
        moved = scipy.stats.rankdata(values, axis=1).astype(np.float32)
    elif transform == "log2(x + 4)":
        moved = np.log2(values + 4)
    else:
        moved = np.sqrt(values) + np.sqrt(values + 1)
    with pytest.raises(InputError, match="has no zeros"):
        info_of(moved)


def test_values_without_zeros_that_are_not_tied_are_read(counts: sp.csr_array) -> None:
    smoothed = log_of(normalised(counts), math.e).toarray() + np.float32(0)
    smoothed = 0.5 * smoothed + 0.5 * smoothed.mean(axis=0)  # as imputation does
    assert info_of(smoothed[:, smoothed.min(axis=0) > 0]).scale == "log"
    abundant = counts[:, np.argsort(-np.asarray(counts.mean(axis=0)).ravel())[:40]].toarray() + 1
    abundant *= np.random.default_rng(0).integers(1, 9, abundant.shape)
    assert info_of(abundant).scale == "counts"


def with_fractions(counts: sp.csr_array, rng: np.random.Generator, share: float = 0.15) -> sp.csr_array:
    """Counts of which a share lost a part, as where reads are divided among genes."""
    out = sp.csr_array(counts, dtype=np.float32).copy()
    out.data = np.minimum(out.data, 45)
    out.data -= ((rng.random(out.data.size) < share) * rng.random(out.data.size) * 0.9).astype(np.float32)
    return out


def cleaned(counts: sp.csr_array, rng: np.random.Generator) -> sp.csr_array:
    """Few counts, each a little less, as where those of other cells' molecules were taken away."""
    out = sp.csr_array(counts, dtype=np.float32).copy()
    out.data = rng.binomial(out.data.astype(np.int64), 0.2).astype(np.float32)
    out.eliminate_zeros()
    out.data -= (rng.random(out.data.size) * 0.2).astype(np.float32)
    return out


@pytest.mark.parametrize("genes", [slice(None), slice(0, None, 40)], ids=["all", "panel"])
def test_counts_of_which_most_are_whole_are_counts(counts: sp.csr_array, genes: slice) -> None:
    values = with_fractions(counts, np.random.default_rng(1))[:, genes]
    assert values.max() < 50
    info = info_of(values)
    assert (info.scale, info.log_base, info.doubtful) == ("counts", None, False)
    assert "whole numbers" in info.evidence
    # The logarithms of the same are none, whole as those of one count are to base 2.
    for base in BASES.values():
        assert info_of(log_of(values, base)).scale == "log"


@pytest.mark.parametrize("genes", [slice(None), slice(0, None, 10)], ids=["all", "panel"])
def test_cleaned_counts_are_read_as_counts_with_a_warning(counts: sp.csr_array, genes: slice) -> None:
    adata = ad.AnnData(cleaned(counts, np.random.default_rng(1))[:, genes])
    adata.var_names = sb.datasets.pbmc3k().var_names[genes]
    with pytest.warns(UserWarning, match=r"not certain.*linear values.*pass the counts"):
        found = sb.pp.check_cells(adata)
    assert found["scale"] == "counts"
    assert info_of(log_of(sp.csr_array(adata.X), math.e)).scale == "log"


def test_an_assumed_logarithm_is_warned_about() -> None:
    adata = ad.AnnData(log_of(normalised(smart_seq(m=3000), 1e4), math.e)[:, :300])
    adata.var_names = sb.datasets.pbmc3k().var_names[:300]
    with pytest.warns(UserWarning, match=r"adata.X is not certain.*natural-log.*round them"):
        sb.pp.check_cells(adata)
    adata.layers["other"] = adata.X
    with pytest.warns(UserWarning, match="layer 'other' is not certain"):
        sb.pp.check_cells(adata, layer="other")


@pytest.mark.parametrize("counted", [slice(0, 135), slice(0, None, 10), slice(30, None)], ids=["half", "few", "most"])
def test_counts_in_some_cells_and_logarithms_in_others_are_refused(counts: sp.csr_array, counted: slice) -> None:
    values = log_of(normalised(counts), math.e).toarray()
    values[counted] = counts.toarray()[counted]
    share = round(100 * len(values[counted]) / len(values))
    adata = ad.AnnData(sp.csr_array(values))
    adata.var_names = sb.datasets.pbmc3k().var_names
    with pytest.raises(InputError, match=rf"two scales: about {share}% .* hold whole numbers"):
        sb.pp.check_cells(adata)


def test_linear_values_of_two_kinds_are_read(counts: sp.csr_array) -> None:
    values = counts.toarray().astype(np.float32)
    values[::2] *= 0.37
    assert info_of(values).scale == "counts"
    # Cells of few genes, all with the median number of counts, stay whole when divided to it.
    assert info_of(normalised(counts[:, ::40], 50.0)).scale == "counts"


@pytest.mark.parametrize("genes", [slice(None), slice(0, None, 40)], ids=["all", "panel"])
@pytest.mark.parametrize("total", [None, 1e4], ids=["counts", "normalised"])
def test_logarithms_of_logarithms_are_refused(counts: sp.csr_array, genes: slice, total: float | None) -> None:
    linear = counts if total is None else normalised(counts, total)
    once = log_of(sp.csr_array(linear), math.e)[:, genes]
    assert info_of(once).scale == "log"
    with pytest.raises(InputError, match="logarithms of logarithms"):
        info_of(log_of(sp.csr_array(once), math.e))

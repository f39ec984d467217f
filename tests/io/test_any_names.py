"""Gene names may be any text: they are read or refused with an error of ours, and their order changes nothing."""

from __future__ import annotations

from functools import cache

import anndata as ad
import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import scbioverse as sb
from scbioverse.io import Cells, match_genes
from scbioverse.knowledge import load_genes

BOUNDS = settings(max_examples=40, deadline=None, derandomize=True)
KNOWN = ["MS4A1", "CD20", "Bp35", "CD3D", "NKX2-1", "HLA-DRB1", "HLA.DRB1", "ENSG00000156738", "C1ORF112", "SEPT4"]
GLUE = ["", "-1", ".1", "-2", " ", "_", "|7", "hg19_", "GRCh38_", "ENSG00000156738_"]
NAMES = st.one_of(
    st.text(max_size=12),
    st.tuples(st.sampled_from(GLUE), st.sampled_from(KNOWN), st.sampled_from(GLUE)).map("".join),
    st.sampled_from(KNOWN).map(str.lower),
)


@cache
def vocabulary() -> list[str]:
    return load_genes().symbols


def cells(names: list[str], seed: int) -> ad.AnnData:
    counts = np.random.default_rng(seed).poisson(0.6, (12, len(names))).astype(np.float32)
    counts[:, 0] += 1
    adata = ad.AnnData(sp.csr_matrix(counts))
    adata.var["name"] = names
    return adata


def outcome(adata: ad.AnnData) -> tuple[str, object]:
    """What comes of it: by gene the column's own name, or what was said."""
    try:
        match = Cells.of(adata, key="name").match(vocabulary(), min_genes=1)
    except sb.errors.BioverseError as error:
        return type(error).__name__, None
    names = list(adata.var["name"])
    return "read", {vocabulary()[at]: names[i].strip() for at, i in zip(match.vocab, match.columns, strict=True)}


@BOUNDS
@given(st.lists(NAMES, min_size=1, max_size=30, unique_by=str.strip), st.integers(0, 2**16), st.randoms())
def test_the_order_of_columns_changes_nothing(names, seed, shuffled):
    adata = cells(names, seed)
    order = list(range(len(names)))
    shuffled.shuffle(order)
    assert outcome(adata[:, order].copy()) == outcome(adata)


@BOUNDS
@given(st.lists(NAMES, min_size=1, max_size=30), st.integers(0, 2**16))
def test_any_names_are_read_or_refused(names, seed):
    adata = cells(names, seed)
    before = adata.copy()
    said, found = outcome(adata)
    assert said in ("read", "InputError")
    assert found is None or found
    try:
        report = sb.pp.check_cells(adata, key="name", min_genes=1)
    except sb.errors.InputError:
        assert said == "InputError"
    else:
        assert report["n_matched"] == len(found)
    assert list(adata.var["name"]) == list(before.var["name"])


@BOUNDS
@given(
    st.lists(st.one_of(st.none(), st.floats(), st.integers(), st.binary(max_size=8), NAMES), min_size=1, max_size=30)
)
def test_names_of_any_type_are_read_or_refused(names):
    adata = cells(["x"] * len(names), 0)
    adata.var["name"] = np.array([*names, None], dtype=object)[:-1]
    assert outcome_of_any(adata) in ("read", "InputError")


def outcome_of_any(adata: ad.AnnData) -> str:
    try:
        Cells.of(adata, key="name").match(vocabulary(), min_genes=1)
    except sb.errors.BioverseError as error:
        return type(error).__name__
    return "read"


@BOUNDS
@given(st.lists(NAMES, max_size=30, unique_by=str.strip))
def test_each_gene_and_each_column_is_used_once(names):
    match = match_genes(names, vocabulary(), min_genes=0)
    assert len(set(match.vocab.tolist())) == match.vocab.size
    assert len(set(match.columns.tolist())) == match.columns.size
    assert (np.diff(match.columns) > 0).all()
    assert match.n_symbol + match.n_alias + match.n_ensembl == match.vocab.size
    claimed = sum(len(some) for some in match.rivals.values())
    assert match.n_collisions == claimed - len(match.rivals)

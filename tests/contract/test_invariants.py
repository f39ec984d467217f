"""What a cell gets depends on the cell: not on the rows beside it, their order, or how many are read together."""

from __future__ import annotations

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb

from . import _data as data
from ._annotate import SCENARIOS
from ._golden import PROBABILITY, annotation, differences, read, unpack

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
BY_NAME = {one.name: one for one in SCENARIOS}


@pytest.mark.parametrize("name", ["nearest_names", "score_names", "cascade_names"])
@pytest.mark.parametrize(
    "rows",
    [lambda n: np.arange(n)[::-1], lambda n: np.arange(1, n, 2), lambda n: np.array([n - 1])],
    ids=["reversed", "half", "one"],
)
def test_other_rows_do_not_matter(name: str, rows: Callable[[int], np.ndarray]) -> None:
    scenario, wanted = BY_NAME[name], read(f"annotate_{name}")
    cells = scenario.cells()
    chosen = rows(cells.n_obs)
    some = cells[chosen].copy()
    sb.tl.annotate(some, model=data.model(), **{**scenario.options, "rationale": None})
    assert list(some.obs["bioverse_label"]) == list(np.array(unpack(wanted.text["label"]))[chosen])
    for column in ("confidence", "margin", "elsewhere"):
        found = some.obs[f"bioverse_{column}"].to_numpy()
        np.testing.assert_allclose(found, wanted.numbers[column][chosen], rtol=0, atol=PROBABILITY + 1e-5)


@pytest.mark.parametrize("n", [997, 1301, 2699])
def test_the_last_digit_does_not_depend_on_where_a_row_stands(n: int) -> None:
    cells = sb.datasets.pbmc3k()[:n].copy()
    sb.tl.embed(cells, model=data.model())
    turned = cells[::-1].copy()
    for one in (cells, turned):
        sb.tl.annotate(one, model=data.model(), labels=["B", "NK", "CD8 T", "Naive CD4 T", "DC"], rationale=None)
    np.testing.assert_array_equal(turned.obsm["bioverse_scores"], cells.obsm["bioverse_scores"][::-1])
    np.testing.assert_array_equal(turned.obs["bioverse_elsewhere"], cells.obs["bioverse_elsewhere"][::-1])


@pytest.mark.parametrize(("name", "size"), [("score_names", 7), ("generate_names", 16), ("panel", 7)])
def test_batch_size_does_not_matter(name: str, size: int) -> None:
    scenario = BY_NAME[name]
    adata = scenario.cells()
    sb.tl.annotate(adata, model=data.model(), batch_size=size, **scenario.asked)
    said = differences(read(f"annotate_{name}"), annotation(adata))
    assert not said, "\n".join(said)


def test_a_second_call_and_another_model_before_it_change_nothing() -> None:
    scenario = BY_NAME["cascade_names"]
    adata = scenario.cells()
    sb.tl.annotate(adata, model=data.model(), labels=["B", "NK"], method="nearest")
    for _ in range(2):
        sb.tl.annotate(adata, model=data.model(), **scenario.asked)
    said = differences(read("annotate_cascade_names"), annotation(adata))
    assert not said, "\n".join(said)


def test_order_of_candidates_and_of_genes_does_not_matter() -> None:
    scenario, wanted = BY_NAME["panel"], read("annotate_panel")
    adata = scenario.cells()
    adata = adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()
    sb.tl.annotate(adata, model=data.model(), labels=data.NAMES[::-1], rationale=None)
    assert list(adata.obs["bioverse_label"]) == unpack(wanted.text["label"])
    found = sb.get.scores(adata)[data.NAMES].to_numpy()
    np.testing.assert_allclose(np.exp(found), np.exp(wanted.numbers["scores"]), rtol=0, atol=PROBABILITY + 1e-5)


def test_a_copy_leaves_the_cells_and_holds_the_same() -> None:
    scenario = BY_NAME["nearest_names"]
    adata = scenario.cells()
    before = (list(adata.obs), list(adata.obsm), dict(adata.uns))
    done = sb.tl.annotate(adata, model=data.model(), copy=True, **scenario.asked)
    assert (list(adata.obs), list(adata.obsm), dict(adata.uns)) == before
    said = differences(read("annotate_nearest_names"), annotation(done))
    assert not said, "\n".join(said)


def test_records_name_the_model_that_was_used() -> None:
    adata = data.blood(90)
    sb.tl.annotate(adata, model=data.model(), labels=data.NAMES, rationale=None)
    records = sb.get.records(adata)
    assert records["annotate"]["fingerprint"] == data.model().fingerprint()
    assert records["embed"]["fingerprint"] == data.model().encoders["cell"].fingerprint()
    assert set(records["annotate"]["versions"]) >= {"scbioverse", "torch", "transformers", "anndata", "numpy"}


def embedded(parts: dict[str, ad.AnnData]) -> ad.AnnData:
    mudata = pytest.importorskip("mudata")
    with mudata.set_options(pull_on_update=False):
        whole = mudata.MuData(parts)
    sb.tl.embed(whole, model=data.model())
    return whole.mod["rna"]


def test_a_part_of_mudata_is_embedded_as_by_itself() -> None:
    alone = data.blood(45)
    proteins = ad.AnnData(np.ones((alone.n_obs, 2), np.float32), obs=pd.DataFrame(index=alone.obs_names))
    proteins.var_names = ["CD3", "CD19"]
    part = embedded({"rna": data.blood(45), "prot": proteins})
    sb.tl.embed(alone, model=data.model())
    np.testing.assert_allclose(part.obsm["X_bioverse"], alone.obsm["X_bioverse"], rtol=0, atol=PROBABILITY)

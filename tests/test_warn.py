"""Warnings name the line of the caller, from wherever in the package they come."""

from __future__ import annotations

import linecache
import warnings
from collections.abc import Callable

import pandas as pd
import pytest

import scbioverse as sb


def _annotate(**options: object) -> Callable[[], object]:
    def call() -> object:
        adata = sb.datasets.pbmc3k()[::90].copy()
        adata.obs["holes"] = pd.Categorical([None, "a", "b"] * (adata.n_obs // 3))
        return sb.tl.annotate(adata, **{"rationale": None, "method": "nearest", **options})  # type: ignore[arg-type]

    return call


def _names_in_two_cases() -> object:
    adata = sb.datasets.pbmc3k()[::90].copy()
    adata.var_names = [name.lower() if i % 2 else name for i, name in enumerate(adata.var_names)]
    return sb.tl.embed(adata)


def _view() -> object:
    return sb.tl.embed(sb.datasets.pbmc3k()[:30])


def _changed() -> object:
    adata = sb.datasets.pbmc3k()[::90].copy()
    sb.tl.annotate(adata, labels=["B cell", "NK cell", "CD14 monocyte", "T cell"], rationale=None, method="nearest")
    adata.obs["bioverse_label"] = adata.obs["bioverse_label"].cat.rename_categories({"B cell": "B"})
    return sb.get.scores(adata)


def _no_molecule() -> object:
    return sb.pp.molecules(["CCO", "C(C"])


@pytest.mark.parametrize(
    "call",
    [
        _annotate(labels=["B cell", "no such cells"]),
        _annotate(labels=["B cell", "B cell", "NK cell"]),
        _annotate(labels={"x": ["CD3D", "nonsense1"], "B cell": ""}),
        _annotate(labels=["B cell", "hepatocyte"]),
        _annotate(labels=["B cell", "T cell"], groupby="holes"),
        _names_in_two_cases,
        _view,
        _changed,
        _no_molecule,
    ],
)
def test_the_line_is_the_callers(call: Callable[[], object]) -> None:
    if "bioverse-small" not in sb.models.list_models().index:
        pytest.skip("bioverse-small is not in this installation")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert caught
    assert {one.filename for one in caught} == {__file__}
    assert all("sb." in linecache.getline(one.filename, one.lineno) for one in caught)

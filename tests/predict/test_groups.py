"""Which columns are groups, and what is said of groups whose cells disagree."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.predict.groups import read_groups, warn_of_disagreement


def table(n: int, **columns: Any) -> ad.AnnData:
    return ad.AnnData(obs=pd.DataFrame(columns, index=[f"c{i}" for i in range(n)]))


rng = np.random.default_rng(0)
GROUPS: dict[str, tuple[int, Any, int]] = {
    "clusters as whole numbers": (500, np.arange(500) % 21, 21),
    "clusters as floats, after a NaN": (500, np.where(np.arange(500) == 3, np.nan, np.arange(500) % 21), 21),
    "three hundred metacells": (3000, np.arange(3000) % 300, 300),
    "a cluster for each of few cells": (5, np.arange(5), 5),
    "doses": (200, np.array([0.1, 1.5, 10.25])[np.arange(200) % 3], 3),
    "yes and no": (60, np.arange(60) % 2 == 0, 2),
    "a category of numbers": (60, pd.Categorical(np.arange(60)), 60),
    "names": (60, [f"g{i % 7}" for i in range(60)], 7),
    "numbers and the same as text, as data that were joined": (60, pd.Categorical([1, "1", 2] * 20), 2),
}
MEASURED: dict[str, tuple[int, Any]] = {
    "a share": (500, rng.random(500)),
    "a share in few cells": (40, rng.random(40)),
    "genes of each cell": (3000, rng.integers(200, 6000, 3000)),
    "genes of each of many cells": (60_000, rng.integers(200, 6000, 60_000) * 3),
    "a score rounded to two digits": (5000, np.round(rng.random(5000), 2)),
    "as many numbers as cells": (100, rng.permutation(100)),
    "donors' numbers with gaps, which may as well be counts": (6000, 1000 + 7 * (np.arange(6000) % 60)),
    "counts as floats": (3000, rng.integers(500, 20_000, 3000).astype(np.float32)),
}


@pytest.mark.parametrize("name", list(GROUPS))
def test_groups_are_read(name: str) -> None:
    n, values, wanted = GROUPS[name]
    adata = table(n, group=values)
    if adata.obs["group"].isna().any():
        with pytest.warns(UserWarning, match="1 cells have no value"):
            found = read_groups(adata, "group")
    else:
        found = read_groups(adata, "group")
    assert len(found.names) == wanted


@pytest.mark.parametrize("name", list(MEASURED))
def test_measurements_are_refused(name: str) -> None:
    n, values = MEASURED[name]
    said = r"groupby='x' holds \d+ different numbers.*not groups.*pandas\.cut.*astype\('category'\)"
    with pytest.raises(InputError, match=said):
        read_groups(table(n, x=values), "x")


@pytest.mark.parametrize("name", [["a", "b"], ("a", "b"), {"a"}, np.array(["a"]), pd.Index(["a"])])
def test_one_column_is_named(name: Any) -> None:
    adata = table(4, a=list("xxyy"), b=list("xyxy"))
    with pytest.raises(InputError, match="groupby takes the name of one column"):
        read_groups(adata, name)
    with pytest.raises(InputError, match="text_key takes the name of one column"):
        sb.tl.align(adata, text_key=name, model=None)
    with pytest.raises(InputError, match="label_key takes the name of one column"):
        sb.tl.rollup(adata, label_key=name, level=1)


def test_a_column_that_is_not_there_or_twice() -> None:
    adata = table(4, a=list("xxyy"))
    with pytest.raises(MissingKeyError, match=r"groupby='leiden' is not a column.*found: \['a'\].*scanpy\.tl\.leiden"):
        read_groups(adata, "leiden")
    adata.obs = pd.concat([adata.obs, adata.obs], axis=1)
    with pytest.raises(InputError, match="2 columns called 'a'"):
        read_groups(adata, "a")


def test_groups_that_disagree_are_named_the_worst_first(recwarn: pytest.WarningsRecorder) -> None:
    rows = [{"group": str(i), "label": "B cell", "agreement": share} for i, share in enumerate((0.59, 0.6, 0.1, 1.0))]
    with pytest.warns(UserWarning, match=r"2 of 4 groups disagree.*'2' \(B cell: 10%\), '0' \(B cell: 59%\)\."):
        warn_of_disagreement(rows)
    with pytest.warns(UserWarning, match="cells of 9 of 9 groups.* and 4 more"):
        warn_of_disagreement([{**rows[2], "group": str(i)} for i in range(9)])
    recwarn.clear()
    warn_of_disagreement([rows[1], rows[3]])
    warn_of_disagreement([])
    assert not recwarn.list

"""Tables after the data were cut, joined or renamed: what `obs` holds now, or what no longer fits."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError

LABELS = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]
THRESHOLD = 0.5


@pytest.fixture(scope="module")
def _blood() -> ad.AnnData:
    adata = sb.datasets.pbmc3k()[::45].copy()
    adata.obs["cluster"] = adata.obs["cell_type"].astype(str)
    adata.obs["sample"] = np.where(np.arange(adata.n_obs) % 2, "s1", "s2")
    sb.tl.annotate(adata, labels=LABELS, method="nearest", unknown_threshold=THRESHOLD)
    return adata


@pytest.fixture
def blood(_blood: ad.AnnData) -> ad.AnnData:
    """60 cells, each with a label of its own; some unknown or called by a parent."""
    return _blood.copy()


@pytest.fixture
def grouped(blood: ad.AnnData) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sb.tl.annotate(blood, labels=LABELS, method="nearest", groupby="cluster")
    return blood


def joined(one: ad.AnnData, other: ad.AnnData, **options: str) -> ad.AnnData:
    return ad.concat([one, other], index_unique="-", **options)  # type: ignore[arg-type]


def test_labels_sum_to_the_rows(blood: ad.AnnData) -> None:
    table = sb.get.labels(blood).set_index("name")
    assert list(table.index[:5]) == LABELS
    assert table["n"].sum() == 60
    assert (
        table["n"].to_dict() == blood.obs["bioverse_label"].value_counts().reindex(table.index, fill_value=0).to_dict()
    )
    others = table.iloc[5:]
    assert set(others["how"]) <= {"parent", "unknown"}
    assert len(others)


def test_renamed_labels_are_reported(blood: ad.AnnData) -> None:
    n = int((blood.obs["bioverse_label"] == "NK cell").sum())
    blood.obs["bioverse_label"] = blood.obs["bioverse_label"].cat.rename_categories({"NK cell": "killers"})
    table = sb.get.labels(blood).set_index("name")
    assert table["n"].sum() == 60
    assert table.loc["NK cell", "n"] == 0
    assert table.loc["killers", ["n", "how", "cl_id"]].to_list() == [n, "not recorded", "CL:0000623"]
    with pytest.warns(UserWarning, match=r"no row has any more: 'NK cell'; new names: 'killers'.*the evidence is of"):
        sb.get.evidence(blood)


@pytest.mark.parametrize("merge", ["first", "none"])
def test_labels_of_joined_data(blood: ad.AnnData, merge: str) -> None:
    other = blood.copy()
    sb.tl.annotate(other, labels=["T cell", "monocyte", "lymphocyte of B lineage"], method="nearest")
    both = joined(blood, other, **({} if merge == "none" else {"uns_merge": merge}))
    table = sb.get.labels(both).set_index("name")
    assert table["n"].sum() == 120
    assert table["n"].to_dict().items() >= both.obs["bioverse_label"].value_counts().to_dict().items()
    assert table.loc["T cell", "how"] == "not recorded"
    assert table.loc["T cell", "cl_id"] == "CL:0000084"
    assert len(sb.get.annotation(both)) == 120
    for get in (sb.get.groups, sb.get.scores, sb.get.samples, sb.get.evidence):
        if merge == "none":
            with pytest.raises(MissingKeyError, match=r"uns_merge='first'|holds no record of 'evidence'|is missing"):
                get(both)
    if merge == "first":
        with pytest.warns(UserWarning, match=r"120 labelled rows now, 60 then"):
            sb.get.evidence(both)


def test_scores_of_joined_data_say_what_is_gone(blood: ad.AnnData) -> None:
    other = blood.copy()
    sb.tl.annotate(other, labels=["B cell", "NK cell", "T cell", "monocyte"], method="nearest")
    both = joined(blood, other, uns_merge="first")
    with pytest.warns(UserWarning, match=r"no scores of: 'CD14 monocyte'.*no longer sum to one"):
        table = sb.get.scores(both)
    assert list(table.columns) == ["B cell", "NK cell"]
    both.obsm["bioverse_scores"] = np.zeros((120, 2))
    with pytest.raises(InputError, match="is ndarray, not the table"):
        sb.get.scores(both)


def test_groups_as_they_were(grouped: ad.AnnData) -> None:
    table = sb.get.groups(grouped)
    assert table["n"].sum() == 60
    assert table["agreement"].notna().all()
    assert sb.get.groups(grouped.copy()).equals(table)


def test_groups_after_a_cut(grouped: ad.AnnData) -> None:
    before = sb.get.groups(grouped).set_index("group")
    largest = before["n"].idxmax()
    rows = np.flatnonzero(grouped.obs["cluster"] == largest)[3:]
    part = grouped[np.setdiff1d(np.arange(60), rows)].copy()
    with pytest.warns(UserWarning, match=rf"groups .*'{largest}'.*agreement is not known"):
        table = sb.get.groups(part).set_index("group")
    assert table["n"].sum() == part.n_obs
    assert table.loc[largest, "n"] == 3
    assert table.loc[largest, "label"] == before.loc[largest, "label"]
    assert table["agreement"].isna().to_dict() == {group: group == largest for group in table.index}
    # A group that is left out whole leaves the others as they were.
    rest = grouped[grouped.obs["cluster"] != largest].copy()
    with pytest.warns(UserWarning, match=rf"groups .*'{largest}'"):
        kept = sb.get.groups(rest).set_index("group")
    pd.testing.assert_frame_equal(kept, before.drop(index=largest))


def test_groups_after_a_join(grouped: ad.AnnData) -> None:
    other = grouped.copy()
    other.obs["bioverse_label"] = pd.Categorical(["something else"] * 60)
    both = joined(grouped, other, uns_merge="first")
    with pytest.warns(UserWarning, match="agreement is not known"):
        table = sb.get.groups(both)
    assert table["n"].sum() == 120
    assert table.groupby("group")["label"].nunique().eq(2).all()
    del both.obs["cluster"]
    with pytest.raises(MissingKeyError, match=r"no column 'cluster' any more.*get\.records"):
        sb.get.groups(both)


def test_groups_that_samples_split(blood: ad.AnnData) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sb.tl.annotate(blood, labels=LABELS, method="nearest", groupby="cluster", sample_key="sample")
    table = sb.get.groups(blood)
    assert table["n"].sum() == 60
    assert table["agreement"].notna().all()
    assert len(sb.get.samples(blood))


def test_labels_went_lost(blood: ad.AnnData) -> None:
    del blood.obs["bioverse_label"]
    with pytest.raises(MissingKeyError, match=r"no column .bioverse_label."):
        sb.get.labels(blood)

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.models import BioVerse
from scbioverse.predict.groups import Groups, harmonise_samples
from tests._precision import FEW

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


def test_samples_that_agree_get_one_label_and_others_their_own() -> None:
    good, bad = np.log([0.9, 0.1]), np.log([0.2, 0.8])
    log_probs = np.array([good, good, bad, good, bad, bad], dtype=np.float32)
    groups = Groups(["0", "1"], np.array([0, 0, 0, 1, 1, -1]))
    samples = Groups(["x", "y", "z"], np.array([0, 1, 2, 0, 1, 2]))
    found, votes = harmonise_samples(log_probs, ["A", "B"], groups, samples)
    assert found.names == ["0", "1 [x]", "1 [y]"]
    assert found.codes.tolist() == [0, 0, 0, 1, 2, -1]
    report = {(one["group"], one["sample"]): one for one in votes}
    assert report["0", "z"]["own_label"] == "B"
    assert report["0", "z"]["harmonised"] is True
    assert report["0", "z"]["share"] == pytest.approx(2 / 3, abs=FEW)
    assert report["1", "x"]["harmonised"] is False


def test_through_the_verb(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    cells.obs["donor"] = np.array(["a", "b", "c"])[np.arange(60) % 3]
    cells.obs.loc[cells.obs_names[0], "cluster"] = cells.obs["cluster"].cat.categories[1]
    sb.tl.annotate(cells, model=tiny_model, labels=TYPES, groupby="cluster", sample_key="donor")
    table = sb.get.samples(cells)
    assert table["n"].sum() == 60
    assert set(table["sample"]) == {"a", "b", "c"}
    for _, rows in table[table["harmonised"]].groupby("group"):
        mine = cells.obs["cluster"].astype(str) == rows["group"].iloc[0]
        assert cells.obs.loc[mine, "bioverse_label"].nunique() == 1
    assert sb.get.samples(sb.tl.annotate(cells, model=tiny_model, labels=TYPES, copy=True)).empty


def test_bad_sample_keys(cells: ad.AnnData, tiny_model: BioVerse) -> None:
    with pytest.raises(MissingKeyError, match="sample_key='donor'"):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES, groupby="cluster", sample_key="donor")
    with pytest.raises(InputError, match="needs groupby"):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES, sample_key="cell_type")
    cells.obs["donor"] = ["a"] * 30 + [None] * 30
    with pytest.warns(UserWarning, match="30 cells have no value"):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES, groupby="cluster", sample_key="donor")

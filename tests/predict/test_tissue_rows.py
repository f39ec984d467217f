"""The tissue of each row: given, a column of `obs`, or guessed."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scbioverse.errors import InputError
from scbioverse.knowledge import load_ontology
from scbioverse.predict.groups import Groups
from scbioverse.predict.tissue import OF_A_GUESS, TissuePrior, read_tissues

NAMES = ("hepatocyte", "T cell", "type B pancreatic cell", "fibroblast")
IDS = [load_ontology().find(name) for name in NAMES]
EVEN = np.log(np.full((4, 4), 0.25))


@pytest.fixture
def cells() -> ad.AnnData:
    obs = pd.DataFrame({"site": ["liver", "pancreas", None, "liver"], "odd": ["liver", "lvier", "x", "x"]})
    obs.index = [f"cell{i}" for i in range(4)]
    return ad.AnnData(np.ones((4, 2)), obs=obs)


def test_a_column_gives_each_row_its_own_tissue(cells, caplog):
    caplog.set_level(logging.INFO, "scbioverse")
    with pytest.warns(UserWarning, match="1 cells have no value"):
        found = read_tissues(cells, "site")
    assert "tissue: liver, pancreas" in caplog.text
    adjusted = found.adjust(EVEN, IDS)
    np.testing.assert_allclose(adjusted[0], TissuePrior.of("liver").adjust(EVEN[:1], IDS)[0], rtol=1e-6)
    np.testing.assert_allclose(adjusted[1], TissuePrior.of("pancreas").adjust(EVEN[:1], IDS)[0], rtol=1e-6)
    np.testing.assert_allclose(adjusted[2], EVEN[2], rtol=1e-6)  # no tissue: nothing is changed
    np.testing.assert_allclose(adjusted[3], adjusted[0], rtol=1e-6)
    whole = read_tissues(cells, "liver")
    np.testing.assert_allclose(whole.adjust(EVEN, IDS), adjusted[[0, 0, 0, 0]], rtol=1e-6)


def test_a_group_has_the_tissue_of_most_of_its_cells(cells):
    groups = Groups(["a", "b"], np.array([0, 1, 1, 0]))
    cells.obs["site"] = ["liver", "pancreas", "pancreas", "liver"]
    found = read_tissues(cells, "site").of_groups(groups)
    assert found.codes.tolist() == [0, 1]
    assert found.of_groups(None) is found


def test_two_names_of_one_tissue_vote_together(cells):
    cells.obs["site"] = ["blood", "PBMC", "liver", "liver"]
    found = read_tissues(cells, "site")
    assert [one.tissue.name for one in found.priors] == ["blood", "liver"]
    assert found.codes.tolist() == [0, 0, 1, 1]
    cells.obs["site"] = ["blood", "PBMC", "liver", "blood"]
    assert read_tissues(cells, "site").of_groups(Groups(["all"], np.zeros(4, int))).codes.tolist() == [0]


def test_a_column_without_any_tissue_is_refused(cells):
    cells.obs["site"] = None
    with pytest.raises(InputError, match="missing"):
        read_tissues(cells, "site")


@pytest.mark.parametrize(
    ("tissue", "says"), [("odd", "obs.*lvier.*liver"), ("lvier", "Nor is it a column"), (3, "one"), (" ", "empty")]
)
def test_what_is_no_tissue_is_refused(cells, tissue, says):
    with pytest.raises(InputError, match=says):
        read_tissues(cells, tissue)


def test_any_is_no_tissue_and_no_guess(cells):
    found = read_tissues(cells, "any").weighed(EVEN, IDS)
    assert found.record["given"] == "any"
    np.testing.assert_array_equal(found.adjust(EVEN, IDS), EVEN.astype(np.float32))


def test_a_guess_counts_half_and_is_said(cells, caplog):
    caplog.set_level(logging.INFO, "scbioverse")
    sure = np.log(np.array([[0.97, 0.01, 0.01, 0.01]] * 3 + [[0.01, 0.97, 0.01, 0.01]]))
    found = read_tissues(cells, None).weighed(sure, IDS, np.full(4, 25))
    assert found.record["guessed"]["name"] == "liver"
    assert found.record["used"]
    assert "look like liver" in caplog.text
    half = TissuePrior(found.priors[0].tissue, OF_A_GUESS)
    np.testing.assert_allclose(found.adjust(EVEN, IDS), half.adjust(EVEN, IDS), rtol=1e-6)
    assert half.log_prior(IDS)[2] == OF_A_GUESS * TissuePrior.of("liver").log_prior(IDS)[2] < 0


def test_a_wrong_tissue_is_said(cells):
    sure = np.log(np.array([[0.97, 0.01, 0.01, 0.01]] * 4))
    with pytest.warns(UserWarning, match="tissue='brain'.*look like liver rather than brain"):
        found = read_tissues(cells, "brain").weighed(sure, IDS)
    assert "brain" in found.record["doubts"]
    assert not read_tissues(cells, "liver").weighed(sure, IDS).record["doubts"]


def test_of_a_column_the_value_that_is_doubted_is_named(cells):
    cells.obs["site"] = ["cerebrum"] * cells.n_obs
    sure = np.log(np.array([[0.97, 0.01, 0.01, 0.01]] * cells.n_obs))
    with pytest.warns(UserWarning, match=r"tissue='site' \(cerebrum\): .*rather than"):
        read_tissues(cells, "site").weighed(sure, IDS)


def test_one_tissue_of_all_rows_is_what_labels_are_read_by(cells):
    assert read_tissues(cells, "PBMC").named == "PBMC blood"
    cells.obs["site"] = ["liver", "liver", "liver", None]
    with pytest.warns(UserWarning, match="no value"):
        assert read_tissues(cells, "site").named == "liver liver"
    cells.obs["site"] = ["liver", "pancreas", "liver", "liver"]
    assert read_tissues(cells, "site").named is None
    assert read_tissues(cells, "any").named is None
    assert read_tissues(cells, None).named is None

"""Sets of profiles that a rehearsal leaves out, and the cells simulated from them."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from recipes.bioverse_small import data, make
from recipes.bioverse_small.calibration import WEIGHERS, left_out_weighers
from recipes.bioverse_small.profile_sets import set_names, simulated_study, without_sets
from recipes.bioverse_small.rehearsals import BODY_FOLD, LeftOut
from scbioverse.errors import BioverseError
from scbioverse.knowledge import load_ontology

B, T, NK = "CL:0000236", "CL:0000084", "CL:0000623"


@pytest.fixture
def profiles() -> data.Profiles:
    """Four profiles of two sets; the second set did not measure the last ten genes."""
    rng = np.random.default_rng(0)
    matrix = rng.gamma(0.5, 1, (4, 60)).astype(np.float32)
    panel = np.ones((4, 60), bool)
    panel[2:, 50:] = False
    matrix *= panel
    matrix /= matrix.sum(1, keepdims=True)
    names = np.array(["file:lung", "file:lung", "file:liver", "file:liver"], dtype=object)
    return data.Profiles(matrix, panel, np.array([B, T, B, NK], dtype=object), names, np.ones(4))


def test_a_set_leaves_whole(profiles: data.Profiles) -> None:
    assert set_names(profiles).tolist() == ["lung", "lung", "liver", "liver"]
    kept = without_sets(profiles, ("lung",))
    assert kept.cl_ids.tolist() == [B, NK]
    np.testing.assert_array_equal(kept.matrix, profiles.matrix[2:])
    assert without_sets(profiles, ()).matrix.shape == profiles.matrix.shape
    with pytest.raises(ValueError, match=r"no profiles of \['kidney'\]; there are sets \['liver', 'lung'\]"):
        without_sets(profiles, ("kidney",))
    _, held = make.without([], profiles, LeftOut(types=(T,), profiles=("liver",)))
    assert held.cl_ids.tolist() == [B]


def test_cells_are_simulated_from_the_set_alone(profiles: data.Profiles) -> None:
    study = simulated_study(profiles, "liver", np.random.default_rng(0), cells=40)
    assert study.name == "liver"
    assert study.counts.shape == (40, 60)
    assert sorted(set(study.cl_ids)) == sorted([B, NK])
    assert not study.panel[50:].any()
    assert study.counts[:, 50:].nnz == 0
    assert (study.counts.data == np.rint(study.counts.data)).all()
    # Cells look most like the profile that they are of.
    shares = study.counts.toarray()
    shares /= shares.sum(1, keepdims=True)
    near = np.array([[np.corrcoef(cell, row)[0, 1] for row in profiles.matrix[2:]] for cell in shares])
    assert (np.array([B, NK])[near.argmax(1)] == study.cl_ids).mean() > 0.9


def test_weighers_are_what_was_left_out_and_the_same_each_time(
    profiles: data.Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.bioverse_small.calibration.load_profiles", lambda _: profiles)
    monkeypatch.setattr("recipes.bioverse_small.calibration.WEIGHERS", ("lung", "liver"))
    first, second = (
        {one.name: one for one in left_out_weighers(LeftOut(profiles=sets), np.array([]), 0)}
        for sets in (("lung", "liver", "spare"), ("liver",))
    )
    assert list(first) == ["lung", "liver"]
    assert (first["liver"].counts != second["liver"].counts).nnz == 0


def test_the_table_of_labels_names_profiles_that_are_there_and_terms_that_are_valid() -> None:
    table = pd.read_csv(data.HERE / "profile_labels.tsv", sep="\t", dtype=str)
    assert not table.duplicated(["file", "set", "label"]).any()
    ontology, mapped = load_ontology(), table.dropna(subset="cl_id")
    assert [one for one in mapped["cl_id"].unique() if one not in ontology] == []
    names = [ontology.term(one).label for one in mapped["cl_id"]]
    assert names == mapped["cl_name"].tolist()
    assert not [name for name in names if "obsolete" in name]
    try:
        frames = data._profile_frames()
    except BioverseError as error:
        pytest.skip(f"needs the registry's data: {error}")
    there = {
        (name, group, label)
        for name, adata in frames
        for group, label in zip(adata.obs.get("set", [name] * adata.n_obs), adata.obs["cell_type"], strict=True)
    }
    assert set(table[["file", "set", "label"]].itertuples(index=False, name=None)) <= there


@pytest.mark.skipif(
    os.environ.get("SCBIOVERSE_WEEKLY", "") in ("", "0"), reason="reads all profiles: SCBIOVERSE_WEEKLY=1"
)
def test_the_sets_left_out_are_there_and_most_of_their_types_can_be_known_from_elsewhere() -> None:
    assert set(BODY_FOLD.profiles) <= set(WEIGHERS)
    try:
        held = data.load_profiles(data.vocabulary())
    except BioverseError as error:
        pytest.skip(f"needs the registry's data: {error}")
    assert set(BODY_FOLD.profiles) <= set(set_names(held))
    kept = set(without_sets(held, BODY_FOLD.profiles).cl_ids)
    gone = held.cl_ids[np.isin(set_names(held), BODY_FOLD.profiles)]
    # Most of what is asked about can be known from elsewhere.
    assert np.isin(gone, sorted(kept)).mean() > 0.6

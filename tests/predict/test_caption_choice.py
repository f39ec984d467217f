"""How a definition, roles and classes are chosen among those of neighbours."""

from __future__ import annotations

import numpy as np
import pytest

Chem = pytest.importorskip("rdkit.Chem")

from scbioverse.predict.compose import (  # noqa: E402
    ChoiceWeights,
    definition_features,
    item_features,
    likely_items,
)
from scbioverse.predict.descriptions import neighbour_weights  # noqa: E402
from scbioverse.predict.known_molecules import Relatives  # noqa: E402

SIMILARITY = np.array([0.9, 0.8, 0.7], dtype=np.float32)


def test_nearer_neighbours_weigh_more() -> None:
    weights = neighbour_weights(SIMILARITY, 0.1)
    np.testing.assert_allclose(weights[:-1] / weights[1:], np.e, rtol=1e-5)
    assert weights.sum() == pytest.approx(1)


def test_features_see_structure_and_names() -> None:
    acid, ion, longer = map(Chem.MolFromSmiles, ("CC(=O)O", "CC(=O)[O-]", "CCCC(=O)O"))
    said = ["The molecule is a salt of ethanol.", "The molecule is an acid.", "The molecule is an acid."]
    own = Relatives(ions={"conjugate acid": "acetate"}, parts={"CCO": "ethanol"})
    found = definition_features(said, [True, False, False], SIMILARITY, own, acid, [ion, longer, acid])
    similarity, *agreement, _, _, covered, forms, changed, apart, charged, _ = found.T
    np.testing.assert_array_equal(similarity, SIMILARITY)
    assert all(one[1] == one[2] for one in agreement)
    assert covered[0] > 0 == covered[1]
    assert not forms.any()
    assert changed.tolist() == [1, 0, 0]
    np.testing.assert_allclose(apart, np.log1p([0, 2, 0]))
    assert charged.tolist() == [1, 0, 0]


def test_items_are_counted_once_and_said_from_a_probability_on() -> None:
    items = [("a drug", "a drug"), ("a dye", "a drug"), ()]
    names, features = item_features(items, SIMILARITY, "The molecule is a dye.")
    assert names == ["a drug", "a dye"]
    share, weight = features[:, 1], neighbour_weights(SIMILARITY, 0.05)
    np.testing.assert_allclose(share, [weight[0] + weight[1], weight[1]])
    # The score is the share itself, about one half.
    plain = ChoiceWeights((), {"roles": (0, 10, *[0] * 11, -5)}, {"roles": 0.5})
    assert likely_items(plain, "roles", items, SIMILARITY, "") == ("a drug",)
    assert likely_items(ChoiceWeights((), plain.items, {"roles": 0.01}), "roles", items, SIMILARITY, "") == tuple(names)
    assert likely_items(plain, "roles", [(), (), ()], SIMILARITY, "") == ()

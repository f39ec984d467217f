"""Groups are compared with groups of other types: RNA that lies around all cells is of none of them."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from scbioverse.errors import InputError
from scbioverse.knowledge.markers import marker_genes
from scbioverse.predict.contrast import LINEAGES, contrasted, lineage
from scbioverse.predict.groups import Groups

T_CELL, FIBROBLAST, ENDOTHELIAL, NK = "CL:0000084", "CL:0000057", "CL:0000115", "CL:0000623"
TERMS = [T_CELL, FIBROBLAST, ENDOTHELIAL]
GENES = sorted({gene for one in TERMS for gene in marker_genes(one, max_genes=60)})
GROUPS = Groups([str(i) for i in range(6)], np.arange(6))


def sums_of(*types: str, around: str | None = None, depth: int = 40_000) -> np.ndarray:
    """Sums of genes in groups of some types, in which RNA of one type lies around all cells."""
    profile = {one: np.isin(GENES, marker_genes(one, max_genes=60)) + 0.02 for one in TERMS}
    rows = [profile[one] + (4 * profile[around] if around else 0) for one in types]
    return np.round(np.array([depth * one / one.sum() for one in rows]))


def batch_of(sums: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(evidence=SimpleNamespace(sums=lambda _: (sums, GENES)))


def said(*types: str) -> np.ndarray:
    """Log-probabilities by which groups are of some types, by a few nats."""
    return np.log(np.array([[0.94 if one == term else 0.03 for term in TERMS] for one in types]))


TYPES = (FIBROBLAST, FIBROBLAST, ENDOTHELIAL, ENDOTHELIAL, ENDOTHELIAL, T_CELL)
CALLED = (*TYPES[:5], FIBROBLAST)


def test_cells_in_the_rna_of_others_are_what_they_express_beside_them():
    found = contrasted(batch_of(sums_of(*TYPES, around=FIBROBLAST)), GROUPS, said(*CALLED), TERMS, 0.6)
    assert found.changed == 1
    joint = said(*CALLED) + found.of_groups(TERMS)
    assert [TERMS[at] for at in joint.argmax(axis=1)] == list(TYPES)
    # Groups that are of the same lineage either way keep all that was said of them.
    assert not found.of_groups(TERMS)[:5].any()


def test_groups_that_express_nothing_of_their_own_keep_their_names():
    alike = np.repeat(sums_of(FIBROBLAST), 6, axis=0)
    found = contrasted(batch_of(alike), GROUPS, said(*CALLED), TERMS, 0.6)
    assert found.changed == 0
    found = contrasted(batch_of(sums_of(*TYPES, around=FIBROBLAST, depth=60)), GROUPS, said(*CALLED), TERMS, 0.6)
    assert found.changed == 0


def test_kinds_of_a_lineage_share_what_it_has():
    found = contrasted(batch_of(sums_of(*TYPES, around=FIBROBLAST)), GROUPS, said(*CALLED), TERMS, 0.6)
    of_t, of_nk, of_naive = found.of_groups([T_CELL, NK, "CL:0000895"]).T
    assert (of_t == of_nk).all()
    assert (of_t == of_naive).all()


def test_nothing_is_compared_without_genes_weight_or_groups():
    sums = sums_of(*TYPES)
    assert contrasted(batch_of(sums), GROUPS, said(*CALLED), TERMS, 0.0) is None
    assert contrasted(SimpleNamespace(evidence=None), GROUPS, said(*CALLED), TERMS, 0.6) is None
    few = Groups(["1", "2"], np.arange(2))
    assert contrasted(batch_of(sums[:2]), few, said(*CALLED[:2]), TERMS, 0.6) is None
    unread = SimpleNamespace(evidence=SimpleNamespace(sums=mock.Mock(side_effect=InputError("no genes"))))
    assert contrasted(unread, GROUPS, said(*CALLED), TERMS, 0.6) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("CL:0000895", NK, True),
        (T_CELL, "CL:0000236", False),
        ("CL:0000169", "CL:0000584", True),
        ("CL:0000233", "CL:0000232", True),
        ("CL:0000784", "CL:0000451", True),
    ],
)
def test_lineages(one, other, same):
    assert (lineage(one) == lineage(other)) is same
    every = [one for types in LINEAGES for one in types]
    assert len(every) == len(set(every))

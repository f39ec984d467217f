"""Priors over types by tissue, and the tissue that calls fit."""

from __future__ import annotations

import numpy as np
import pytest

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.tissues import load_tissues, read_tissue
from scbioverse.predict.tissue import FLOOR, Called, TissuePrior, doubt, guess_tissue

EVERYWHERE = ("T cell", "B cell", "plasma cell", "macrophage", "monocyte", "endothelial cell", "fibroblast", "pericyte")
AT_HOME = {
    "pancreas": ("pancreatic stellate cell", "type B pancreatic cell", "pancreatic ductal cell"),
    "colon": ("enterocyte", "transit amplifying cell of gut", "colonocyte"),
    "liver": ("hepatocyte", "Kupffer cell", "hepatic stellate cell"),
    "cortex": ("astrocyte", "microglial cell", "glutamatergic neuron"),
    "lung": ("pulmonary alveolar type 2 cell", "alveolar macrophage"),
    "breast": ("luminal epithelial cell of mammary gland",),
}


def ids(*names: str) -> list[str]:
    found = [load_ontology().find(name) for name in names]
    assert None not in found, names
    return found


@pytest.mark.parametrize("tissue", list(load_tissues()))
def test_types_found_everywhere_need_no_more_evidence_anywhere(tissue):
    assert TissuePrior.of(tissue).log_prior(ids(*EVERYWHERE)).tolist() == [0.0] * len(EVERYWHERE)


@pytest.mark.parametrize("tissue", AT_HOME)
def test_types_of_other_organs_need_more_evidence(tissue):
    prior = TissuePrior.of(tissue)
    own = prior.log_prior(ids(*AT_HOME[tissue]))
    away = prior.log_prior(ids(*(name for other, names in AT_HOME.items() if other != tissue for name in names)))
    assert own.tolist() == [0.0] * len(own)
    assert away.tolist() == [FLOOR] * len(away)
    assert prior.log_prior([None, "CL:9999999"]).tolist() == [0.0, 0.0]
    assert prior.log_prior(ids("T cell")).dtype == np.float32


def test_a_kind_of_what_is_listed_and_what_is_above_it_are_usual():
    terms = ids("naive B cell", "epithelial cell", "neuron", "cell")
    assert TissuePrior.of("brain").log_prior(terms).tolist() == [0.0] * 4


def test_what_looks_like_a_type_of_another_organ_is_what_that_is_a_kind_of():
    terms = ids("pancreatic stellate cell", "fibroblast", "smooth muscle cell")
    scores = np.log(np.array([[0.8, 0.05, 0.15]]))
    added = scores + TissuePrior.of("colon").log_prior(terms)
    assert added.argmax() == 2
    found = TissuePrior.of("colon").adjust(scores, terms)
    assert found.argmax() == 1
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(TissuePrior.of("pancreas").adjust(scores, terms), scores, rtol=1e-6)


def test_a_term_that_a_row_could_not_choose_stays_out():
    terms = ids("pancreatic stellate cell", "fibroblast", "smooth muscle cell")
    scores = np.log(np.array([[0.9, 0.0, 0.1], [0.9, 0.05, 0.05]]) + 0.0, where=[[1, 0, 1], [1, 1, 1]],
                    out=np.full((2, 3), -np.inf))  # fmt: skip
    found = TissuePrior.of("colon").adjust(scores, terms)
    assert np.isneginf(found[0, 1])
    # One row's answer does not depend on another's.
    np.testing.assert_allclose(TissuePrior.of("colon").adjust(scores[1:], terms), found[1:], rtol=1e-6)


def calls(**shares: float) -> Called:
    """Calls of 100 cells, each sure of one type."""
    names = [name.replace("_", " ") for name in shares]
    code = np.repeat(np.arange(len(names)), [int(100 * share) for share in shares.values()])
    return Called.of(np.log(np.eye(len(names))[code] * 0.98 + 0.02 / len(names)), ids(*names))


BLOOD = {"T_cell": 0.5, "B_cell": 0.12, "natural_killer_cell": 0.1, "monocyte": 0.25, "platelet": 0.03}
PANCREAS = {"pancreatic_A_cell": 0.4, "type_B_pancreatic_cell": 0.3, "pancreatic_ductal_cell": 0.2, "fibroblast": 0.1}
CORTEX = {"astrocyte": 0.3, "oligodendrocyte": 0.2, "GABAergic_neuron": 0.2, "endothelial_cell": 0.3}


@pytest.mark.parametrize(("shares", "tissue"), [(BLOOD, "blood"), (PANCREAS, "pancreas"), (CORTEX, "brain")])
def test_the_tissue_is_guessed_from_calls(shares, tissue):
    found = guess_tissue(calls(**shares))
    assert (found.tissue.name, found.confidence > 0.6) == (tissue, True)
    assert not doubt(found.tissue, calls(**shares))


def test_calls_that_no_tissue_explains_are_no_guess():
    mixed = {"hepatocyte": 0.25, "astrocyte": 0.25, "type_B_pancreatic_cell": 0.25, "enterocyte": 0.25}
    assert guess_tissue(calls(**mixed)).confidence < 0.6
    assert guess_tissue(Called.of(np.zeros((5, 1)), [None])).tissue is None


@pytest.mark.parametrize(
    ("shares", "wrong", "says"),
    [(PANCREAS, "brain", "look like pancreas"), (CORTEX, "colon", "other organs"), (BLOOD, "kidney", "only some")],
)
def test_a_wrong_tissue_is_noticed(shares, wrong, says):
    assert says in doubt(read_tissue(wrong), calls(**shares))


def test_groups_count_by_their_cells():
    names, sizes = [name.replace("_", " ") for name in BLOOD], np.array([50, 12, 10, 25, 3])
    rows = np.log(np.eye(5) * 0.98 + 0.02 / 5)
    found = Called.of(rows, ids(*names), sizes)
    assert found.n == 100
    np.testing.assert_allclose(found.mass, calls(**BLOOD).mass, rtol=1e-12)

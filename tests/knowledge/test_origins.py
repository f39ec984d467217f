"""Malignant cells stand for the types that they come from, and for nothing that another candidate stands for."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from scbioverse.explain.reasons import reason
from scbioverse.explain.support import COLUMNS, worth_naming
from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.markers import marker_weights
from scbioverse.knowledge.ontology import ORIGINS, TUMOURS, candidate_columns, origins_left, tumours_of
from scbioverse.predict.candidates import named_origin
from tests._group_evidence import group_evidence

MALIGNANT, NEOPLASTIC = TUMOURS
EPITHELIAL, HEPATOCYTE, CHOLANGIOCYTE, OPC, MELANOCYTE = (
    "CL:0000066", "CL:0000182", "CL:1000488", "CL:0002453", "CL:0000148",
)  # fmt: skip
T, B, FIBROBLAST, ENDOTHELIAL, MICROGLIA = "CL:0000084", "CL:0000236", "CL:0000057", "CL:0000115", "CL:0000129"
HEALTHY = (T, B, FIBROBLAST, ENDOTHELIAL, MICROGLIA)


def test_tumours_come_from_epithelium_glia_and_melanocytes() -> None:
    assert {*TUMOURS, *ORIGINS} <= set(load_ontology())
    assert all(tumours_of(one) == TUMOURS for one in (*ORIGINS, HEPATOCYTE, "CL:0000127"))
    assert not any(tumours_of(one) for one in (*HEALTHY, *TUMOURS, "CL:9999999"))


def test_a_name_may_say_what_a_tumour_comes_from() -> None:
    assert named_origin("malignant B cells") == B
    assert named_origin("T-cell lymphoma") == T
    assert named_origin("metastatic melanoma") == MELANOCYTE
    assert named_origin("Hepatocellular carcinoma") == named_origin("Cancer Epithelial") == EPITHELIAL
    for says_nothing in ("Malignant", "Malignant_1", "Tumor", "glioma", "cancer stem cell", "Malignant (HNSCC)", ""):
        assert named_origin(says_nothing) is None


def test_what_is_offered_is_no_origin() -> None:
    assert {EPITHELIAL, HEPATOCYTE, OPC} <= set(origins_left([MALIGNANT, T, None]))
    left = origins_left([MALIGNANT, HEPATOCYTE])
    assert HEPATOCYTE not in left
    assert {EPITHELIAL, CHOLANGIOCYTE} <= set(left)
    assert {OPC, MELANOCYTE} <= set(origins_left([EPITHELIAL]))
    assert not {EPITHELIAL, HEPATOCYTE} & set(origins_left([EPITHELIAL]))
    assert origins_left(ORIGINS) == []


def test_terms_of_origins_count_for_a_malignant_candidate() -> None:
    terms = [HEPATOCYTE, CHOLANGIOCYTE, OPC, MELANOCYTE, *HEALTHY]
    assert candidate_columns([MALIGNANT, T], terms) == [[0, 1, 2, 3], [4]]
    assert candidate_columns([MALIGNANT, HEPATOCYTE], terms) == [[1, 2, 3], [0]]
    # What a broader candidate holds is healthy until somebody looks at its genome.
    assert candidate_columns([MALIGNANT, EPITHELIAL], terms) == [[2, 3], [0, 1]]
    assert candidate_columns([NEOPLASTIC, MALIGNANT], terms) == [[], [0, 1, 2, 3]]
    # Nobody else's terms change.
    plain = candidate_columns(list(HEALTHY), terms)
    assert candidate_columns([MALIGNANT, *HEALTHY], terms)[1:] == plain


def test_markers_of_origins_weigh_for_a_malignant_candidate() -> None:
    genes = ["KRT8", "KRT18", "EPCAM", "ALB", "PMEL", "OLIG2", "CD3D", "MS4A1", "COL1A1"]
    weights = marker_weights([MALIGNANT, T, B, FIBROBLAST], genes).toarray()
    assert (weights[0, :6] > 0).all()
    assert weights[0, genes.index("CD3D")] == 0
    np.testing.assert_allclose(weights[1:3], marker_weights([T, B, FIBROBLAST, OPC], genes).toarray()[:2], atol=0.05)
    # A label for epithelium takes its markers, and only those.
    beside = marker_weights([MALIGNANT, EPITHELIAL, T], genes).toarray()[0]
    assert beside[genes.index("ALB")] == 0
    assert beside[genes.index("PMEL")] > 0
    assert marker_weights([MALIGNANT, *ORIGINS], genes)[[0]].nnz == 0


def epithelial_counts(n: int = 40) -> tuple[sparse.csr_matrix, list[str], np.ndarray]:
    """Cells with keratins and cells with CD3, and genes that say nothing."""
    genes = ["KRT8", "KRT18", "EPCAM", "CD3D", "CD3E", *(f"LINC0{i:04d}" for i in range(1000, 1030))]
    mean = np.full((2 * n, len(genes)), 5.0)
    mean[:n, 3:5] = mean[n:, :3] = 0.05
    counts = np.random.default_rng(0).poisson(mean).astype(np.float32)
    return sparse.csr_matrix(counts), genes, np.repeat(["tumour", "t"], n)


def test_the_reason_names_the_origin_and_claims_no_marker_of_malignancy() -> None:
    counts, genes, groups = epithelial_counts()
    evidence = group_evidence(counts, genes, groups, {"tumour": MALIGNANT, "t": T})
    assert list(evidence.columns) == COLUMNS
    rows = evidence[evidence["group"] == "tumour"]
    assert set(rows["kind"]) == {"origin"}
    assert not rows["gene"].duplicated().any()
    assert set(rows.loc[rows["supported"], "gene"]) == {"KRT8", "KRT18", "EPCAM"}
    sentence = reason("Malignant", worth_naming(rows))
    assert "mark epithelial cell, from which tumours come; no gene marks Malignant itself." in sentence


def test_the_reason_says_so_where_no_origin_shows() -> None:
    counts, genes, groups = epithelial_counts()
    swapped = group_evidence(counts, genes, groups, {"tumour": T, "t": MALIGNANT})
    sentence = reason("Malignant", worth_naming(swapped[swapped["group"] == "t"]))
    assert "of types that tumours come from clearly sets these cells apart" in sentence
    nothing = worth_naming(swapped.head(0))
    assert reason("Malignant", nothing).startswith("No marker gene of Malignant is known")

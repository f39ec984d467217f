"""How much each gene speaks for each of several candidate cell types, from the curated marker tables."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .markers import load_markers
from .ontology import load_ontology
from .origins import TUMOURS, origins_left

if TYPE_CHECKING:
    from collections.abc import Sequence

# `python -m benchmarks.markers` shows what each does to the share of right calls, left out or changed.
DESCENDANT = 0.5
ANCESTOR = 0.3
SHARED = 0.5
SHRINK = 0.3


# What a gene counts that the user gives for a label: as one that a table has picked by hand and for one type only.
GIVEN = 1.5
_AND = "|"


def evidence_key(cl_id: str | None, genes: Sequence[str]) -> str | None:
    """Name a candidate together with marker genes that a user gave for it, for :func:`marker_weights`."""
    return _AND.join((cl_id or "", *genes)) if genes else cl_id


def marker_weights(
    cl_ids: Sequence[str | None],
    genes: Sequence[str],
    *,
    descendant: float = DESCENDANT,
    ancestor: float = ANCESTOR,
    shared: float = SHARED,
    shrink: float = SHRINK,
) -> sp.csr_array:
    """Weights that turn a cell's z-scores into marker evidence for each candidate.

    A candidate has its own markers by their table weight, those of its descendants and ancestors at a discount (but
    not those of another candidate), less a share of the gene's mean weight over the other candidates: a marker of all
    of them tells little. Tumour cells, which no gene marks, have the markers of the types that they can come from and
    that no other candidate is or holds (see :mod:`.origins`), at the discount of descendants. Each row is divided by
    its Euclidean length plus `shrink`. The weighted sum of z-scores is then itself in standard deviations, as if the
    genes were independent: many markers that are a little up say more than one that is, as in Stouffer's test with
    weights. (A mean of z-scores, which divides by the sum, calls fewer cells right: `benchmarks.markers`.)

    Parameters
    ----------
    cl_ids
        m candidates; None for one that is no ontology term and so has no markers. With genes of its own, what
        :func:`evidence_key` gives.
    genes
        G measured genes, approved symbols.
    descendant, ancestor
        Factors on the weights of markers of descendants and ancestors; 0 leaves them out.
    shared
        Share, 0 to 1, of a gene's mean weight over the other candidates that is taken off.
    shrink
        Prior doubt, in units of the marker table's weights (a marker in one list and for one type has 1).

    Returns
    -------
    float32 CSR (m, G), non-negative; the row of a candidate without a measured marker is empty.
    """
    ontology, known = load_ontology(), _by_term()
    column = {gene: i for i, gene in enumerate(genes)}
    split = [(cl_id or "").split(_AND) for cl_id in cl_ids]
    candidates = {cl_id or None for cl_id, *_ in split}
    rows: list[dict[int, float]] = []
    for cl_id, *given in split:
        row = {column[gene]: GIVEN for gene in given if gene in column}
        rows.append(row)
        if cl_id not in ontology:
            continue
        kin = [(cl_id, 1.0)]
        kin += [(one, descendant) for one in ontology.descendants(cl_id)] if descendant > 0 else []
        kin += [(one, ancestor) for one in ontology.ancestors(cl_id)] if ancestor > 0 else []
        kin += [(one, descendant) for one in origins_left(candidates)] if descendant > 0 and cl_id in TUMOURS else []
        for term, factor in kin:
            # Markers of a narrower candidate speak for that one, not for what holds it.
            if term != cl_id and term in candidates:
                continue
            for gene, weight in known.get(term, ()):
                at = column.get(gene)
                if at is not None:
                    row[at] = max(row.get(at, 0.0), factor * weight)
    matrix = sp.csr_array(
        (
            np.array([value for row in rows for value in row.values()], dtype=np.float64),
            np.array([at for row in rows for at in row], dtype=np.int64),
            np.cumsum([0, *(len(row) for row in rows)]),
        ),
        shape=(len(rows), len(genes)),
    )
    if len(rows) > 1:
        total = np.asarray(matrix.sum(axis=0)).ravel()
        others = (total[matrix.indices] - matrix.data) / (len(rows) - 1)
        matrix.data = np.clip(matrix.data - shared * others, 0.0, None)
    matrix.eliminate_zeros()
    lengths = np.sqrt(np.asarray(matrix.power(2).sum(axis=1)).ravel())
    matrix.data /= np.repeat(lengths + shrink, np.diff(matrix.indptr))
    matrix.sort_indices()
    return matrix.astype(np.float32)


@lru_cache(maxsize=1)
def _by_term() -> dict[str, list[tuple[str, float]]]:
    known: dict[str, list[tuple[str, float]]] = {}
    table = load_markers()
    for cl_id, gene, weight in zip(table["cl_id"], table["gene"], table["weight"], strict=True):
        known.setdefault(cl_id, []).append((gene, float(weight)))
    return known

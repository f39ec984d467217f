"""When no candidate is sure enough: the ontology parent that several of them share, or unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..knowledge import load_ontology
from ..knowledge.ontology import KEPT_APART

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# A term with more terms below it (leukocyte has 572, lymphocyte 347, T cell 171) says too little to be an answer.
BROADEST = 600


class Parents:
    """Terms that several candidates have in common, most specific first.

    Parameters
    ----------
    cl_ids
        Candidates; None for one without a term.

    Attributes
    ----------
    terms
        Ids of the shared terms: each covers at least two candidates (itself counts), and has at most 600 terms below
        it. Fewest terms below first, then by id.
    covers
        bool (n_terms, n_candidates): the candidate is the term or one of its descendants.
    """

    def __init__(self, cl_ids: Sequence[str | None]) -> None:
        ontology = load_ontology()
        members: dict[str, list[int]] = {}
        for i, cl_id in enumerate(cl_ids):
            for above in () if cl_id is None else (cl_id, *ontology.ancestors(cl_id)):
                # "CD14 monocyte" beside "CD16 monocyte" means the classical one, whatever the definitions say.
                if (cl_id, above) not in KEPT_APART:
                    members.setdefault(above, []).append(i)
        below = {one: len(ontology.descendants(one)) for one, found in members.items() if len(found) > 1}
        self.terms = sorted((one for one in below if below[one] <= BROADEST), key=lambda one: (below[one], one))
        self.covers = np.zeros((len(self.terms), len(cl_ids)), dtype=bool)
        for row, one in enumerate(self.terms):
            self.covers[row, members[one]] = True

    def call(
        self, probabilities: NDArray[np.floating], best: NDArray[np.integer], threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find for each row the most specific shared term above its best candidate whose candidates reach a threshold.

        Parameters
        ----------
        probabilities
            (n, n_candidates).
        best
            (n,), the best candidate.
        threshold
            Least summed probability.

        Returns
        -------
        int64 (n,), position in `terms`, -1 where none fits; float32 (n,), the summed probability there.
        """
        n = len(best)
        if not self.terms or n == 0:
            return np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.float32)
        mass = np.asarray(probabilities, dtype=np.float64) @ self.covers.T.astype(np.float64)
        fits = (mass >= threshold) & self.covers[:, best].T
        found = np.where(fits.any(axis=1), fits.argmax(axis=1), -1).astype(np.int64)
        return found, mass[np.arange(n), np.maximum(found, 0)].clip(0, 1).astype(np.float32)

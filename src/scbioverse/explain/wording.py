"""Reasons that the language model words: it chooses among tested claims, and has no way to say anything else."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .sentence import figures, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse
    from .claims import CheckedClaim

Float = NDArray[np.float32]
# Five claims can be said in 200 ways, two to four of them one after the other; eight in 2,072.
MOST_OFFERED = 5
LEAST_SAID, MOST_SAID = 2, 4
# The question and the form of the answer that tuning taught.
_WHY = "Why are these cells called {label}?"
_SAID = "{genes} mark {label}."


class Wording:
    """Lets the language model choose which claims a reason names, and in which order.

    It is asked why the cells have their label, with their soft tokens and what was measured before it, and may answer
    with the names of two to four genes whose claims hold, and nothing else; what it names is then said with the
    measured figures. Nothing in it has to be checked afterwards.

    With `bioverse-small` the choice adds nothing: for all of 23 groups of three studies it named the strongest genes in
    the order in which they were measured, so that only their number (2.6 on average) was its own, and 89 % of these
    sets before another group's cells, too. Without the measured figures its genes told the cells from the nearest
    other group as well as genes drawn at random (area under the curve 0.726 and 0.724; the template's 0.763;
    `python -m benchmarks.evidence --choice`). It is the place where a better model would show itself.

    Parameters
    ----------
    model
        The model.
    values
        float32 (n_obs, n_tokens, dim), embeddings of the cells; of a label's the mean is read.
    modality
        Modality of the embeddings.
    """

    def __init__(self, model: BioVerse, values: Float, *, modality: str = "cell") -> None:
        self.writer, self.values, self.modality = model.text_writer, values, modality

    def __call__(
        self, rows: NDArray[np.bool_], label: str, claims: Sequence[CheckedClaim], *, measured: bool = True
    ) -> list[CheckedClaim]:
        """Choose two to four of a label's supported claims.

        Parameters
        ----------
        rows, label
            bool (n_obs,), the cells of the label; and its name.
        claims
            What may be said, the strongest first; five are offered.
        measured
            Whether the language model is shown the figures.
        """
        offered = list(claims[:MOST_OFFERED])
        ways = [way for n in range(LEAST_SAID, MOST_SAID + 1) for way in permutations(offered, n)]
        # Nothing to choose: asking would only cost time.
        if len(offered) <= LEAST_SAID:
            return offered
        prompt = self.writer.prompt(
            _WHY.format(label=label),
            objects=[(self.modality, "")],
            evidence=f"{listed(figures(offered))}." if measured else "",
        )
        answers = [_SAID.format(genes=listed([one.gene for one in way]), label=label) for way in ways]
        mean = self.values[rows].mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return list(ways[self.writer.choose(prompt, {self.modality: mean}, answers)])

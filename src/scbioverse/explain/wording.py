"""Reasons that the language model words: it chooses among tested claims, and has no way to say anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._logging import logger
from ..errors import BioverseError
from .sentence import figures, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse
    from .claims import CheckedClaim

Float = NDArray[np.float32]
MOST_OFFERED, MOST_SAID = 5, 3
# The question and the form of the answer that tuning taught.
_WHY = "Why are these cells called {label}?"
_SAID = "{gene} mark {label}."


class Wording:
    """Lets the language model choose which claims a reason names, and in which order.

    It is asked why the cells have their label, with their soft tokens (of the mean of `values`, float32 (n_obs,
    n_tokens, dim)) and what was measured before it, and each of five genes whose claims hold is scored as the beginning
    of its answer. The three most probable are said, the most probable first, with the measured figures. Nothing in the
    sentence has to be checked afterwards.

    One label is read at a time, behind the instruction, whose keys and values are computed once: what is chosen for it
    then depends on no other label, in bfloat16 either. Whether the choice is worth anything is measured by `python -m
    benchmarks.language_model`. `asked` counts the labels.
    """

    def __init__(self, model: BioVerse, values: Float, *, modality: str = "cell") -> None:
        self.model, self.values, self.modality = model, values, modality
        self.asked = 0
        self._able = taught(model)

    def __call__(
        self, rows: NDArray[np.bool_], label: str, claims: Sequence[CheckedClaim], *, measured: bool = True
    ) -> list[CheckedClaim] | None:
        """Choose three of a label's supported claims, the strongest of which come first; five are offered.

        None where the model was not taught to give reasons, or its language model cannot be read, or where there is
        nothing to choose: the template then says what it always says. The figures are shown to the language model if
        `measured`.
        """
        offered = list(claims[:MOST_OFFERED])
        if not self._able or len(offered) <= MOST_SAID:
            return None
        try:
            scores = self.weigh(rows, label, offered, measured=measured)
        except (BioverseError, OSError, RuntimeError) as error:
            # A reason is no label: that it cannot be worded must not cost the run.
            self._able = False
            logger.info("reasons are in the words of the template: %s", str(error).partition("\n")[0])
            return None
        self.asked += 1
        return [offered[i] for i in np.argsort(-scores, kind="stable")[:MOST_SAID]]

    def weigh(
        self, rows: NDArray[np.bool_], label: str, claims: Sequence[CheckedClaim], *, measured: bool = True
    ) -> Float:
        """Log-probability of each claim's gene as the beginning of the answer, float32 (n,), among these."""
        writer = self.model.text_writer
        prompt = writer.prompt(
            _WHY.format(label=label),
            objects=[(self.modality, "")],
            evidence=f"{listed(figures(claims))}." if measured else "",
        )
        mean = self.values[rows].mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        answers = [_SAID.format(gene=one.gene, label=label) for one in claims]
        return writer.weigh(prompt, {self.modality: mean}, answers)


def taught(model: BioVerse) -> bool:
    """Whether a model's tuning taught it to say why cells have a label; one that a user aligned was not."""
    tuned = (model.config.training or {}).get("stage 2") or {}
    return bool((tuned.get("questions") or {}).get("reason"))

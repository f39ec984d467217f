"""Sentences rendered from tested claims, of which the language model may choose; no code reads them back."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._logging import logger
from ..errors import BioverseError
from ..knowledge.phrases import canonical_phrase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..models import BioVerse
    from .claims import CheckedClaim
    from .support import Found

# Changing a word here changes what stands in the `obs` of every user.
NO_GROUP = "No label: the cell is in no group."
ONE_LABEL = "All {n} cells have this label, so no gene sets them apart from others in these data."
NO_COUNTS = "No counts were found in the genes that the model reads, so there is no label."
ONE_CELL = "This is the only cell, so no gene sets it apart from others in these data."
UNREADABLE = "No gene was checked: the expression matrix cannot be read as counts or log values."
NO_GENES = "No gene was checked: a {modality} has none."
_FEW_CELLS = " Too few cells for a test: judged by the size of the difference alone."
_NONE_KNOWN = "No marker gene of {label} is known among the genes measured, so none was checked."
_ONE_FAILS = (
    "The one known marker of {label} and its broader types tested does not set these cells apart from the others."
)
_NONE_HOLDS = (
    "None of the {n} known markers of {label} and its broader types tested sets these cells apart from the others."
)
_ONLY_WEAK = (
    "Only weak markers of the broader types of {label} set these cells apart from the others, "
    "and none of {label} itself."
)
_NO_ORIGIN = (
    "None of the {n} markers tested of types that tumours come from clearly sets these cells apart "
    "from the others, and no gene marks {label} itself."
)
_ORIGIN = "{claims}, from which tumours come; no gene marks {label} itself."
# :mod:`scbioverse.explain.reading` has this form, so that `check` can say whether it still holds.
_RATHER = "Rather than {other}: {gene} in {inside} of these cells, {outside} of those."
_NO_DECIDING = "{other} comes next; no known marker of either tells the two apart."
_BROADER_ONLY = "{claims}, but no marker of {label} itself sets these cells apart."


def reason(label: str, found: Found) -> str:
    """Say which markers support a label, or why none is named."""
    if not found.n_tested:
        return _NONE_KNOWN.format(label=label)
    # A label's own markers say most: with one of them nothing needs to be said about the others.
    kinds = {one.kind for one in found.claims}
    if found.claims:
        text = {"given": "{claims}.", "self": "{claims}.", "ancestor": _BROADER_ONLY, "origin": _ORIGIN}[
            min(kinds, key=_FIRST.index)
        ]
    elif found.kind == "origin":
        text = _NO_ORIGIN
    else:
        text = _ONLY_WEAK if found.n_supported else _ONE_FAILS if found.n_tested == 1 else _NONE_HOLDS
    said = text.format(claims=_marks(label, found.claims), label=label, n=found.n_tested)
    lacking = _GIVEN_FAIL[len(found.given) > 1].format(genes=listed(found.given), label=label) if found.given else ""
    return said + lacking + (_FEW_CELLS if found.untested else "")


_FIRST = ["given", "self", "ancestor", "origin"]
_GIVEN_FAIL = (
    " {genes}, which you gave for {label}, does not set these cells apart.",
    " None of the genes that you gave for {label} ({genes}) sets these cells apart.",
)
_GIVEN = ("is a marker you gave for ", "are markers you gave for ")


def _marks(label: str, claims: Sequence[CheckedClaim]) -> str:
    """One part of the sentence for each type that genes are markers of: "A (1 %, 0 %) and B (...) mark X; ..."."""
    parts: list[str] = []
    for (kind, cl_id), some in groupby(claims, key=lambda one: (one.kind, one.cl_id)):
        genes = list(some)
        what = label if kind in ("given", "self") else canonical_phrase(cl_id)
        verb = ("marks " if len(genes) == 1 else "mark ") + ("the broader type " if kind == "ancestor" else "")
        verb = _GIVEN[len(genes) > 1] if kind == "given" else verb
        parts.append(f"{listed(figures(genes, spelt=not parts))} {verb}{what}")
    return "; ".join(parts)


def unsure(confidence: float, away: float) -> str:
    """Say why a row is not called what the sentence behind this one is about."""
    if away < 0.005:
        return f"Confidence {confidence:.2f} is below the threshold."
    return (
        f"Confidence {confidence:.2f} among the candidates, but {100 * away:.0f} % likely of a type that is none of "
        "them, which is below the threshold. What speaks for the nearest one:"
    )


def rather_than(other: str, deciding: CheckedClaim | None) -> str:
    """Say which label comes next, and the gene that decides between the two, if a known one does."""
    if deciding is None or deciding.measured is None:
        return _NO_DECIDING.format(other=other)
    one = deciding.measured
    return _RATHER.format(
        other=other, gene=deciding.gene, inside=percent(one.fraction_in), outside=percent(one.fraction_out)
    )


def standing_out(claims: Sequence[CheckedClaim]) -> str:
    """Say what sets cells apart for which too little is known: genes that no table lists for the label."""
    if not claims:
        return ""
    said = " and ".join(figures([claim], spelt=True)[0] for claim in claims)
    verb, known = ("sets", "is no known marker") if len(claims) == 1 else ("set", "are no known markers")
    return f"{said} {verb} them apart most in these data, but {known} of the label."


def of_cell(label: str, genes: Sequence[str], n_tested: int) -> str:
    """Say which of the markers that set a label apart one cell expresses."""
    if not n_tested:
        return f"No known marker sets the cells labelled {label} apart from the others, so none was looked for here."
    if not genes:
        return f"This cell expresses none of the {n_tested} markers that set {label} apart in these data."
    marks = "a marker that sets" if len(genes) == 1 else "markers that set"
    return f"This cell expresses {listed(genes)}, {marks} {label} apart from the other cells."


def figures(claims: Sequence[CheckedClaim], *, spelt: bool = False) -> list[str]:
    """Genes with their fractions inside and outside; of the first it is said what the figures are, if asked."""
    shares = [
        (percent(one.measured.fraction_in), percent(one.measured.fraction_out)) if one.measured else ("", "")
        for one in claims
    ]
    # Only the first pair is spelt out; a reader knows the second by then.
    said = [f"{one.gene} ({inside}, {outside})" for one, (inside, outside) in zip(claims, shares, strict=True)]
    if spelt:
        said[0] = f"{claims[0].gene} ({shares[0][0]} of these cells, {shares[0][1]} of others)"
    return said


def listed(names: Iterable[str], word: str = "and") -> str:
    """Write "A", "A and B", "A, B and C"; or with another word before the last."""
    *first, last = [*names] or [""]
    return f"{', '.join(first)} {word} {last}" if first else last


def percent(fraction: float) -> str:
    """Write a fraction as whole percent; what is neither none nor all never reads as such."""
    # "0 %" of a gene that five of a thousand cells express would be a false statement.
    whole = round(100 * fraction)
    if whole == 0 and fraction > 0:
        return "<1 %"
    return ">99 %" if whole == 100 and fraction < 1 else f"{whole} %"


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
        nothing to choose: the template then says what it always says.
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
        """Log-probability of each claim's gene as the beginning of the answer, float32 (n,), among these.

        The figures are shown to the language model if `measured`.
        """
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

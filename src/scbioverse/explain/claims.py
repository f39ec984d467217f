"""Claims about genes, what was measured of them, and the one rule by which cells bear a claim out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..knowledge.markers import source_names

if TYPE_CHECKING:
    from collections.abc import Mapping

Direction = Literal["high", "low", "absent"]
Verdict = Literal["supported", "contradicted", "not measured", "not checked"]
SUPPORTED: Verdict = "supported"
# Columns of the evidence table; the order is what `uns` keeps.
EVIDENCE = [
    "label", "gene", "direction", "fraction_in", "fraction_out", "log_fold_change", "p", "n_in", "n_out", "verdict",
    "cl_id", "kind", "source", "said", "against",
]  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One statement about one gene, or about a family of genes.

    Of a family, one gene that holds is enough for "high" and "low", and all measured ones must hold for "absent".
    """

    said: str  # name as written
    genes: tuple[str, ...]  # approved symbols that the name stands for; none for a name that no table knows
    direction: Direction | None  # None where a reader did not fully understand the sentence
    sentence: int = 0  # its number, from 0
    percent_in: float | None = None  # percentages stated behind the gene
    percent_out: float | None = None
    against: str = ""  # name of the cells that it is compared with; "" for all others


@dataclass(frozen=True)
class Measured:
    """One gene inside and outside a set of cells; NaN where nothing is outside, or no test was made."""

    fraction_in: float  # cells that express it, 0 to 1
    fraction_out: float
    log_fold_change: float  # log2 of mean expression per 10,000, inside over outside, 0.1 added to both
    p_high: float  # one-sided Mann-Whitney
    p_low: float
    n_in: int  # cells
    n_out: int


@dataclass(frozen=True)
class CheckedClaim:
    """A claim and what the data say to it."""

    claim: Claim
    gene: str  # approved symbol that decided; the written name where none was measured
    verdict: Verdict
    measured: Measured | None = None  # None where it was not measured
    cl_id: str = ""  # term whose marker the gene is, "" for a gene that no table lists
    kind: str = ""  # "given", "self", "ancestor" or "origin", see `explain.support`; "" as above

    def row(self, label: str) -> dict[str, Any]:
        """Plain values for the evidence table, columns `EVIDENCE`."""
        one, direction = self.measured, self.claim.direction
        names = ("fraction_in", "fraction_out", "log_fold_change", "n_in", "n_out")
        # No test says that a gene is absent.
        p = None if one is None else {"high": one.p_high, "low": one.p_low}.get(direction or "", float("nan"))
        return {
            **{name: getattr(one, name, None) for name in names},
            "label": label,
            "gene": self.gene,
            "direction": direction or "",
            "p": p,
            "verdict": self.verdict,
            "cl_id": self.cl_id,
            "kind": self.kind,
            "said": self.claim.said,
            "against": self.claim.against,
            "source": "given by you" if self.kind == "given" else source_names(self.cl_id, self.gene),
        }


# ------------------------------------------------------------------ the rule

# All conditions of a direction must hold. Inside are the cells that the claim is about, outside those they are compared
# with; a cell expresses a gene if its value is above 0; the fold change is log2 of mean expression per 10,000, inside
# over outside, 0.1 added to both. A claim without a direction ("CD3D marks ...", "CD3D is expressed") is read as
# "high": only what is higher than elsewhere is a reason.
MIN_FRACTION = 0.1  # high: at least this fraction expresses the gene inside, and more inside than outside
MIN_LOG_FOLD_CHANGE = 0.25  # high: the fold change exceeds this; low: it is below its negative, and fewer express it
MAX_P = 0.01  # high and low: the one-sided Mann-Whitney test in that direction gives less
MIN_CELLS = 10  # where either side has fewer cells no test is made, and the size of the difference decides
MAX_ABSENT = 0.1  # absent: less than this fraction expresses the gene inside, and it is not high
MAX_ERROR = 5.0  # a percentage stated behind the gene may differ so many points from the measured one


def is_high(one: Any, p: Any) -> Any:
    """Whether a gene is high; numbers or arrays. Comparisons with NaN (nothing outside) do not hold."""
    # A gene in 2 % of the cells may pass every test with thousands of them and tells nobody anything.
    return (one.fraction_in >= MIN_FRACTION) & _raised(one) & _passed(one, p)


def is_low(one: Any, p: Any) -> Any:
    """Whether a gene is low; numbers or arrays."""
    fewer = (one.fraction_in < one.fraction_out) & (one.log_fold_change < -MIN_LOG_FOLD_CHANGE)
    return fewer & _passed(one, p)


def is_absent(one: Any) -> Any:
    """Whether a gene is absent; needs no cells outside and no test."""
    return (one.fraction_in < MAX_ABSENT) & np.logical_not(_raised(one))


def _raised(one: Any) -> Any:
    return (one.fraction_in > one.fraction_out) & (one.log_fold_change > MIN_LOG_FOLD_CHANGE)


def _passed(one: Any, p: Any) -> Any:
    return (np.minimum(one.n_in, one.n_out) < MIN_CELLS) | (p < MAX_P)


def judge(claim: Claim, measured: Mapping[str, Measured]) -> tuple[Verdict, str]:
    """Test one claim: the verdict, and the symbol that decided it (the written name where none was measured)."""
    # The most expressed member speaks for a family.
    known = [gene for gene in claim.genes if gene in measured]
    present = sorted(known, key=lambda gene: (-measured[gene].fraction_in, gene))
    speaker = (*present, *(claim.genes if len(claim.genes) == 1 else ()), claim.said)[0]
    if claim.direction is None:
        return "not checked", speaker
    compared = [measured[gene].n_in if claim.direction == "absent" else measured[gene].n_out for gene in present[:1]]
    if not present or measured[speaker].n_in == 0 or compared == [0]:
        return "not measured", speaker
    holding = [gene for gene in present if _holds(claim, measured[gene])]
    failing = [gene for gene in present if gene not in holding]
    enough = not failing if claim.direction == "absent" else bool(holding)
    return ("supported", holding[0]) if enough else ("contradicted", failing[0])


def _holds(claim: Claim, one: Measured) -> bool:
    stated = ((claim.percent_in, one.fraction_in), (claim.percent_out, one.fraction_out))
    if any(abs(said - 100 * found) > MAX_ERROR for said, found in stated if said is not None):
        return False
    if claim.direction == "absent":
        return bool(is_absent(one))
    return bool(is_high(one, one.p_high) if claim.direction == "high" else is_low(one, one.p_low))

"""One rule for all claims: when measured cells bear out that a gene is high, low or absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .claims import Claim, Measured, Verdict


@dataclass(frozen=True)
class Rule:
    """Thresholds; all conditions of a direction must hold.

    Inside are the cells that the claim is about, outside those they are compared with; a cell expresses a gene if its
    value is above 0; the fold change is log2 of mean expression per 10,000, inside over outside, 0.1 added to both.
    A claim without a direction ("CD3D marks ...", "CD3D is expressed") is read as "high": only what is higher than
    elsewhere is a reason.

    Attributes
    ----------
    min_fraction
        High: at least this fraction expresses the gene inside, and more inside than outside.
    min_log_fold_change
        High: the fold change exceeds this. Low: it is below its negative, and fewer express it inside than outside.
    max_p
        High and low: the one-sided Mann-Whitney test in that direction gives less.
    min_cells
        Where either side has fewer cells no test is made, and the size of the difference decides.
    max_absent
        Absent: less than this fraction expresses the gene inside, and it is not high.
    max_error
        A percentage stated behind the gene may differ so many points from the measured one.
    """

    min_fraction: float = 0.1
    min_log_fold_change: float = 0.25
    max_p: float = 0.01
    min_cells: int = 10
    max_absent: float = 0.1
    max_error: float = 5.0

    def high(self, one: Any, p: Any) -> Any:
        """Whether a gene is high; numbers or arrays. Comparisons with NaN (nothing outside) do not hold."""
        # A gene in 2 % of the cells may pass every test with thousands of them and tells nobody anything.
        return (one.fraction_in >= self.min_fraction) & self._raised(one) & self._passed(one, p)

    def low(self, one: Any, p: Any) -> Any:
        """Whether a gene is low; numbers or arrays."""
        fewer = (one.fraction_in < one.fraction_out) & (one.log_fold_change < -self.min_log_fold_change)
        return fewer & self._passed(one, p)

    def absent(self, one: Any, p: Any = None) -> Any:
        """Whether a gene is absent; needs no cells outside and no test."""
        return (one.fraction_in < self.max_absent) & np.logical_not(self._raised(one))

    def _raised(self, one: Any) -> Any:
        return (one.fraction_in > one.fraction_out) & (one.log_fold_change > self.min_log_fold_change)

    def _passed(self, one: Any, p: Any) -> Any:
        return (np.minimum(one.n_in, one.n_out) < self.min_cells) | (p < self.max_p)


def judge(claim: Claim, measured: Mapping[str, Measured], rule: Rule | None = None) -> tuple[Verdict, str]:
    """Test one claim: the verdict, and the symbol that decided it (the written name where none was measured)."""
    rule = rule or Rule()
    # The most expressed member speaks for a family.
    known = [gene for gene in claim.genes if gene in measured]
    present = sorted(known, key=lambda gene: (-measured[gene].fraction_in, gene))
    speaker = (*present, *(claim.genes if len(claim.genes) == 1 else ()), claim.said)[0]
    if claim.direction is None:
        return "not checked", speaker
    compared = [measured[gene].n_in if claim.direction == "absent" else measured[gene].n_out for gene in present[:1]]
    if not present or measured[speaker].n_in == 0 or compared == [0]:
        return "not measured", speaker
    holding = [gene for gene in present if _holds(claim, measured[gene], rule)]
    failing = [gene for gene in present if gene not in holding]
    enough = not failing if claim.direction == "absent" else bool(holding)
    deciding = {True: holding, False: failing}[enough]
    return ("supported" if enough else "contradicted"), deciding[0]


def _holds(claim: Claim, one: Measured, rule: Rule) -> bool:
    p = {"high": one.p_high, "low": one.p_low}.get(claim.direction or "")
    stated = ((claim.percent_in, one.fraction_in), (claim.percent_out, one.fraction_out))
    wrong = any(abs(said - 100 * found) > rule.max_error for said, found in stated if said is not None)
    return not wrong and bool(getattr(rule, str(claim.direction))(one, p))

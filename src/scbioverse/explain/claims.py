"""Claims about genes, and what was measured of them: plain structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..knowledge.markers import source_names

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

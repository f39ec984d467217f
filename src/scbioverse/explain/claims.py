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

    `said` is the name as written; `genes` the approved symbols that it stands for: of a family, one that holds is
    enough for "high" and "low", and all measured ones must hold for "absent"; none for a name that no table knows.
    `direction` is None where a reader did not fully understand the sentence (counted from 0). `percent_in` and
    `percent_out` are stated behind the gene; `against` names the cells it is compared with, `""` for all others.
    """

    said: str
    genes: tuple[str, ...]
    direction: Direction | None
    sentence: int = 0
    percent_in: float | None = None
    percent_out: float | None = None
    against: str = ""


@dataclass(frozen=True)
class Measured:
    """One gene inside and outside a set of cells.

    `fraction_in` and `fraction_out` are the shares of cells that express it; `log_fold_change` is log2 of mean
    expression per 10,000, inside over outside, 0.1 added to both; `p_high` and `p_low` are one-sided Mann-Whitney. NaN
    where nothing is outside or no test was made.
    """

    fraction_in: float
    fraction_out: float
    log_fold_change: float
    p_high: float
    p_low: float
    n_in: int
    n_out: int


@dataclass(frozen=True)
class CheckedClaim:
    """A claim and what the data say to it.

    `gene` is the approved symbol that decided, the written name where none was measured (`measured` is then None);
    `cl_id` the term whose marker it is, `""` for a gene that no table lists, and `kind` whose that is: `"given"`,
    `"self"`, `"ancestor"` or `"origin"`, see :func:`scbioverse.explain.support.group_evidence`.
    """

    claim: Claim
    gene: str
    verdict: Verdict
    measured: Measured | None = None
    cl_id: str = ""
    kind: str = ""

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

"""What a free text claims about genes, and whether measured cells bear it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..knowledge.sentences import split_sentences
from .directions import directions_of
from .gene_mentions import Direction, Mention, gene_mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Verdict = Literal["supported", "contradicted", "not measured"]
SUPPORTED: Verdict = "supported"
CONTRADICTED: Verdict = "contradicted"
NOT_MEASURED: Verdict = "not measured"

_FIGURES = re.compile(
    r"\(\s*(?:in\s+)?([<>~]?)\s*(\d+(?:\.\d+)?)\s*%[^()]*?(?:([<>~]?)\s*(\d+(?:\.\d+)?)\s*%[^()]*)?\)"
)


@dataclass(frozen=True)
class ClaimRules:
    """When measured cells bear a claim out; all conditions must hold.

    Inside are the cells that the text is about, outside those they are compared with; a cell expresses a gene if its
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
        Where either side has fewer cells no test is made.
    max_absent
        Absent: less than this fraction expresses the gene inside, and the fold change is not above
        `min_log_fold_change`.
    max_error
        A percentage stated behind the gene may differ so many points from the measured one.
    """

    min_fraction: float = 0.1
    min_log_fold_change: float = 0.25
    max_p: float = 0.01
    min_cells: int = 10
    max_absent: float = 0.1
    max_error: float = 5.0


@dataclass(frozen=True)
class Claim:
    """One statement of a text about one gene.

    Attributes
    ----------
    said
        Name as written.
    genes
        Approved symbols that the name stands for: of a family, one that holds is enough for "high" and "low", and all
        measured ones must hold for "absent". Empty for a name that no table knows.
    direction
        `"high"`, `"low"` or `"absent"`.
    sentence
        Number of the sentence, from 0.
    percent_in, percent_out
        Percentages stated behind the gene, or None.
    """

    said: str
    genes: tuple[str, ...]
    direction: Direction
    sentence: int
    percent_in: float | None = None
    percent_out: float | None = None


@dataclass(frozen=True)
class Measured:
    """One gene inside and outside a set of cells.

    Attributes
    ----------
    fraction_in, fraction_out
        Cells that express it, 0 to 1; `fraction_out` is NaN where nothing is outside.
    log_fold_change
        Log2, see :class:`ClaimRules`; NaN where nothing is outside.
    p_high, p_low
        One-sided Mann-Whitney; NaN without a test.
    n_in, n_out
        Cells.
    """

    fraction_in: float
    fraction_out: float
    log_fold_change: float
    p_high: float
    p_low: float
    n_in: int
    n_out: int


def parse_claims(text: str, *, names: Iterable[str] = ()) -> list[Claim]:
    """Read every claim about a gene out of a text.

    Parameters
    ----------
    text
        Sentences in English.
    names
        Labels of the data, in which a gene's name is no claim.

    Returns
    -------
    In the order of the text. A gene without any word of direction is claimed to be high: whoever names it as a reason
    says that it sets the cells apart.
    """
    names = list(names)
    return [claim for i, one in enumerate(split_sentences(text)) for claim in _sentence_claims(one, i, names)]


def _sentence_claims(sentence: str, number: int, names: list[str]) -> list[Claim]:
    mentions = gene_mentions(sentence, names=names)
    if not mentions:
        return []
    claims = []
    for mention, direction in zip(mentions, directions_of(sentence, mentions), strict=True):
        inside, outside = _stated(sentence, mention)
        claims.append(Claim(mention.said, mention.genes, direction, number, inside, outside))
    return claims


def _stated(sentence: str, mention: Mention) -> tuple[float | None, float | None]:
    rest = sentence[mention.end :].lstrip()
    match = _FIGURES.match(rest)
    if not match:
        return None, None
    # "<1 %" and ">99 %" are within any tolerance of the number itself.
    return float(match[2]), float(match[4]) if match[4] else None


def judge(claim: Claim, measured: Mapping[str, Measured], rules: ClaimRules | None = None) -> tuple[Verdict, str]:
    """Test one claim.

    Parameters
    ----------
    claim
        What was said.
    measured
        By approved symbol; genes that were not measured are not in it.
    rules
        Thresholds.

    Returns
    -------
    The verdict, and the symbol that decided it (the written name where none was measured).
    """
    rules = rules or ClaimRules()
    present = [gene for gene in claim.genes if gene in measured]
    if not present:
        return NOT_MEASURED, claim.genes[0] if len(claim.genes) == 1 else claim.said
    # The most expressed member speaks for a family.
    present.sort(key=lambda gene: (-measured[gene].fraction_in, gene))
    if measured[present[0]].n_in == 0 or (claim.direction != "absent" and measured[present[0]].n_out == 0):
        return NOT_MEASURED, present[0]
    holding = [gene for gene in present if _holds(claim, measured[gene], rules)]
    if claim.direction == "absent":
        failing = [gene for gene in present if gene not in holding]
        return (CONTRADICTED, failing[0]) if failing else (SUPPORTED, present[0])
    return (SUPPORTED, holding[0]) if holding else (CONTRADICTED, present[0])


def _holds(claim: Claim, one: Measured, rules: ClaimRules) -> bool:
    for stated, found in ((claim.percent_in, one.fraction_in), (claim.percent_out, one.fraction_out)):
        if stated is not None and found == found and abs(stated - 100 * found) > rules.max_error:
            return False
    tested = min(one.n_in, one.n_out) >= rules.min_cells
    if claim.direction == "absent":
        higher = one.n_out > 0 and one.log_fold_change > rules.min_log_fold_change and one.fraction_in > 0
        return one.fraction_in < rules.max_absent and not (higher and one.fraction_in > one.fraction_out)
    if claim.direction == "low":
        return (
            one.fraction_in < one.fraction_out
            and one.log_fold_change < -rules.min_log_fold_change
            and (not tested or one.p_low < rules.max_p)
        )
    return (
        one.fraction_in >= rules.min_fraction
        and one.fraction_in > one.fraction_out
        and one.log_fold_change > rules.min_log_fold_change
        and (not tested or one.p_high < rules.max_p)
    )

"""Claims about genes, what was measured of them, and the one rule by which cells bear a claim out.

Which known markers of a label the data bear out, which of them a reason names, and what tells it from the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ..knowledge.markers import GIVEN, known_markers, markers_to_test, source_names
from ..knowledge.ontology import load_ontology
from .expression import LEAST_TESTED, Measured, benjamini_hochberg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .expression import Grouped

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
class CheckedClaim:
    """A claim and what the data say to it."""

    claim: Claim
    gene: str  # approved symbol that decided; the written name where none was measured
    verdict: Verdict
    measured: Measured | None = None  # None where it was not measured
    cl_id: str = ""  # term whose marker the gene is, "" for a gene that no table lists
    kind: str = ""  # "given", "self", "ancestor" or "origin", see `evidence_of`; "" as above

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
MIN_CELLS = LEAST_TESTED  # where either side has fewer cells no test is made, and the size of the difference decides
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
    absent = claim.direction == "absent"
    if not present or 0 in (measured[speaker].n_in, measured[speaker].n_out or absent):
        return "not measured", speaker
    holds = {gene: _holds(claim, measured[gene]) for gene in present}
    enough = (all if absent else any)(holds.values())
    decided = next(gene for gene, held in holds.items() if held == enough)
    return "supported" if enough else "contradicted", decided


def _holds(claim: Claim, one: Measured) -> bool:
    stated = ((claim.percent_in, one.fraction_in), (claim.percent_out, one.fraction_out))
    if any(abs(said - 100 * found) > MAX_ERROR for said, found in stated if said is not None):
        return False
    if claim.direction == "absent":
        return bool(is_absent(one))
    return bool(is_high(one, one.p_high) if claim.direction == "high" else is_low(one, one.p_low))


COLUMNS = [
    "group", "gene", "kind", "cl_id", "fraction_in", "fraction_out", "log_fold_change", "auc", "p", "p_adj", "weight",
    "n_in", "n_out", "supported",
]  # fmt: skip
# An ancestor's marker is named only where the ancestor has fewer descendants ("animal cell" has 2,900), and where the
# area under the curve and the ratio of the fractions are larger than these: with thousands of cells a difference that
# nobody would see in a plot passes any test.
_BROADEST = 400
_CLEAR = 0.65
_TIMES = 1.5
MAX_OWN, MAX_BROADER = 3, 2
# Kinds of markers that are of the label itself, in the order in which they are named.
_OWN = {"given": 0, "self": 1}


def evidence_of(
    groups: Grouped,
    categories: Sequence[Any],
    labels: Mapping[Any, str | None],
    *,
    max_genes: int = 60,
    max_genes_per_ancestor: int = 30,
    given: Mapping[Any, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Test the known markers of each group's label, and of the label's ontology ancestors.

    `categories` are the names of the groups, `labels` their Cell Ontology ids by name. Of the label itself and of each
    ancestor the strongest `max_genes` that are measured are tested, after those that the user gave (approved symbols,
    by group); an ancestor's marker that marks one of the label's siblings more is left out.

    Returns one row per group and tested gene: `group`; `gene` (approved symbol); `kind` (`"given"` by the user,
    `"self"`, `"ancestor"`, or `"origin"`: of tumour cells, which no gene marks, those of the types that they come
    from); `cl_id` (the term whose marker it is); `fraction_in`, `fraction_out` (cells that express it inside and
    outside the group); `log_fold_change` (log2 of mean expression per 10,000 inside over outside, 0.1 added to both);
    `auc` (probability that a cell inside exceeds one outside, ties half); `p` (one-sided Mann-Whitney) and `p_adj`
    (Benjamini-Hochberg within the group), NaN with too few cells for a test; `weight` (of the marker, see
    :func:`scbioverse.knowledge.load_markers`); `n_in`, `n_out` (cells); `supported`. Sorted by group, supported first,
    own markers first, then by falling `weight * purity * sqrt(fraction_in)`, where purity is the fraction inside over
    the sum of both fractions.

    With one group only there is nothing to compare with: `fraction_out` and what follows is NaN, nothing is supported.
    """
    used = np.flatnonzero(groups.sizes)
    names = [categories[code] for code in used.tolist()]
    terms = [labels.get(name) for name in names]
    known = markers_to_test(terms, groups.positions.keys(), own=max_genes, of_ancestor=max_genes_per_ancestor)
    tables = [
        _with_given((given or {}).get(name, ()), table, groups.positions)
        for name, table in zip(names, known, strict=True)
    ]
    wanted = {at: table for at, table in enumerate(tables) if len(table)}
    if not wanted:
        return _empty()
    table = pd.concat(wanted, names=["at", None]).reset_index("at").reset_index(drop=True)
    genes, place = np.unique(table["gene"].astype(str), return_inverse=True)
    at = table.pop("at").to_numpy()
    stats, code = groups.statistics(genes.tolist()), used[at]
    for key in ("fraction_in", "fraction_out", "log_fold_change", "auc", "p"):
        table[key] = stats[key][place, code]
    for key in ("n_in", "n_out"):
        table[key] = stats[key][code].astype(int)
    tested = np.minimum(table["n_in"], table["n_out"]) >= MIN_CELLS
    table["p"] = table["p"].where(tested)
    table["p_adj"] = table["p"].groupby(at).transform(lambda p: benjamini_hochberg(p.to_numpy()))
    table["supported"] = is_high(table, table["p_adj"])
    purity = table["fraction_in"] / (table["fraction_in"] + table["fraction_out"].fillna(0)).clip(lower=1e-9)
    strength = table["weight"] * purity * np.sqrt(table["fraction_in"])
    rank = table["kind"].map(_OWN).fillna(len(_OWN))
    order = np.lexsort((table["gene"], -strength, rank, ~table["supported"], at))
    table["group"] = pd.Series([names[k] for k in at], dtype=object)
    return table[COLUMNS].iloc[order].reset_index(drop=True)


def _with_given(genes: Sequence[str], table: pd.DataFrame, positions: dict[str, int]) -> pd.DataFrame:
    """Put the genes that the user gave before those of the tables, as far as they are measured."""
    here = [gene for gene in genes if gene in positions]
    if not here:
        return table
    own = pd.DataFrame({"gene": here, "kind": "given", "cl_id": "", "weight": GIVEN})
    return pd.concat([own, table[~table["gene"].isin(here)]], ignore_index=True)


def _empty() -> pd.DataFrame:
    kinds = dict.fromkeys(COLUMNS, float) | dict.fromkeys(("group", "gene", "kind", "cl_id"), object)
    kinds |= {"n_in": int, "n_out": int, "supported": bool}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})


@dataclass(frozen=True)
class Found:
    """What testing the markers of one label gave."""

    n_tested: int
    n_supported: int
    untested: bool  # too few cells for a test, so that the size of the difference decided
    kind: str  # "origin" where all markers are those of types that tumours come from
    claims: list[CheckedClaim]  # worth naming: own ones first, the strongest first, then by type
    given: tuple[str, ...] = ()  # genes that the user gave, where none of them is supported


def worth_naming(rows: pd.DataFrame, *, most: int = MAX_OWN) -> Found:
    """Choose the markers of one group's part of :func:`evidence_of` that a reason names, at `most` so many own ones.

    Beside them two of the label's broader types are named, or `most` where there are no own ones; of tumours, `most` of
    the types that they come from.
    """
    held = rows[rows["supported"]]
    own = held[held["kind"].isin(_OWN)].head(most)
    narrow = np.array([one != "" and len(load_ontology().descendants(one)) <= _BROADEST for one in held["cl_id"]], bool)
    clear = (held["auc"] >= _CLEAR) & (held["fraction_in"] >= _TIMES * held["fraction_out"])
    origin = held[clear & (held["kind"] == "origin")].head(most)
    broader = held[clear & narrow & (held["kind"] == "ancestor")].head(MAX_BROADER if len(own) else most)
    named, given = pd.concat([own, origin, broader]), rows[rows["kind"] == "given"]
    return Found(
        n_tested=len(rows),
        n_supported=len(held),
        untested=bool(rows["p_adj"].isna().all()),
        kind="origin" if len(rows) and (rows["kind"] == "origin").all() else "",
        claims=by_type(list(map(_claim, named.to_dict("records")))),
        given=() if given["supported"].any() else tuple(given["gene"]),
    )


def by_type(claims: Sequence[CheckedClaim]) -> list[CheckedClaim]:
    """Put the markers of one type together, in the order of each type's first."""
    order = list(dict.fromkeys(one.cl_id for one in claims))
    return sorted(claims, key=lambda one: order.index(one.cl_id))


def _claim(row: Mapping[Any, Any]) -> CheckedClaim:
    gene = str(row["gene"])
    numbers = {name: row[name] for name in ("fraction_in", "fraction_out", "log_fold_change", "n_in", "n_out")}
    measured = Measured(**numbers, p_high=row["p"], p_low=float("nan"))
    return CheckedClaim(Claim(gene, (gene,), "high"), gene, SUPPORTED, measured, str(row["cl_id"]), str(row["kind"]))


# ------------------------------------------------------------------ the label that comes next

# Markers of each of the two labels that are compared, the best known first; and of these, those tested.
_KNOWN, _TESTED = 40, 5
# What fewer cells differ in than one of ten decides nothing that a reader would see in a plot.
_APART = 0.1


def runners_up(log_probs: NDArray[np.floating], codes: NDArray[np.integer]) -> dict[int, int]:
    """Return for each label the one that its cells are called next to it.

    That is the candidate with the next highest mean probability, of `log_probs` (n_obs, m), -inf for what a row could
    not choose, among those that some rows are called. `codes` (n_obs,) are -1 for none, and from m on what is no
    candidate and has no rival. A label without a rival is left out.
    """
    m = log_probs.shape[1]
    sizes = np.bincount(codes[codes >= 0], minlength=m)[:m]
    found: dict[int, int] = {}
    for code in np.flatnonzero(sizes).tolist():
        mean = np.exp(log_probs[codes == code].astype(np.float64)).mean(axis=0)
        mean[code] = 0.0
        mean[sizes == 0] = 0.0
        if mean.max() > 0:
            found[code] = int(mean.argmax())
    return found


def deciding(
    groups: Grouped,
    cl_ids: Sequence[str | None],
    shown: Sequence[str],
    rivals: Mapping[int, int],
    given: Sequence[Sequence[str]] = (),
) -> dict[int, CheckedClaim | None]:
    """Find for each label the known marker of it, or of its rival, that differs most between the two; None without one.

    Of the markers of either, those with the largest difference of the fractions that express them are tested: one of
    the label's own must be high in its cells, one of the rival's low, by the rule of all claims. The p is multiplied by
    the number of markers that were compared, since the largest differences were picked from them (Bonferroni). `shown`
    are the labels' names in sentences, `rivals` from :func:`runners_up`, and `given` genes (approved symbols) that the
    user gave for the first labels, which are theirs as known ones are.
    """
    codes = sorted({code for pair in rivals.items() for code in pair})
    known = known_markers([cl_ids[code] for code in codes], groups.positions, _KNOWN)
    told = {code: [gene for gene in one if gene in groups.positions] for code, one in enumerate(given)}
    own = {code: [*dict.fromkeys([*told.get(code, ()), *some])] for code, some in zip(codes, known, strict=True)}
    genes = sorted({gene for some in own.values() for gene in some})
    share = groups.shares(genes)
    found: dict[int, CheckedClaim | None] = {}
    for code, rival in rivals.items():
        n_compared = len({*own[code], *own[rival]})
        apart = pd.Series(share[code] - share[rival], index=genes)
        # A marker of the label counts where it is higher in its cells, one of the rival where it is lower.
        higher, lower = apart[own[code]] > _APART, apart[own[rival]] < -_APART
        able = apart[sorted({*higher.index[higher], *lower.index[lower]})]
        picked: list[str] = able.abs().sort_values(ascending=False, kind="stable").index[:_TESTED].tolist()
        measured = groups.measure(code, picked, rival)
        claims = [Claim(one, (one,), "high" if apart[one] > 0 else "low", against=shown[rival]) for one in picked]
        passed = [one for one in claims if _passes(one, measured[one.said], n_compared)]
        found[code] = None
        if passed:
            first = passed[0]
            whose = code if first.direction == "high" else rival
            kind, cl_id = ("given", "") if first.said in told.get(whose, ()) else ("self", str(cl_ids[whose]))
            found[code] = CheckedClaim(first, first.said, SUPPORTED, measured[first.said], cl_id, kind)
    return found


def _passes(claim: Claim, one: Measured, n_compared: int) -> bool:
    """Whether a claim about a gene that was picked out of so many holds."""
    if claim.direction == "high":
        return bool(is_high(one, one.p_high * n_compared))
    return bool(is_low(one, one.p_low * n_compared))

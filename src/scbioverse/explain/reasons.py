"""The reason for each label or cell: tested claims, the sentence that says them, and the table behind it.

Sentences are written for people, from claims of which the language model may choose; no code reads them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._logging import listed, logger, shown_name, warn
from ..errors import BioverseError, InputError, MissingKeyError
from ..io import Cells
from ..io.cells import SAMPLE_CELLS
from ..knowledge.ontology import canonical_phrase
from .expression import Expression, InMemory
from .over_blocks import OverBlocks
from .support import (
    EVIDENCE,
    MIN_CELLS,
    SUPPORTED,
    CheckedClaim,
    Claim,
    Found,
    by_type,
    deciding,
    evidence_of,
    runners_up,
    worth_naming,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse
    from .expression import Grouped

Float = NDArray[np.float32]
Rationale = Literal["group", "template", "cell"]
# Supported markers of a label from which a cell's own reason is made, and how many it names.
_OWN_MARKERS = 12
_NAMED = 3
MOST_OFFERED, MOST_SAID = 5, 3
# A label whose own reason names fewer genes is told what else sets its cells apart.
_ENOUGH = 2


@dataclass(frozen=True)
class Reasons:
    """Reasons and what they rest on."""

    sentences: list[str]  # one a label, empty where no cell has it
    # One row a claim about a gene in `sentences`, columns `EVIDENCE`.
    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EVIDENCE))
    cells: list[str] | None = None  # one a row where each cell has its own reason
    measured: dict[str, float] = field(default_factory=dict)

    def of_rows(
        self,
        codes: NDArray[np.integer],
        known: NDArray[np.bool_],
        confidence: NDArray[np.floating],
        names: Sequence[str],
        away: NDArray[np.floating] | None = None,
    ) -> list[str]:
        """Reason of every row; where no label is sure enough, why it has none, and which of the `names` is the best.

        `away`: how likely each row is of no candidate's type, which counted beside the confidence.
        """
        if not any(self.sentences) and self.cells is None:
            return [""] * len(codes)
        gone = np.zeros(len(codes)) if away is None else away
        out = []
        for row, (code, sure) in enumerate(zip(codes.tolist(), known.tolist(), strict=True)):
            # What was measured of the cells with a label is said of no others.
            of_label = self.sentences[code] if sure else ""
            own = self.cells[row] if self.cells else NO_GROUP if code < 0 else of_label
            why = "" if sure or code < 0 else unsure(names[code], confidence[row], gone[row])
            out.append(f"{why} {own}".strip())
        return out


def reasons(
    data: AnnData | Cells,
    names: Sequence[str],
    cl_ids: Sequence[str | None],
    codes: NDArray[np.integer],
    *,
    rationale: Rationale | None = "group",
    modality: str = "cell",
    wording: Wording | None = None,
    log_probs: NDArray[np.floating] | None = None,
    given: Sequence[Sequence[str]] = (),
    known: NDArray[np.bool_] | None = None,
) -> Reasons:
    """Write a reason for each label that some cell has (`codes` (n_obs,), -1 for none), or for each cell.

    Cells that are not `known`, bool (n_obs,), do not have the label that is their best one: they are among the others.

    `rationale` is `"group"` or `"template"`: what sets the cells of a label apart; `"cell"`: which of these genes the
    cell itself expresses; None: no reasons. `wording` chooses the claims that are said of each label; the template's
    own choice if not given, or where it has none. With `log_probs`, float32 (n_obs, m), of the first m labels, a reason
    names the label that comes next, and the gene that decides between the two. `given` are genes (approved symbols)
    that the user gave for the first labels. Every gene in a reason passed the rule of :mod:`.support`; only
    cells have genes.
    """
    if rationale is None:
        return Reasons([""] * len(names))
    if modality != "cell":
        return Reasons([NO_GENES.format(modality=modality)] * len(names))
    # With one label there are no other cells, and no gene can set it apart.
    best, n = codes, len(names)
    codes = codes if known is None else np.where(known | (codes < 0), codes, n)
    sizes = np.bincount(codes[codes >= 0], minlength=n + 1)
    if np.count_nonzero(sizes) == 1:
        alone = ONE_CELL if sizes.sum() == 1 else ONE_LABEL
        return Reasons([alone.format(n=size) if size else "" for size in sizes[:n]])
    try:
        groups = grouped(data, codes, n + 1)
    except (InputError, MissingKeyError) as error:
        warn(f"no gene could be checked as a reason: {error}")
        return Reasons([UNREADABLE] * len(names))
    shown = list(map(shown_name, names))
    # Groups are called by their codes, since a name may be anything.
    evidence = evidence_of(groups, range(n + 1), dict(enumerate(cl_ids)), given=dict(enumerate(given)))
    rivals = {} if log_probs is None or rationale == "cell" else runners_up(log_probs, codes)
    decided = deciding(groups, cl_ids, shown, rivals, given)
    lists = LISTS if Cells.of(data).unlisted else ""
    used = np.flatnonzero(sizes[:n]).tolist()
    tables = {code: evidence[evidence["group"] == code] for code in used}
    worded: dict[int, list[CheckedClaim]] = {}
    if wording is not None:
        offered = {code: worth_naming(tables[code], most=MOST_OFFERED).claims[:MOST_OFFERED] for code in used}
        asked = [Asked(codes == code, shown[code], claims) for code, claims in offered.items()]
        worded = dict(zip(used, wording.choose(asked), strict=True))
    sentences, rows = [""] * n, []
    for code in used:
        found = worth_naming(tables[code])
        if chosen := worded.get(code):
            found = replace(found, claims=by_type(chosen))
        more = [] if len(found.claims) >= _ENOUGH else _standing_out(groups, code, found, tables[code])
        last = decided.get(code)
        said = [
            reason(shown[code], found),
            standing_out(more),
            rather_than(shown[rivals[code]], last) if code in rivals else "",
            _too_few(found, [*more, *([last] if last else [])]),
            lists if found.n_tested else "",
        ]
        sentences[code] = " ".join(filter(None, said))
        rows += [claim.row(names[code]) for claim in filter(None, (*found.claims, *more, last))]
    own: list[str] | None = None
    if rationale == "cell":
        own = [f"{one} {lists}".strip() for one in _of_cells(Cells.of(data), evidence, shown, best)]
    measured = {"cells": int(groups.sizes.sum()), "auc_error": round(groups.auc_error, 6)}
    return Reasons(sentences, pd.DataFrame(rows, columns=EVIDENCE), own, measured)


def grouped(data: AnnData | Cells, codes: NDArray[np.integer], n_groups: int) -> Grouped:
    """Return groups of cells: in memory up to 20,000 of them, else over all blocks.

    `codes`, (n_obs,), are their groups, -1 for cells to leave out. An :class:`InputError` where the matrix cannot be
    read as counts or log values, or no gene is known.
    """
    cells = Cells.of(data)
    if np.count_nonzero(codes >= 0) > SAMPLE_CELLS:
        return OverBlocks(cells, codes, n_groups)
    found = cells.sample(codes)
    return InMemory(Expression(found.values, found.symbols, cells.info), codes[found.rows], n_groups)


def _standing_out(groups: Grouped, code: int, found: Found, tested: pd.DataFrame) -> list[CheckedClaim]:
    """Genes that set the cells of a label apart most, whatever is known of them."""
    genes = groups.standing_out(code, _ENOUGH, without={one.gene for one in found.claims})
    measured = groups.measure(code, genes)
    # A weak marker of a broader type may stand out, too: the table says whose marker it is.
    listed = tested.set_index("gene")[["cl_id", "kind"]].T.to_dict()
    return [
        CheckedClaim(Claim(gene, (gene,), "high"), gene, SUPPORTED, measured[gene], **listed.get(gene, {}))
        for gene in genes
    ]


def _of_cells(cells: Cells, evidence: pd.DataFrame, shown: Sequence[str], codes: NDArray[np.integer]) -> list[str]:
    """Each cell's own reason: of the markers that set its label apart, those with counts in this cell."""
    # Zeros of a sparse assay are often missed molecules: what a cell expresses is said, what it lacks is not.
    supported = evidence[evidence["supported"]]
    wanted = {code: list(rows["gene"].head(_OWN_MARKERS)) for code, rows in supported.groupby("group", sort=False)}
    genes = sorted({gene for some in wanted.values() for gene in some})
    place = {gene: i for i, gene in enumerate(genes)}
    columns, out = cells.gene_columns(), list[str]()
    for span, block in cells.blocks([columns[gene] for gene in genes]):
        for row, code in zip(block.toarray() > 0, codes[span].tolist(), strict=True):
            tested = wanted.get(code, [])
            own = [gene for gene in tested if row[place[gene]]][:_NAMED]
            out.append(NO_GROUP if code < 0 else of_cell(shown[code], own, len(tested)))
    return out


# ------------------------------------------------------------------ which claims are said: the language model chooses

# The question and the form of the answer that tuning taught.
_WHY = "Why are these cells called {label}?"
_SAID = "{gene} mark {label}."


@dataclass(frozen=True, eq=False)
class Asked:
    """A label whose reason is to be worded."""

    rows: NDArray[np.bool_]  # bool (n_obs,): its cells
    label: str  # as it is shown
    claims: Sequence[CheckedClaim]  # that hold, the strongest first


class Wording:
    """Lets the language model choose which claims a reason names, and in which order.

    It is asked why the cells have their label, with their soft tokens (of the mean of `values`, float32 (n_obs,
    n_tokens, dim)) and what was measured before it, and each of five genes whose claims hold is scored as the beginning
    of its answer. The three most probable are said, the most probable first, with the measured figures. Nothing in the
    sentence has to be checked afterwards. Whether the choice is worth anything is measured by `python -m
    benchmarks.language_model`. `asked` counts the labels.
    """

    def __init__(self, model: BioVerse, values: Float, *, modality: str = "cell") -> None:
        self.model, self.values, self.modality = model, values, modality
        self.asked = 0

    def choose(self, labels: Sequence[Asked]) -> list[list[CheckedClaim]]:
        """Choose three of each label's claims; none where there is nothing to choose.

        None of any where the model was not taught to give reasons, or its language model cannot be read: the template
        then says what it always says.
        """
        chosen: list[list[CheckedClaim]] = [[] for _ in labels]
        several = [i for i, one in enumerate(labels) if len(one.claims) > MOST_SAID]
        if not several or not taught(self.model):
            return chosen
        try:
            weighed = self.weigh([labels[i] for i in several])
        except (BioverseError, OSError, RuntimeError) as error:
            # A reason is no label: that it cannot be worded must not cost the run.
            logger.info("reasons are in the words of the template: %s", str(error).partition("\n")[0])
            return chosen
        self.asked += len(several)
        for i, scores in zip(several, weighed, strict=True):
            chosen[i] = [labels[i].claims[at] for at in np.argsort(-scores, kind="stable")[:MOST_SAID]]
        return chosen

    def weigh(self, labels: Sequence[Asked], *, measured: bool = True) -> list[Float]:
        """Log-probability of each claim's gene as the beginning of the answer, float32 (n,), among a label's claims.

        The figures are shown to the language model if `measured`.
        """
        writer = self.model.text_writer
        told = [figures(one.claims) if measured else [] for one in labels]
        shown = [said and f"{said}." for said in map(listed, told)]
        asked = [(_WHY.format(label=one.label), said) for one, said in zip(labels, shown, strict=True)]
        prompts = writer.prompts(asked, objects=[(self.modality, "")])
        means = [self.values[one.rows].mean(axis=0, keepdims=True, dtype=np.float64) for one in labels]
        answers = [[_SAID.format(gene=claim.gene, label=one.label) for claim in one.claims] for one in labels]
        return writer.weigh(prompts, [{self.modality: mean.astype(np.float32)} for mean in means], answers)


def taught(model: BioVerse) -> bool:
    """Whether a model's tuning taught it to say why cells have a label; one that a user aligned was not."""
    tuned = (model.config.training or {}).get("stage 2") or {}
    return bool((tuned.get("questions") or {}).get("reason"))


# ------------------------------------------------------------------ the words

# Changing a word here changes what stands in the `obs` of every user.
NO_GROUP = "No label: the cell is in no group."
ONE_LABEL = "All {n} cells have this label, so no gene sets them apart from others in these data."
NO_COUNTS = "No counts were found in the genes that the model reads, so there is no label."
ONE_CELL = "This is the only cell, so no gene sets it apart from others in these data."
UNREADABLE = "No gene was checked: the expression matrix cannot be read as counts or log values."
NO_GENES = "No gene was checked: a {modality} has none."
LISTS = (
    "Cells here are lists of genes: shares are of lists that hold a gene, and one that is not listed may be expressed."
)
_FEW_CELLS = " Too few cells for a test: judged by the size of the difference alone."
_FEW_OF_THOSE = "Too few of those cells for a test: judged by the size of the difference alone."
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
# :mod:`scbioverse.explain.check` has this form, so that `check` can say whether it still holds.
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


def _too_few(found: Found, more: Sequence[CheckedClaim]) -> str:
    """Say of claims beside those of the label's own reason that cells were too few for a test, if they were."""
    few = [one.measured for one in more if one.measured and min(one.measured.n_in, one.measured.n_out) < MIN_CELLS]
    if any(one.n_in < MIN_CELLS for one in few):
        return "" if found.n_tested and found.untested else _FEW_CELLS.strip()
    return _FEW_OF_THOSE if few else ""


def unsure(name: str, confidence: float, away: float) -> str:
    """Say why a row has no label, and which of the candidates is the best."""
    among = f" among the candidates, but {100 * away:.0f} % likely of a type that is none of them, which"
    why = f"Confidence {confidence:.2f}{'' if away < 0.005 else among} is below the threshold."
    return f"{why} The nearest candidate is {shown_name(name)}."


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


def percent(fraction: float) -> str:
    """Write a fraction as whole percent; what is neither none nor all never reads as such."""
    # "0 %" of a gene that five of a thousand cells express would be a false statement.
    whole = round(100 * fraction)
    if whole == 0 and fraction > 0:
        return "<1 %"
    return ">99 %" if whole == 100 and fraction < 1 else f"{whole} %"

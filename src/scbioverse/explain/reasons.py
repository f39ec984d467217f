"""The reason for each label or cell: tested claims, a sentence rendered from them, and the table behind it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._shown import shown_name
from .._warn import warn
from ..errors import InputError, MissingKeyError
from ..io import Cells
from . import sentence
from .claims import EVIDENCE, SUPPORTED, CheckedClaim, Claim
from .grouped import grouped
from .sentence import MOST_OFFERED
from .support import Found, by_type, deciding, evidence_of, runners_up, worth_naming

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from .grouped import Grouped
    from .sentence import Wording

Rationale = Literal["group", "template", "cell"]
# Supported markers of a label from which a cell's own reason is made, and how many it names.
_OWN_MARKERS = 12
_NAMED = 3
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
        away: NDArray[np.floating] | None = None,
    ) -> list[str]:
        """Reason of every row; that of the best candidate, said to be unsure, where none is sure enough.

        `away`: how likely each row is of no candidate's type, which counted beside the confidence.
        """
        if not any(self.sentences) and self.cells is None:
            return [""] * len(codes)
        own = self.cells or [self.sentences[code] if code >= 0 else sentence.NO_GROUP for code in codes]
        gone = np.zeros(len(codes)) if away is None else away
        return [
            text if sure or code < 0 else f"{sentence.unsure(conf, far)} {text}"
            for text, code, sure, conf, far in zip(own, codes, known, confidence, gone, strict=True)
        ]


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
) -> Reasons:
    """Write a reason for each label that some cell has (`codes` (n_obs,), -1 for none), or for each cell.

    `rationale` is `"group"` or `"template"`: what sets the cells of a label apart; `"cell"`: which of these genes the
    cell itself expresses; None: no reasons. `wording` chooses the claims that are said of each label; the template's
    own choice if not given, or where it has none. With `log_probs`, float32 (n_obs, m), of the first m labels, a reason
    names the label that comes next, and the gene that decides between the two. `given` are genes (approved symbols)
    that the user gave for the first labels. Every gene in a reason passed the rule of :mod:`.claims`; only
    cells have genes.
    """
    if rationale is None:
        return Reasons([""] * len(names))
    if modality != "cell":
        return Reasons([sentence.NO_GENES.format(modality=modality)] * len(names))
    # With one label there are no other cells, and no gene can set it apart.
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    if np.count_nonzero(sizes) == 1:
        said = sentence.ONE_CELL if sizes.sum() == 1 else sentence.ONE_LABEL
        return Reasons([said.format(n=n) if n else "" for n in sizes])
    try:
        groups = grouped(data, codes, len(names))
    except (InputError, MissingKeyError) as error:
        warn(f"no gene could be checked as a reason: {error}")
        return Reasons([sentence.UNREADABLE] * len(names))
    shown = [shown_name(name) for name in names]
    # Groups are called by their codes, since a name may be anything.
    evidence = evidence_of(groups, range(len(names)), dict(enumerate(cl_ids)), given=dict(enumerate(given)))
    rivals = {} if log_probs is None or rationale == "cell" else runners_up(log_probs, codes)
    decided = deciding(groups, cl_ids, shown, rivals)
    sentences, rows = [""] * len(names), []
    for code in np.flatnonzero(sizes).tolist():
        tested = evidence[evidence["group"] == code]
        found = worth_naming(tested)
        if wording is not None:
            offered = worth_naming(tested, most=MOST_OFFERED).claims
            found = replace(found, claims=by_type(wording(codes == code, shown[code], offered) or found.claims))
        more = [] if len(found.claims) >= _ENOUGH else _standing_out(groups, code, found, tested)
        said = [sentence.reason(shown[code], found), sentence.standing_out(more)]
        last = [] if (one := decided.get(code)) is None else [one]
        if code in rivals:
            said.append(sentence.rather_than(shown[rivals[code]], one))
        sentences[code] = " ".join(filter(None, said))
        rows += [claim.row(names[code]) for claim in (*found.claims, *more, *last)]
    own = _of_cells(Cells.of(data), evidence, shown, codes) if rationale == "cell" else None
    measured = {"cells": int(groups.sizes.sum()), "auc_error": round(groups.auc_error, 6)}
    return Reasons(sentences, pd.DataFrame(rows, columns=EVIDENCE), own, measured)


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
            out.append(sentence.NO_GROUP if code < 0 else sentence.of_cell(shown[code], own, len(tested)))
    return out

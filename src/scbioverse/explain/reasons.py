"""The checked reason for each label or cell: marker genes that the data bear out, and the table behind it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._shown import shown_name
from ..errors import InputError, MissingKeyError
from .reading import CheckedClaim, MeasuredCells, check_text
from .support import group_evidence, percent, write_rationale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


Rationale = Literal["group", "cell"]
NO_GROUP = "No label: the cell is in no group."
ONE_LABEL = "All {n} cells have this label, so no gene sets them apart from others in these data."
UNREADABLE = "No gene was checked: the expression matrix cannot be read as counts or log values."
# Columns of the evidence table; the order is what `uns` keeps.
EVIDENCE = [
    "label", "gene", "direction", "fraction_in", "fraction_out", "log_fold_change", "p", "n_in", "n_out", "verdict",
    "cl_id", "kind", "source", "said",
]  # fmt: skip
# Supported markers of a label from which a cell's own reason is made, and how many it names.
_OWN_MARKERS = 12
_NAMED = 3
# A label whose own reason names fewer genes is told what else sets its cells apart.
_ENOUGH = 2
_TRIES = 3


@dataclass(frozen=True)
class Reasons:
    """Reasons and what they rest on.

    Attributes
    ----------
    sentences
        One a label, empty where no cell has it.
    table
        One row a claim about a gene in `sentences`, columns `EVIDENCE`.
    cells
        One a row where each cell has its own reason.
    """

    sentences: list[str]
    table: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=EVIDENCE))
    cells: list[str] | None = None

    def of_rows(
        self, codes: NDArray[np.integer], known: NDArray[np.bool_], confidence: NDArray[np.floating]
    ) -> list[str]:
        """Reason of every row; that of the best candidate, said to be unsure, where none is sure enough."""
        if not any(self.sentences) and self.cells is None:
            return [""] * len(codes)
        own = self.cells or [self.sentences[code] if code >= 0 else NO_GROUP for code in codes]
        return [
            text if sure or code < 0 else f"Confidence {conf:.2f} is below the threshold. {text}"
            for text, code, sure, conf in zip(own, codes, known, confidence, strict=True)
        ]


def reasons(
    adata: AnnData,
    names: Sequence[str],
    cl_ids: Sequence[str | None],
    codes: NDArray[np.integer],
    *,
    rationale: Rationale | None = "group",
    layer: str | None = None,
    key: str | None = None,
    modality: str = "cell",
) -> Reasons:
    """Write a reason for each label that some cell has, or for each cell, and check it.

    Parameters
    ----------
    adata
        The data; not changed.
    names, cl_ids
        The labels.
    codes
        int64 (n_obs,): label of each cell, -1 for none.
    rationale
        `"group"`: what sets the cells of a label apart; `"cell"`: which of these genes the cell itself expresses; None:
        no reasons.
    layer, key
        Where expression and gene names are.
    modality
        Only cells have genes.

    Returns
    -------
    The reasons; every gene in them passed :func:`scbioverse.explain.reading.check_text`.
    """
    if rationale is None:
        return Reasons([""] * len(names))
    if modality != "cell":
        return Reasons([f"No gene was checked: a {modality} has none." for _ in names])
    used = np.unique(codes[codes >= 0])
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    if used.size == 1:
        return Reasons([ONE_LABEL.format(n=n) if n else "" for n in sizes])
    try:
        cells = MeasuredCells(adata, layer=layer, key=key, codes=codes)
    except (InputError, MissingKeyError) as error:
        warnings.warn(f"no gene could be checked as a reason: {error}", UserWarning, stacklevel=3)
        return Reasons([UNREADABLE for _ in names])
    evidence = _evidence(cells, cl_ids, codes)
    sentences, table = _checked(cells, evidence, names, codes, sizes)
    own = None
    if rationale == "cell":
        own = _cell_reasons(cells, evidence, names, codes)
    return Reasons(sentences, table, own)


def _evidence(cells: MeasuredCells, cl_ids: Sequence[str | None], codes: NDArray[np.integer]) -> pd.DataFrame:
    """Evidence for every label; groups are called by their codes, since a name may be anything."""
    groups = pd.Categorical.from_codes(codes[cells.rows], pd.RangeIndex(len(cl_ids)))
    return group_evidence(cells.expression, (), groups, dict(enumerate(cl_ids)))


def _checked(
    cells: MeasuredCells,
    evidence: pd.DataFrame,
    names: Sequence[str],
    codes: NDArray[np.integer],
    sizes: NDArray[np.integer],
) -> tuple[list[str], pd.DataFrame]:
    sentences, rows = [], []
    for code, (name, n) in enumerate(zip(names, sizes, strict=True)):
        if not n:
            sentences.append("")
            continue
        inside, outside = codes == code, (codes >= 0) & (codes != code)
        shown, mine = shown_name(name), evidence[evidence["group"] == code]
        for _ in range(_TRIES):
            text = write_rationale(mine, shown, int(n))
            left, claims = check_text(text, cells, inside, against=outside, names=[shown])
            wrong = {one.gene for one in claims if one.verdict != "supported"}
            if not wrong:
                break
            # Written again without what did not hold; what still does not hold then is dropped.
            mine = mine[~mine["gene"].isin(wrong)]
        claims = [one for one in claims if one.verdict == "supported"]
        if len(claims) < _ENOUGH:
            more, found = _standing_out(cells, inside, outside, {one.gene for one in claims})
            left, claims = f"{left} {more}".strip(), claims + found
        sentences.append(left or f"No gene that was named for {shown} passed the check against the data.")
        rows += [_row(name, one, mine) for one in claims]
    return sentences, pd.DataFrame(rows, columns=EVIDENCE)


def _standing_out(
    cells: MeasuredCells, inside: NDArray[np.bool_], outside: NDArray[np.bool_], named: set[str]
) -> tuple[str, list[CheckedClaim]]:
    """Say what sets cells apart for which too little is known: genes that no table lists for the label."""
    genes = cells.expression.standing_out(inside[cells.rows], outside[cells.rows], _ENOUGH, without=named)
    if not genes:
        return "", []
    found = cells.measure(inside, genes, outside)
    said = [
        f"{gene} ({percent(found[gene].fraction_in)} of these cells, {percent(found[gene].fraction_out)} of others)"
        for gene in genes
    ]
    verb = "sets" if len(genes) == 1 else "set"
    known = "is no known marker" if len(genes) == 1 else "are no known markers"
    text = f"{' and '.join(said)} {verb} them apart most in these data, but {known} of the label."
    return check_text(text, cells, inside, against=outside)


def _row(label: str, one: CheckedClaim, evidence: pd.DataFrame) -> dict[str, Any]:
    from ..knowledge.markers import source_names

    found = evidence[evidence["gene"] == one.gene].head(1)
    listed = not found.empty
    row: dict[str, Any] = {"label": label, "said": one.claim.said} | measured_row(one)
    row["cl_id"] = str(found["cl_id"].iloc[0]) if listed else ""
    row["kind"] = str(found["kind"].iloc[0]) if listed else ""
    row["source"] = source_names(row["cl_id"], one.gene) if listed else ""
    return row


def measured_row(one: CheckedClaim) -> dict[str, Any]:
    """Plain values of a checked claim, for a table."""
    number = one.measured
    values = (None,) * 6
    if number is not None:
        p = {"high": number.p_high, "low": number.p_low}.get(one.claim.direction, float("nan"))
        values = (  # type: ignore[assignment]
            number.fraction_in, number.fraction_out, number.log_fold_change, p, number.n_in, number.n_out
        )  # fmt: skip
    columns = ("fraction_in", "fraction_out", "log_fold_change", "p", "n_in", "n_out")
    return {"gene": one.gene, "direction": one.claim.direction, "verdict": one.verdict} | dict(
        zip(columns, values, strict=True)
    )


def _cell_reasons(
    cells: MeasuredCells,
    evidence: pd.DataFrame,
    names: Sequence[str],
    codes: NDArray[np.integer],
) -> list[str]:
    """Each cell's own reason: of the markers that set its label apart, those with counts in this cell."""
    supported = evidence[evidence["supported"]]
    wanted = {code: list(rows["gene"].head(_OWN_MARKERS)) for code, rows in supported.groupby("group", sort=False)}
    genes = sorted({gene for some in wanted.values() for gene in some})
    if not genes:
        return [NO_GROUP if code < 0 else _own_sentence(shown_name(names[code]), [], 0) for code in codes]
    place = {gene: i for i, gene in enumerate(genes)}
    columns = [cells.columns[gene] for gene in genes]
    shown = [shown_name(name) for name in names]
    at = {code: np.array([place[gene] for gene in some]) for code, some in wanted.items()}
    out = [NO_GROUP] * len(codes)
    for span, block in cells.cells.blocks(columns):
        expressed = block.toarray() > 0
        for row in range(expressed.shape[0]):
            code = int(codes[span.start + row])
            if code < 0:
                continue
            own = [gene for gene, i in zip(wanted.get(code, []), at.get(code, []), strict=True) if expressed[row, i]]
            out[span.start + row] = _own_sentence(shown[code], own[:_NAMED], len(wanted.get(code, [])))
    return out


def _own_sentence(label: str, genes: list[str], n_tested: int) -> str:
    if not n_tested:
        return f"No known marker sets the cells labelled {label} apart from the others, so none was looked for here."
    if not genes:
        return f"This cell expresses none of the {n_tested} markers that set {label} apart in these data."
    listed = genes[0] if len(genes) == 1 else f"{', '.join(genes[:-1])} and {genes[-1]}"
    marks, set_apart = ("a marker", "sets") if len(genes) == 1 else ("markers", "set")
    return f"This cell expresses {listed}, {marks} that {set_apart} {label} apart from the other cells."

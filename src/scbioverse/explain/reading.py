"""Free text about a group of cells against the data: which of its claims hold, and the text without the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..io import Cells
from ..knowledge.sentences import split_sentences
from .claims import SUPPORTED, Claim, ClaimRules, Measured, Verdict, judge, parse_claims
from .expression import Expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CheckedClaim:
    """A claim and what the data say to it.

    Attributes
    ----------
    claim
        What the text says.
    gene
        Approved symbol that decided; the written name where none was measured.
    verdict
        `"supported"`, `"contradicted"` or `"not measured"`.
    measured
        The gene's numbers, None where it was not measured.
    """

    claim: Claim
    gene: str
    verdict: Verdict
    measured: Measured | None


class MeasuredCells:
    """The cells that claims are tested on: read once, for any number of texts and groups.

    Of more than 20,000 cells a sample stands for all: the groups' fair shares, chosen by name, so that the order of the
    rows does not matter.

    Parameters
    ----------
    adata
        Counts or log-normalised values; not changed. Or the cells themselves.
    layer, key
        Where expression and gene names are, as for :func:`scbioverse.tl.annotate`.
    codes
        int (n_obs,): group of each cell, for fair shares; -1 for cells to leave out. One group if not given.

    Raises
    ------
    InputError
        The matrix cannot be read as counts or log values, or no gene is known.
    MissingKeyError
        `layer` or `key` is not there.

    Attributes
    ----------
    rows
        Positions of the cells that were read.
    columns
        Column of `adata`'s matrix by approved symbol.
    expression
        What they express.
    """

    def __init__(
        self,
        adata: AnnData | Cells,
        *,
        layer: str | None = None,
        key: str | None = None,
        codes: NDArray[np.integer] | None = None,
    ) -> None:
        # Its warnings were given where the cells were embedded; a gene without a column is not measured.
        self.cells = Cells.of(adata, layer, key)
        self.n_obs = self.cells.n_obs
        found = self.cells.sample(codes)
        self.rows, self.columns = found.rows, found.columns
        self.expression = Expression(found.values, found.symbols)

    def measure(self, rows: Any, genes: Sequence[str], against: Any | None = None) -> dict[str, Measured]:
        """Compare some cells with others, gene by gene.

        Parameters
        ----------
        rows
            Positions, or a mask (n_obs,), of the cells a text is about.
        genes
            Approved symbols.
        against
            Positions or mask of the cells to compare with; all others if not given.

        Returns
        -------
        By symbol; genes that were not measured are left out.
        """
        inside = self._mask(rows)
        outside = ~inside if against is None else self._mask(against) & ~inside
        return self.expression.measure(inside[self.rows], outside[self.rows], genes)

    def _mask(self, rows: Any) -> NDArray[np.bool_]:
        at = np.asarray(rows)
        if at.dtype == bool:
            if at.shape != (self.n_obs,):
                raise InputError(f"a mask of rows must have shape ({self.n_obs},), found {at.shape}.")
            return at
        mask = np.zeros(self.n_obs, dtype=bool)
        mask[at.astype(np.int64)] = True
        return mask


def check_text(
    text: str,
    cells: AnnData | MeasuredCells,
    rows: Any,
    *,
    against: Any | None = None,
    names: Iterable[str] = (),
    rules: ClaimRules | None = None,
    layer: str | None = None,
    key: str | None = None,
) -> tuple[str, list[CheckedClaim]]:
    """Test every claim about a gene in a text, and drop the sentences with one that does not hold.

    Parameters
    ----------
    text
        Any text. Control characters are not its business; see :func:`scbioverse.llm.prompts.clean_text`.
    cells
        The data. Pass :class:`MeasuredCells` to check several texts without reading the data again.
    rows
        Positions, or a mask (n_obs,), of the cells that the text is about.
    against
        Positions or mask of the cells to compare with; all others if not given.
    names
        Labels of the data, in which a gene's name ("FCGR3A+ Mono") is no claim.
    rules
        Thresholds; the defaults of :class:`scbioverse.explain.claims.ClaimRules` if not given.
    layer, key
        Where expression and gene names are; for an AnnData only.

    Returns
    -------
    The sentences whose claims are all supported, and those without claims, joined by spaces (`""` if none is left); and
    every claim in the order of the text, dropped or not.

    Raises
    ------
    InputError
        The matrix cannot be read.
    """
    names = list(names)
    claims = parse_claims(text, names=names)
    if not claims:
        return " ".join(split_sentences(text)), []
    data = cells if isinstance(cells, MeasuredCells) else MeasuredCells(cells, layer=layer, key=key)
    measured = data.measure(rows, [gene for claim in claims for gene in claim.genes], against)
    checked = []
    for claim in claims:
        verdict, gene = judge(claim, measured, rules)
        checked.append(CheckedClaim(claim, gene, verdict, measured.get(gene)))
    bad = {one.claim.sentence for one in checked if one.verdict != SUPPORTED}
    kept = [one for i, one in enumerate(split_sentences(text)) if i not in bad]
    return " ".join(kept), checked

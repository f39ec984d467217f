"""The first pass over a matrix: every value looked at once, a block of rows at a time, and nothing changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from ..errors import InputError
from ._digest import MatrixDigest
from ._scale import GeneMoments, Scale, guess_scale, shifted_zeros, to_linear

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ._other_matrices import Hints

# Rows sampled, evenly spread, to find the base of a logarithm.
_SAMPLE_ROWS = 400
# A share of negative values above this is scaling or residuals; fewer are single wrong values.
_MANY_NEGATIVE = 0.01
_LOGS = {2.0: "log2", 10.0: "log10"}


@dataclass(frozen=True)
class MatrixInfo:
    """What the first pass found.

    Attributes
    ----------
    n_obs, n_vars
        Shape.
    scale
        `"counts"` for linear values (raw counts, fractional counts, or normalised without a logarithm), `"log"` for
        log(1 + value).
    log_base
        Base of the logarithm (2, e or 10); None for linear values.
    target_sum
        Sum of each cell on the linear scale where all cells have the same; else None.
    evidence
        Why the scale is believed.
    digest
        Of values and names, see :class:`scbioverse.io.MatrixDigest`.
    n_expressing
        int64 (n_vars,): cells with a value above 0 in each column.
    """

    n_obs: int
    n_vars: int
    scale: Scale
    log_base: float | None = None
    target_sum: float | None = None
    evidence: str = ""
    digest: str = ""
    n_expressing: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(0, dtype=np.int64), compare=False, repr=False
    )

    def describe(self) -> str:
        """One line for the log."""
        kind = "linear values (counts)"
        if self.log_base is not None:
            kind = f"{_LOGS.get(self.log_base, 'natural-log')} values, turned back to a linear scale"
        total = "" if self.target_sum is None else f", {self.target_sum:.6g} a cell"
        return f"matrix read as {kind}{total} ({self.evidence})"


def first_pass(
    blocks: Iterable[tuple[slice, sp.csr_array]], shape: tuple[int, int], names: Sequence[str], hints: Hints
) -> MatrixInfo:
    """Check that a matrix is an expression matrix, find its scale, and count what each gene's columns hold.

    Parameters
    ----------
    blocks
        The rows in order, with their positions.
    shape
        Cells and genes.
    names
        Names of the genes.
    hints
        What messages call the matrix, and where they send the reader.

    Raises
    ------
    InputError
        The matrix has no rows or columns, holds NaN, infinite or negative values (as after `scanpy.pp.scale`), values
        that were scaled gene by gene, square roots, cells scaled to one length, or nothing but zeros.
    """
    name, (n_obs, n_vars) = hints.name, shape
    if 0 in shape:
        raise InputError(f"{name} is empty: {n_obs} cells x {n_vars} genes")
    wanted = np.unique(np.linspace(0, n_obs - 1, min(n_obs, _SAMPLE_ROWS)).astype(np.int64))
    sampled: list[sp.csr_array] = []
    digest, moments = MatrixDigest(names), GeneMoments(n_vars)
    n_expressing = np.zeros(n_vars, dtype=np.int64)
    largest, whole = 0.0, True
    for rows, block in blocks:
        _check_values(block, rows.start, hints)
        digest.add(block)
        used = block.indices if np.count_nonzero(block.data) == block.nnz else block.indices[block.data != 0]
        n_expressing += np.bincount(used, minlength=n_vars)
        if block.nnz:
            largest = max(largest, float(block.data.max()))
            # What was scaled by gene has fractions in every block; counts have none, and are spared the sums.
            if block.data.dtype.kind == "f" and not (block.data == np.rint(block.data)).all():
                whole = False
                moments.add(block)
        sampled.append(block[wanted[(wanted >= rows.start) & (wanted < rows.stop)] - rows.start])
    if largest == 0:
        raise InputError(f"{name} holds nothing but zeros ({n_obs} cells x {n_vars} genes). {hints.where_values_are()}")
    if scaled := moments.scaled_by_gene():
        raise InputError(
            f"{name} looks scaled gene by gene (as by scanpy.pp.scale(zero_center=False)): {scaled}, so genes can no "
            f"longer be compared within a cell. {hints.where_unscaled_are()}"
        )
    sample = sp.csr_array(sp.vstack(sampled))
    sample.eliminate_zeros()
    if zero := shifted_zeros(sample):
        raise InputError(
            f"{name} has no zeros: genes that were not detected hold {zero:.6g} in the first cell, as after ranking "
            "or a logarithm of more than value + 1. Pass counts or log-normalised values, in which they are 0."
        )
    guess = guess_scale(sample, largest=largest, integer=whole)
    if guess.scale == "root":
        raise InputError(f"{name} {guess.evidence}")
    found = (guess.scale, guess.log_base, guess.target_sum, guess.evidence)
    return MatrixInfo(n_obs, n_vars, *found, digest.hexdigest(), n_expressing)


def _check_values(block: sp.csr_array, first_row: int, hints: Hints) -> None:
    values = block.data
    if not values.size or values.dtype.kind in "bu":
        return
    low = values.min()
    # NaN makes both the least and the largest value NaN: two passes without a mask are the cheapest way to see all.
    if low >= 0 and np.isfinite(values.max()):
        return
    if (strange := ~np.isfinite(values)).any():
        kind = "NaN" if np.isnan(values).any() else "infinite"
        raise InputError(
            f"{hints.name} has {int(strange.sum())} {kind} values, the first in {_where(block, strange, first_row)}. "
            "Remove those rows or genes, or fill in what is meant (a gene not detected is 0)."
        )
    bad = values < 0
    share = bad.sum() / values.size
    cause = (
        f"{share:.0%} of its values are negative: it looks scaled or centred (scanpy.pp.scale), or like residuals"
        if share > _MANY_NEGATIVE
        else f"{int(bad.sum())} values in this block of rows are negative"
    )
    raise InputError(
        f"{hints.name} has negative values ({low:.4g} in {_where(block, bad, first_row)}). {cause}. "
        f"{hints.where_unscaled_are()}"
    )


def _where(block: sp.csr_array, bad: NDArray[np.bool_], first_row: int) -> str:
    at = int(np.flatnonzero(bad)[0])
    row = int(np.searchsorted(block.indptr, at, side="right")) - 1
    return f"row {first_row + row}, column {int(block.indices[at])}"


def to_counts_like(block: Any, info: MatrixInfo) -> sp.csr_array:
    """Bring a block of rows to a linear scale.

    Parameters
    ----------
    block
        (n, m), sparse or dense, on the scale that `info` names.
    info
        What the first pass over the whole matrix found.

    Returns
    -------
    float32 CSR (n, m): linear values as they are, `base ** x - 1` of logarithms. What they sum to is not restored:
    size factors are gone from log-normalised data.
    """
    out = sp.csr_array(block, dtype=np.float32)
    if info.log_base is None:
        return out
    return sp.csr_array((to_linear(out.data, info.log_base), out.indices, out.indptr), shape=out.shape)

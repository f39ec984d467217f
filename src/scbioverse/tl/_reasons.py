"""The checked reason for each label: marker genes that the data bear out."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

MAX_CELLS = 20_000
NO_GROUP = "No label: the cell is in no group."
ONE_LABEL = "All {n} cells have this label, so no gene sets them apart from others in these data."


def reasons(
    adata: AnnData,
    names: list[str],
    cl_ids: list[str | None],
    codes: NDArray[np.integer],
    *,
    layer: str | None = None,
    key: str | None = None,
    modality: str = "cell",
) -> list[str]:
    """Write one sentence for each label that some cell has.

    Parameters
    ----------
    adata
        The data; not changed.
    names, cl_ids
        The labels.
    codes
        int64 (n_obs,): label of each cell, -1 for none.
    layer, key
        Where expression and gene names are.
    modality
        Only cells have genes.

    Returns
    -------
    A sentence for each label, empty where no cell has it.
    """
    if modality != "cell":
        return [f"No gene was checked: a {modality} has none." for _ in names]
    used = np.unique(codes[codes >= 0])
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    if used.size == 1:
        return [ONE_LABEL.format(n=n) if n else "" for n in sizes]
    try:
        evidence = _evidence(adata, names, cl_ids, codes, layer, key)
    except (InputError, MissingKeyError) as error:
        warnings.warn(f"no gene could be checked as a reason: {error}", UserWarning, stacklevel=3)
        return ["No gene was checked: the expression matrix cannot be read as counts or log values." for _ in names]
    return _sentences(evidence, names, sizes)


def _evidence(
    adata: AnnData,
    names: list[str],
    cl_ids: list[str | None],
    codes: NDArray[np.integer],
    layer: str | None,
    key: str | None,
) -> pd.DataFrame:
    from ..io import read_rows, row_source
    from ..knowledge import load_genes
    from ..knowledge.evidence import group_evidence
    from ..pp import check_matrix, match_var

    vocabulary = load_genes().symbols
    match = match_var(adata, vocabulary, key=key, layer=layer, min_genes=1)
    source = row_source(adata, layer)
    check_matrix(source, layer=layer)
    rows = _sample(adata, codes)
    block = read_rows(source, rows, layer, columns=match.columns)
    symbols = [vocabulary[i] for i in match.vocab]
    groups = pd.Categorical.from_codes(codes[rows], pd.Index(names))
    return group_evidence(block, symbols, groups, dict(zip(names, cl_ids, strict=True)))


def _sample(adata: AnnData, codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rows to test, at most `MAX_CELLS`: the labels' fair shares, chosen by name so that row order does not matter."""
    rows = np.flatnonzero(codes >= 0)
    if rows.size <= MAX_CELLS:
        return rows
    order = np.array([hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in adata.obs_names[rows]])
    ranked = rows[np.argsort(order, kind="stable")]
    place = pd.Series(codes[ranked]).groupby(codes[ranked]).cumcount().to_numpy()
    # Small labels first get all their cells: large ones lose more.
    return np.sort(ranked[np.argsort(place, kind="stable")[:MAX_CELLS]])


def _sentences(evidence: pd.DataFrame, names: list[str], sizes: NDArray[np.integer]) -> list[str]:
    from ..knowledge.evidence import write_rationale

    return [
        write_rationale(evidence[evidence["group"] == name], name, int(n)) if n else ""
        for name, n in zip(names, sizes, strict=True)
    ]

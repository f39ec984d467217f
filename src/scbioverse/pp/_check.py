"""The public check of a cell-level AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import InputError
from ..io import gene_names, matrix_of, var_of
from ._genes import MIN_GENES, GeneMatch, match_genes
from ._matrix import check_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


def match_var(
    adata: AnnData,
    vocabulary: Sequence[str],
    *,
    key: str | None = None,
    layer: str | None = None,
    min_genes: int = MIN_GENES,
) -> GeneMatch:
    """Match the genes of an AnnData, with a hint at a better column of `var` when they do not.

    Parameters
    ----------
    adata
        The data; not changed.
    vocabulary
        Symbols.
    key
        Column of `var` with gene names; its index if not given.
    layer
        Layer whose genes are meant (`"raw"` has its own).
    min_genes
        Fewest matches that are accepted.

    Raises
    ------
    InputError
        See :func:`match_genes`.
    MissingKeyError
        `key` is not a column.
    """
    names = gene_names(adata, key=key, layer=layer)
    try:
        return match_genes(names, vocabulary, min_genes=min_genes)
    except InputError as error:
        columns = [] if key is not None else _better_columns(var_of(adata, layer), vocabulary, min_genes)
        if not columns:
            raise
        raise InputError(f"{error} adata.var has names that match: pass key={columns[0]!r}.") from error


def _better_columns(var: pd.DataFrame, vocabulary: Sequence[str], min_genes: int) -> list[str]:
    better = []
    for column in var.columns:
        if pd.api.types.is_numeric_dtype(var[column]) or pd.api.types.is_bool_dtype(var[column]):
            continue
        try:
            match_genes([str(name) for name in var[column]], vocabulary, min_genes=min_genes)
        except InputError:
            continue
        better.append(str(column))
    return better


def check_cells(
    adata: AnnData,
    *,
    layer: str | None = None,
    key: str | None = None,
    vocabulary: Sequence[str] | None = None,
    min_genes: int = MIN_GENES,
) -> pd.Series:
    """Check a cell-level AnnData as the verbs do, and report what was found.

    Nothing is changed. What a verb would refuse is refused here with the same message.

    Parameters
    ----------
    adata
        Cells by genes, raw counts or log-normalised values; in memory, backed or dask.
    layer
        Layer to read: `X` if not given, `adata.raw` for `"raw"`.
    key
        Column of `adata.var` with gene names; its index if not given.
    vocabulary
        Genes to match, for example those of an encoder; every approved human symbol if not given.
    min_genes
        Fewest matches that are accepted.

    Returns
    -------
    Series with `n_obs`, `n_vars`, `scale` (`"counts"` or `"log"`), `log_base`, `target_sum`, `evidence`, `n_matched`,
    `n_vocabulary`, `n_symbol`, `n_alias`, `n_ensembl`, `n_collisions`.

    Raises
    ------
    InputError
        The matrix is empty, negative, scaled, not finite or all zero; gene names repeat or do not match.
    MissingKeyError
        `layer` or `key` is not there.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.pp.check_cells(sb.datasets.pbmc3k())["scale"]
    'counts'
    """
    if vocabulary is None:
        from ..knowledge.genes import load_genes

        vocabulary = load_genes().symbols
    matrix_of(adata, layer)
    match = match_var(adata, vocabulary, key=key, layer=layer, min_genes=min_genes)
    info = check_matrix(adata, name="adata.X" if layer is None else f"layer {layer!r}", layer=layer)
    return pd.Series(
        {
            "n_obs": info.n_obs,
            "n_vars": info.n_vars,
            "scale": info.scale,
            "log_base": np.nan if info.log_base is None else info.log_base,
            "target_sum": np.nan if info.target_sum is None else info.target_sum,
            "evidence": info.evidence,
            "n_matched": int(match.vocab.size),
            "n_vocabulary": match.n_vocab,
            "n_symbol": match.n_symbol,
            "n_alias": match.n_alias,
            "n_ensembl": match.n_ensembl,
            "n_collisions": match.n_collisions,
        },
        name="check_cells",
        dtype=object,
    )

"""The one way in for everything that reads genes: names matched, matrix checked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import InputError
from ._better_source import say_better_source
from ._gene_names import judge_names
from ._genes import MIN_GENES, GeneMatch, match_genes
from ._matrix import MatrixInfo, check_matrix
from ._rows import check_layer, gene_names, matrix_name, names_in, row_source, var_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


@dataclass(frozen=True, eq=False)
class CheckedCells:
    """What :func:`check_input` found.

    Attributes
    ----------
    match
        Which columns are which genes.
    info
        Scale of the matrix.
    source
        What blocks are read from: the data, or their matrix stored by rows; see :func:`scbioverse.io.row_source`.
    """

    match: GeneMatch
    info: MatrixInfo
    source: Any


def check_input(
    adata: AnnData,
    vocabulary: Sequence[str],
    *,
    key: str | None = None,
    layer: str | None = None,
    min_genes: int = MIN_GENES,
    judge: bool = True,
    digest: bool = False,
) -> CheckedCells:
    """Match genes and check the matrix of an AnnData: the one way in for everything that reads genes.

    Parameters
    ----------
    adata, vocabulary, key, layer, min_genes
        See :func:`match_var`.
    judge
        Refuse or warn where many of the names are not read, and log a matrix that would serve better. Not for what
        only looks at the genes it finds, after something else has judged.
    digest
        Take a digest of matrix and names in the same pass.

    Raises
    ------
    InputError
        See :func:`match_var` and :func:`check_matrix`.
    MissingKeyError
        `key` or `layer` is not there.

    Warns
    -----
    UserWarning
        Many of the names are not read.
    """
    check_layer(adata, layer)
    match = match_var(adata, vocabulary, key=key, layer=layer, min_genes=min_genes, judge=judge)
    source = row_source(adata, layer)
    names = gene_names(adata, key=key, layer=layer) if digest else None
    info = check_matrix(source, name=matrix_name(layer), layer=layer, names=names, columns=match.rival_columns)
    if info.n_expressing is not None:
        match = match.settle(info.n_expressing)
    if judge and layer is None:
        say_better_source(adata, vocabulary, key=key, n_found=int(match.vocab.size), info=info)
    return CheckedCells(match, info, source)


def match_var(
    adata: AnnData,
    vocabulary: Sequence[str],
    *,
    key: str | None = None,
    layer: str | None = None,
    min_genes: int = MIN_GENES,
    judge: bool = False,
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
    judge
        Refuse or warn where many of the names are not read.

    Raises
    ------
    InputError
        See :func:`match_genes`; or few of the names are human gene names at all.
    MissingKeyError
        `key` is not a column.

    Warns
    -----
    UserWarning
        Many of the names are not read.
    """
    names = gene_names(adata, key=key, layer=layer)
    try:
        match = match_genes(names, vocabulary, min_genes=min_genes)
        if judge:
            check_names(names, n_found=int(match.vocab.size), n_vocabulary=len(vocabulary), stacklevel=4)
        return match
    except InputError as error:
        columns = [] if key is not None else _better_columns(var_of(adata, layer), vocabulary, min_genes)
        if not columns:
            raise
        raise InputError(f"{error} adata.var has names that match: pass key={columns[0]!r}.") from error


def check_names(names: Sequence[str], *, n_found: int, n_vocabulary: int, stacklevel: int = 3) -> None:
    """Refuse names that are hardly those of human genes, and warn about names of which many are not.

    Parameters
    ----------
    names
        Gene names of the data set.
    n_found, n_vocabulary
        Genes of the vocabulary among them, and all of them.
    stacklevel
        Of the warning.

    Raises
    ------
    InputError
        Less than a quarter is known, and less than half of the vocabulary is there.

    Warns
    -----
    UserWarning
        Less than three quarters are known.
    """
    judgement = judge_names(names, n_found=n_found, n_vocabulary=n_vocabulary)
    if judgement.refused:
        raise InputError(judgement.refused)
    if judgement.warned:
        warnings.warn(judgement.warned, UserWarning, stacklevel=stacklevel)


def _better_columns(var: pd.DataFrame, vocabulary: Sequence[str], min_genes: int) -> list[str]:
    better = []
    for column in var.columns:
        if pd.api.types.is_numeric_dtype(var[column]) or pd.api.types.is_bool_dtype(var[column]):
            continue
        names = names_in(var[column])
        try:
            match = match_genes(names, vocabulary, min_genes=min_genes)
        except InputError:
            continue
        if not judge_names(names, n_found=int(match.vocab.size), n_vocabulary=len(vocabulary)).refused:
            better.append(str(column))
    return better

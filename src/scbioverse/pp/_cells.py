"""`sb.pp.check_cells` and `sb.pp.ranked_genes`: cells checked, and lists of genes made into cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._logging import logger, shown_name, warn
from .._slots import write_record
from ..errors import InputError
from ..io import MIN_GENES, UNLISTED, Cells
from ..knowledge.genes import harmonise, load_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


def check_cells(
    adata: AnnData,
    *,
    layer: str | None = None,
    key: str | None = None,
    vocabulary: Sequence[str] | None = None,
    min_genes: int = MIN_GENES,
) -> pd.Series:
    """Check a cell-level AnnData as the verbs do, and report what was found.

    Nothing is changed. What a verb would refuse is refused here with the same message, and what it would warn about or
    log is said here, too.

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
    Series with `n_obs`, `n_vars`, `scale` (`"counts"` or `"log"`), `log_base`, `target_sum`, `evidence` (why that is
    believed), `n_matched`, `n_vocabulary`, `n_symbol`, `n_alias`, `n_ensembl`, `n_collisions`.

    Raises
    ------
    InputError
        The matrix is empty, negative, scaled, not finite or all zero, holds counts in some cells and logarithms in
        others, or logarithms of logarithms; gene names repeat or do not match.
    MissingKeyError
        `layer` or `key` is not there.

    Warns
    -----
    UserWarning
        Many of the gene names are not read, or the values could be on another scale.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.pp.check_cells(sb.datasets.pbmc3k())["scale"]
    'counts'
    """
    cells = Cells.of(adata, layer, key)
    genes = load_genes().symbols if vocabulary is None else vocabulary
    match, info = cells.match(genes, min_genes=min_genes), cells.info
    names = ("n_obs", "n_vars", "scale", "log_base", "target_sum", "evidence")
    said = {name: np.nan if (one := getattr(info, name)) is None else one for name in names}
    found = {"n_matched": int(match.vocab.size), "n_vocabulary": match.n_vocab}
    ways = {name: getattr(match, name) for name in ("n_symbol", "n_alias", "n_ensembl", "n_collisions")}
    return pd.Series({**said, **found, **ways}, name="check_cells", dtype=object)


_SHOWN = 5
_BETWEEN = re.compile(r"[\s,;|]+")
# Share of a cell's counts that its gene at rank k holds, fitted by eye to the means of the bundled blood cells: .038 at
# rank 1, .0105 at 11, .0019 at 100. One count of some 5,000 for whatever is listed at all.
_FIRST, _POWER, _LENGTH, _LEAST = 0.0384, 0.5, 150.0, 2e-4
# Whole numbers are taken for counts whatever they are; so many that no two of the first 500 ranks are equal.
_TOTAL = 1e7


def ranked_genes(
    data: Mapping[str, str | Iterable[str]] | pd.Series | Iterable[str | Iterable[str]],
    *,
    genes: Iterable[str] | None = None,
) -> AnnData:
    """Turn lists of genes, the most expressed first, into an AnnData of which each list is a row.

    For cells of which only an order of genes is known: "cell sentences", the prompts of benchmarks that give the
    hundred highest genes, lists of a publication. :func:`scbioverse.tl.embed` and :func:`scbioverse.tl.annotate` read
    what comes out as they read cells.

    A gene at a rank gets the share of counts that a gene at this rank usually has; the encoder scales each row to one
    depth, so that only ratios of these count. Of a gene that is not listed all that is known is that it stands below
    the last one: the bundled encoder takes it for a little expressed, the less the more of a cell's counts the list
    holds, not for silent. `obs["bioverse_unlisted"]` tells it so, by the median list: pass lists of like length
    together. Without the column, or beside rows that have no value there, such genes are zeros.

    Parameters
    ----------
    data
        Genes of each row in falling order of expression: a mapping or a Series from names of rows to genes, or the
        genes alone. Genes are approved symbols, older ones or Ensembl ids, as a list or as one text with white space,
        commas or semicolons between them.
    genes
        Genes that were measured. All approved human symbols if not given.

    Returns
    -------
    AnnData with `X`, CSR float32 (lists, genes), whole numbers: how many of ten million counts each listed gene stands
    for; `obs["n_listed"]`, int64, genes listed and known; `obs["bioverse_unlisted"]`, float64, the share of a cell's
    counts that the median list leaves to other genes; `var["n_lists"]`, int64, lists that hold a gene.

    Raises
    ------
    InputError
        There are no lists; one is empty or holds what is no text; no gene of one is known, or was measured.

    Warns
    -----
    UserWarning
        Some names are no human genes, or not among `genes`: they are left out, and those below them move up.

    Notes
    -----
    Lists of *markers*, which are genes in order of difference from other cells, are read as well, but are less than a
    cell: give ten or more. What is known of the worth of either: `python -m benchmarks.ranked_genes`.

    Examples
    --------
    >>> import scbioverse as sb
    >>> cells = sb.pp.ranked_genes({"a": "CD74 CD79A MS4A1 HLA-DRA CD79B", "b": ["LYZ", "S100A9", "S100A8"]})
    >>> cells.obs["n_listed"].tolist()
    [5, 3]
    """
    import anndata as ad

    names, given = _read(data)
    measured = _measured(genes)
    at = {symbol: i for i, symbol in enumerate(measured)}
    every = dict.fromkeys(one for some in given for one in some)
    found = {name: at.get(symbol or "", -1) for name, symbol in zip(every, harmonise(every), strict=True)}
    columns = [list(dict.fromkeys(found[one] for one in some if found[one] >= 0)) for some in given]
    among = "a known human gene" if genes is None else "a human gene among `genes`"
    if without := [i for i, some in enumerate(columns) if not some]:
        lists, first = ", ".join(shown_name(names[i]) for i in without[:_SHOWN]), given[without[0]][:_SHOWN]
        raise InputError(
            f"no name in {len(without)} of {len(names)} lists ({lists}) is {among}; found "
            f"{list(map(shown_name, first))}. Give symbols such as 'CD3D', or Ensembl ids."
        )
    lost = [shown_name(name) for name, column in found.items() if column < 0]
    if lost:
        warn(f"{len(lost)} of {len(found)} names are not {among} and are left out: {', '.join(lost[:_SHOWN])}.")
    lengths = np.array(list(map(len, columns)))
    shares = list(map(_shares, lengths))
    values = np.rint(np.concatenate(shares) * _TOTAL)
    matrix = sp.csr_matrix(
        (values.astype(np.float32), np.concatenate(columns), np.concatenate([[0], lengths.cumsum()])),
        shape=(len(names), len(measured)),
    )
    matrix.sort_indices()
    # One share for all, so that what a row gets hangs on no other row that is taken out later.
    unlisted = float(np.median([1 - share.sum() for share in shares]))
    adata = ad.AnnData(
        matrix,
        obs=pd.DataFrame({"n_listed": lengths, UNLISTED: unlisted}, index=names),
        var=pd.DataFrame({"n_lists": np.diff(matrix.tocsc().indptr).astype(np.int64)}, index=measured),
    )
    write_record(adata, "ranked_genes", n_left_out=len(lost))
    logger.info("%d lists of %d to %d genes", len(names), lengths.min(), lengths.max())
    return adata


def _shares(n: int) -> NDArray[np.float64]:
    """Share of a cell's counts of each of its `n` first genes; together at most 1."""
    rank = np.arange(n)
    # The least falls a little, too, with the rank.
    share = _FIRST * (rank + 1) ** -_POWER * np.exp(-rank / _LENGTH) + _LEAST * (1 - rank / (2 * n))
    return share / max(1.0, share.sum())


def _read(data: object) -> tuple[list[str], list[list[str]]]:
    """Names of the rows, and the names of genes of each as they were given."""
    how = "pass lists of gene names, or a mapping from names of rows to such lists"
    if isinstance(data, str | bytes) or hasattr(data, "columns") or not isinstance(data, Iterable):
        table = ": data.groupby('group')['names'].agg(list) of a table by group" if hasattr(data, "columns") else ""
        raise InputError(f"data is of type {type(data).__name__}; {how}{table}.")
    _check_order("data", data, how)
    named = list(data.items() if isinstance(data, Mapping | pd.Series) else enumerate(data))
    # As they will be called: 1 and "1" are one name.
    called = pd.Index([str(name) for name, _ in named])
    if not called.is_unique:
        twice = called[called.duplicated()][0]
        raise InputError(f"data names {shown_name(twice)!r} twice: give each row a name of its own.")
    if not named:
        raise InputError(f"data is empty; {how}.")
    given = [_words(f"the list of {shown_name(str(name))!r}", some, how) for name, some in named]
    texts = all(isinstance(some, str) and len(words) == 1 for (_, some), words in zip(named, given, strict=True))
    if texts and len(given) > 1 and not isinstance(data, Mapping):
        raise InputError(
            f"data is one list of genes ({given[0][0]!r:.40}, ...), each of which would be a row: pass the list in a "
            "list, [genes], or by a name, {'a': genes}."
        )
    return called.tolist(), given


def _words(what: str, some: object, how: str) -> list[str]:
    """Names of genes in a list of them, or in one text."""
    _check_order(what, some, how)
    words = _BETWEEN.split(some) if isinstance(some, str) else some if isinstance(some, Iterable) else [some]
    found = []
    for one in words:
        if not isinstance(one, str):
            raise InputError(f"{what} holds {str(one)[:40]!r} of type {type(one).__name__}; {how}.")
        found.append(one.strip())
    if not any(found):
        raise InputError(f"{what} is empty; {how}.")
    return list(filter(None, found))


def _check_order(what: str, data: object, how: str) -> None:
    if isinstance(data, set | frozenset):
        raise InputError(f"{what} is a {type(data).__name__}, which has no order; {how}.")


def _measured(genes: Iterable[str] | None) -> list[str]:
    if genes is None:
        return load_genes().symbols
    if isinstance(genes, str):
        raise InputError(f"genes is one text, {genes[:40]!r}; pass a list of gene names.")
    known = list(dict.fromkeys(filter(None, harmonise(genes))))
    if not known:
        raise InputError("genes holds no human gene that is known here; give symbols or Ensembl ids.")
    return known

"""The public check of a cell-level AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..io import MIN_GENES, Cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


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
    if vocabulary is None:
        from ..knowledge.genes import load_genes

        vocabulary = load_genes().symbols
    match, info = cells.match(vocabulary, min_genes=min_genes), cells.info
    names = ("n_obs", "n_vars", "scale", "log_base", "target_sum", "evidence")
    said = {name: np.nan if (one := getattr(info, name)) is None else one for name in names}
    found = {"n_matched": int(match.vocab.size), "n_vocabulary": match.n_vocab}
    ways = {name: getattr(match, name) for name in ("n_symbol", "n_alias", "n_ensembl", "n_collisions")}
    return pd.Series({**said, **found, **ways}, name="check_cells", dtype=object)

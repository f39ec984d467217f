"""What else an AnnData holds beside the matrix that is read: where better values may be, for errors and for the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._logging import logger
from ..errors import InputError, MissingKeyError
from ._blocks import Source
from ._genes import match_genes
from ._matrix import gene_names, layer_names, matrix_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

# A few genes more are not worth a line.
_CLEARLY_MORE = 1.2
_ROWS = 50


@dataclass(frozen=True)
class Hints:
    """What messages call a matrix, and which others of the object they point at.

    Attributes
    ----------
    adata
        The object.
    layer
        The matrix that is read.
    """

    adata: AnnData
    layer: str | None

    @property
    def name(self) -> str:
        """What to call the matrix."""
        return matrix_name(self.layer)

    def _others(self) -> str:
        ways = [f"layer={key!r}" for key in layer_names(self.adata) if key != self.layer]
        raw = self.adata.raw is not None and self.layer != "raw"
        return " or ".join([*ways, "layer='raw' (reads adata.raw)"] if raw else ways)

    def where_unscaled_are(self) -> str:
        """Say where unscaled values may be, given what the object holds."""
        if ways := self._others():
            return f"Pass the unscaled values, for example {ways}."
        return (
            "Pass the unscaled values: keep them with adata.layers['counts'] = adata.X.copy() or adata.raw = adata "
            "before scanpy.pp.scale, then use layer='counts' or layer='raw'."
        )

    def where_values_are(self) -> str:
        """Say where values may be when a matrix has none."""
        if ways := self._others():
            return f"If the values are in another matrix, name it: {ways}."
        return "Pass the matrix that holds the counts; a file may have been written or read without them."


def say_better_source(
    adata: AnnData, vocabulary: Sequence[str], *, key: str | None, n_found: int, assumed: bool
) -> None:
    """Log one line where another matrix holds clearly more of the genes, or counts where the scale of `X` was assumed.

    Parameters
    ----------
    adata
        The data; not changed.
    vocabulary
        Genes that are looked for.
    key
        Column of `var` with gene names.
    n_found
        How many of them `X` has.
    assumed
        Whether the scale of `X` could not be told from its values.
    """
    n_raw = 0 if adata.raw is None else _n_matched(adata, vocabulary, key)
    if n_raw > _CLEARLY_MORE * n_found and _holds(adata, "raw", counts=False):
        logger.info("adata.raw has %d of the genes, adata.X only %d: layer='raw' would serve better", n_raw, n_found)
    elif assumed and n_raw >= n_found and _holds(adata, "raw", counts=True):
        logger.info("the scale of adata.X was assumed, and adata.raw has counts: layer='raw' would serve better")
    elif assumed and (layer := next((one for one in layer_names(adata) if _holds(adata, one, counts=True)), None)):
        logger.info(
            "the scale of adata.X was assumed, and layer %r has counts: layer=%r would serve better", layer, layer
        )


def _n_matched(adata: AnnData, vocabulary: Sequence[str], key: str | None) -> int:
    try:
        return int(match_genes(gene_names(adata, key=key, layer="raw"), vocabulary, min_genes=0).vocab.size)
    except (InputError, MissingKeyError):
        return 0


def _holds(adata: AnnData, layer: str, *, counts: bool) -> bool:
    """Whether the first cells of a matrix hold values that can be read, or only counts if they have to."""
    try:
        values = Source.of(adata, layer).read(0, min(_ROWS, adata.n_obs)).data
    except (InputError, MissingKeyError):
        return False
    readable = bool(values.size) and bool(np.isfinite(values).all()) and values.min() >= 0 and values.max() > 0
    return bool(readable and not (counts and (values != np.rint(values)).any()))

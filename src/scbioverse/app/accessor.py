"""`adata.bioverse`: the verbs as methods of an AnnData. Registered when both packages are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anndata import AnnData, register_anndata_namespace

import scbioverse as sb

if TYPE_CHECKING:
    import pandas as pd

    from ..ask.answer import Answer


@register_anndata_namespace("bioverse")
class BioverseAccessor:
    """The verbs of scbioverse as methods of an AnnData; options are those of the functions.

    Examples
    --------
    >>> adata.bioverse.annotate(groupby="leiden")
    >>> adata.bioverse.ask("Which genes mark B cells?")
    """

    def __init__(self, adata: AnnData) -> None:
        self._adata = adata

    def annotate(self, **options: Any) -> AnnData | None:
        """Label every cell; see :func:`scbioverse.tl.annotate`."""
        return sb.tl.annotate(self._adata, **options)

    def ask(self, question: str, **options: Any) -> Answer:
        """Answer a question; see :func:`scbioverse.tl.ask`."""
        return sb.tl.ask(self._adata, question, **options)  # type: ignore[return-value]

    def labels(self, **options: Any) -> pd.DataFrame:
        """Return the labels; see :func:`scbioverse.get.labels`."""
        return sb.get.labels(self._adata, **options)

    def evidence(self, **options: Any) -> pd.DataFrame:
        """Return the evidence; see :func:`scbioverse.get.evidence`."""
        return sb.get.evidence(self._adata, **options)

    def plot(self, **options: Any) -> Any:
        """Draw labels and confidence; see :func:`scbioverse.pl.annotation_umap`."""
        return sb.pl.annotation_umap(self._adata, **options)

"""What genes do: the first sentences of RefSeq's summaries."""

from __future__ import annotations

from functools import lru_cache

from ._read import read_columns


@lru_cache(maxsize=1)
def gene_summaries() -> dict[str, str]:
    """First sentences of RefSeq's summary of each gene that has one, by approved symbol."""
    symbols, texts = read_columns("summaries.tsv.gz")
    return dict(zip(symbols, texts, strict=True))

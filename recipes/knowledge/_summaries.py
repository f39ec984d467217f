"""summaries.tsv.gz: what genes do, the first sentences of RefSeq's summaries (public domain)."""

from __future__ import annotations

import re

from _tables import read, write

from scbioverse.knowledge.markers import load_markers

# Genes that the marker tables list are asked about most, and their summaries say what cell types can do.
SENTENCES, OF_MARKERS = 1, 3
_END = re.compile(r"(?<=[a-z0-9)\]%])\.\s+(?=[A-Z])")
_ABOUT_TRANSCRIPTS = re.compile(
    r"transcript variant|splic|isoforms? (have|has|are|is) |read-?through|pseudogenes?|multiple transcripts",
    re.IGNORECASE,
)


def first_sentences(text: str, most: int) -> str:
    """Return the first sentences that are not about transcripts; the very first one is kept whatever it says."""
    every = _END.split(" ".join(text.split()).rstrip(".") + ".")
    kept = [one.rstrip(".") for i, one in enumerate(every) if i == 0 or not _ABOUT_TRANSCRIPTS.search(one)]
    return ". ".join(kept[:most]) + "."


def build() -> str:
    """Write the table; return one line of counts."""
    table = read("knowledge/refseq_gene_summaries_human.tsv.gz").sort_values("symbol", kind="stable")
    listed = set(load_markers()["gene"])
    rows = [
        [symbol, first_sentences(text, OF_MARKERS if symbol in listed else SENTENCES)]
        for symbol, text in zip(table["symbol"], table["summary"], strict=True)
        if text.strip()
    ]
    path = write("summaries.tsv.gz", ["symbol", "summary"], rows)
    return f"{path.name}: {len(rows)} genes, {path.stat().st_size} bytes"

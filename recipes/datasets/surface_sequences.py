"""Sequences of surface proteins that CITE-seq panels measure, by the name of the antibody's target.

Only human sequences that the protein table of the registry holds, looked up by UniProt accession; nothing is typed in
by hand. Of a complex one chain stands for all (CD3: epsilon). CD15 is a sugar, CD45RA and CD45RO are forms of one gene
that differ by splicing: none of them has a sequence here, and neither have proteins that the table lacks.
"""

from __future__ import annotations

import pandas as pd

from scbioverse.datasets import fetch

ACCESSIONS = {"CD3": "P07766", "CD8a": "P01732", "CD16": "P08637", "TIGIT": "Q495A1", "CD137": "Q07011"}


def surface_sequences() -> dict[str, str]:
    """Return name → sequence for :func:`scbioverse.tl.embed`."""
    table = pd.read_csv(fetch("proteins_with_text"), sep="\t", dtype=str).fillna("")
    found = table[table["accession"].isin(ACCESSIONS.values())].set_index("accession")["sequence"]
    return {name: str(found[accession]) for name, accession in ACCESSIONS.items() if accession in found.index}

"""Several names where one column or layer is meant."""

from __future__ import annotations

from pathlib import Path

import scbioverse as sb

from . import Given, case
from ._inputs import blood

AREA = "First tries"
SAYS = ["takes one name", "found list"]


@case(AREA, "a list of layers", 'sb.tl.embed(adata, layer=["counts", "spliced"])', says=["layer=", *SAYS])
def list_of_layers(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.embed(adata, layer=["counts", "spliced"]), {"adata": adata})


@case(AREA, "a list of columns with gene names", 'sb.tl.annotate(adata, key=["gene_ids"])', says=["key=", *SAYS])
def list_of_gene_columns(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.annotate(adata, labels=["B cell", "NK cell"], key=["gene_ids"]), {"adata": adata})


@case(
    AREA, "a list of columns with SMILES", 'sb.tl.embed(drugs, model="morgan", modality="molecule", key=["smiles"])',
    says=["key=", *SAYS],
)  # fmt: skip
def list_of_smiles_columns(at: Path) -> Given:
    drugs = sb.pp.molecules(["CCO", "c1ccccc1"])
    return Given(lambda: sb.tl.embed(drugs, model="morgan", modality="molecule", key=["smiles"]), {"drugs": drugs})

from __future__ import annotations

import os
import subprocess
import sys

from anndata import AnnData

import scbioverse as sb


def test_methods_are_the_functions(adata: AnnData) -> None:
    assert adata.bioverse.labels().equals(sb.get.labels(adata))
    assert adata.bioverse.evidence().equals(sb.get.evidence(adata))
    answer = adata.bioverse.ask("How many B cells are there?")
    assert answer.text == sb.tl.ask(adata, "How many B cells are there?").text
    assert len(adata.bioverse.plot(basis="X_umap", show=False)) == 3


def test_it_is_there_in_either_order() -> None:
    for code in (
        "import anndata, scbioverse",
        "import scbioverse, anndata; scbioverse.get",
    ):
        env = {**os.environ, "PYTHONWARNINGS": "error"}
        code += "; print(type(anndata.AnnData().bioverse).__name__)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        assert done.stdout.strip() == "BioverseAccessor"

from __future__ import annotations

import subprocess
import sys

import pytest
from anndata import AnnData

import scbioverse as sb


def test_methods_are_the_functions(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    assert adata.bioverse.labels().equals(sb.get.labels(adata))
    assert adata.bioverse.evidence().equals(sb.get.evidence(adata))
    answer = adata.bioverse.ask("How many B cells are there?")
    assert answer.text == sb.tl.ask(adata, "How many B cells are there?").text
    for room, name, method in ((sb.pl, "annotation_umap", "plot"), (sb.tl, "annotate", "annotate")):
        monkeypatch.setattr(room, name, lambda data, **options: (data, options))
        assert getattr(adata.bioverse, method)(key="k") == (adata, {"key": "k"})


@pytest.mark.parametrize(
    "code",
    [
        "import scbioverse, anndata; scbioverse.get; print(type(anndata.AnnData().bioverse).__name__)",
        "from scbioverse import pp; import anndata; print(type(pp.proteins(['MKV']).bioverse).__name__)",
    ],
)
def test_it_is_there_after_the_first_use_where_anndata_came_later(code: str) -> None:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "BioverseAccessor"

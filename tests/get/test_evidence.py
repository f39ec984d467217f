from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse._slots import write_record
from scbioverse.errors import MissingKeyError


def test_evidence() -> None:
    adata = ad.AnnData(np.zeros((1, 1), np.float32))
    columns = ["label", "gene", "direction", "fraction_in", "fraction_out", "log_fold_change", "p", "verdict"]
    row = ["a", "CD3D", "high", 0.9, 0.1, 3.0, None, "supported"]
    write_record(adata, "evidence_k", columns=columns, rows=[row])
    table = sb.get.evidence(adata, key="k")
    assert list(table.columns) == columns
    assert table["p"].isna().all()
    assert table["p"].dtype == float
    assert table["gene"].tolist() == ["CD3D"]
    with pytest.raises(MissingKeyError, match="'evidence'"):
        sb.get.evidence(adata)
    write_record(adata, "evidence", columns=columns, rows=[])
    assert sb.get.evidence(adata).empty

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import scbioverse as sb

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture
def cells() -> AnnData:
    """60 toy cells of 300 genes and five types."""
    return sb.datasets.toy_cells(n_obs=60, n_genes=300)

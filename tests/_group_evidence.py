"""Evidence of groups in a plain matrix of counts or logs, without an AnnData around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scbioverse.explain.expression import Expression, InMemory
from scbioverse.explain.support import evidence_of
from scbioverse.io import Cells


def group_evidence(
    X: Any, symbols: Sequence[str], groups: Any, labels: Mapping[Any, str | None], **options: Any
) -> pd.DataFrame:
    """Test the known markers of each group's label; `groups` as :class:`pandas.Categorical` takes them."""
    cells = groups if isinstance(groups, pd.Categorical) else pd.Categorical(groups)
    counted = InMemory(
        Expression(X, symbols, Cells.of(AnnData(X)).info), np.asarray(cells.codes), len(cells.categories)
    )
    return evidence_of(counted, list(cells.categories), labels, **options)

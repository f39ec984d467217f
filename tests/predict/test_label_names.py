"""What names of labels are taken for, as a user meets it: `annotate`, its warnings, and `sb.get.labels`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import scbioverse as sb

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from scbioverse.models import BioVerse


@pytest.fixture
def model(tiny_model: BioVerse) -> BioVerse:
    cell = tiny_model.config.encoders["cell"]
    tiny_model.config.encoders["cell"] = replace(cell, methods=("nearest",))
    return tiny_model


def annotated(cells: ad.AnnData, model: BioVerse, labels: Any) -> pd.DataFrame:
    done = sb.tl.annotate(cells, model=model, labels=labels, method="nearest", unknown_threshold=0, copy=True)
    return sb.get.labels(done).set_index("name")


def test_numbers_of_clusters(cells: ad.AnnData, model: BioVerse) -> None:
    found = annotated(cells, model, ["1: T cell", "2: B cell", "3: monocyte", "4: NK cell"])
    assert list(found["term"]) == ["T cell", "B cell", "monocyte", "natural killer cell"]
    assert set(found["how"]) == {"rule"}


def test_a_number_that_may_be_of_the_type_is_asked_about(cells: ad.AnnData, model: BioVerse) -> None:
    with pytest.warns(UserWarning, match=r"\['2 B'\].*Did you mean 2 B: B cell or B-2 B cell\?"):
        annotated(cells, model, ["2 B", "T cell", "NK cell"])
    found = annotated(cells, model, ["0 CD4 T", "2 B", "4 NK"])
    assert list(found["cl_id"]) == ["CL:0000624", "CL:0000236", "CL:0000623"]

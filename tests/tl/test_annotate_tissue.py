"""`tissue=` of `annotate`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.errors import InputError
from scbioverse.predict.tissue import FLOOR
from tests._precision import LOG_PROBS, TOTALS

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.models import BioVerse

# An untrained model calls cells at random, which fit no tissue.
pytestmark = pytest.mark.filterwarnings("ignore:tissue=:UserWarning")
LABELS = ["B cell", "hepatocyte", "pancreatic acinar cell", "macrophage"]


def scores(cells: AnnData, model: BioVerse, **options: object) -> np.ndarray:
    done = sb.tl.annotate(cells, model=model, labels=LABELS, copy=True, rationale=None, **options)  # type: ignore[arg-type]
    assert done is not None
    return sb.get.scores(done).to_numpy()


def test_types_of_other_organs_need_more_evidence(cells: AnnData, tiny_model: BioVerse) -> None:
    alone, found = scores(cells, tiny_model), scores(cells, tiny_model, tissue="PBMC")
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=TOTALS)
    gap = (found - alone) - (found - alone)[:, :1]
    np.testing.assert_allclose(gap[:, 1:], [[FLOOR, FLOOR, 0]] * cells.n_obs, atol=LOG_PROBS)


def test_nothing_changes_in_a_list_without_a_tissue(cells: AnnData, tiny_model: BioVerse) -> None:
    done = sb.tl.annotate(cells, model=tiny_model, labels=LABELS, copy=True)
    assert done is not None
    assert "tissue" not in read_record(done, "annotate")
    np.testing.assert_array_equal(scores(cells, tiny_model), scores(cells, tiny_model, tissue="any"))


def test_a_column_of_obs_is_one_tissue_a_row(
    cells: AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "scbioverse")
    cells.obs["site"] = ["liver", "islets"] * 30
    each = scores(cells, tiny_model, tissue="site")
    assert "islets -> pancreas" in caplog.text
    for name, start in (("liver", 0), ("pancreas", 1)):
        np.testing.assert_allclose(each[start::2], scores(cells, tiny_model, tissue=name)[start::2], atol=LOG_PROBS)


def test_the_record_keeps_what_was_read(cells: AnnData, tiny_model: BioVerse) -> None:
    sb.tl.annotate(cells, model=tiny_model, labels=["B cell", "macrophage"], tissue="breast cancer")
    found = read_record(cells, "annotate")["tissue"]
    assert found["given"] == "breast cancer"
    assert found["read"] == {"breast cancer": {"id": "UBERON:0000310", "name": "breast"}}
    assert found["doubts"] == {}


def test_a_wrong_tissue_is_said(cells: AnnData, tiny_model: BioVerse) -> None:
    labels = ["pancreatic acinar cell", "type B pancreatic cell", "pancreatic ductal cell"]
    with pytest.warns(UserWarning, match="tissue='brain'.*look like pancreas rather than brain: 100%"):
        sb.tl.annotate(cells, model=tiny_model, labels=labels, tissue="brain")
    assert "brain" in read_record(cells, "annotate")["tissue"]["doubts"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tissue": "lvier"}, "'liver'.*Nor is it a column"),
        ({"tissue": ["liver"]}, "one name"),
        ({"tissue": "liver", "method": "generate"}, "Leave one out"),
        ({"tissue": "liver", "modality": "molecule"}, r"reads \['cell'\], not 'molecule'"),
    ],
)
def test_what_cannot_be_is_refused(cells: AnnData, tiny_model: BioVerse, options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sb.tl.annotate(cells, model=tiny_model, labels=LABELS, **options)  # type: ignore[arg-type]
    assert "bioverse" not in cells.uns


def test_short_names_are_read_by_the_tissue(cells, tiny_model):
    def terms(**options):
        sb.tl.annotate(cells, model=tiny_model, labels=["HSC", "GMP"], rationale=None, **options)
        return dict(sb.get.labels(cells)[["name", "cl_id"]].to_numpy())

    assert terms()["HSC"] == "CL:0000037"
    assert terms(tissue="liver")["HSC"] == "CL:0000632"
    cells.obs["site"] = ["liver", "blood"] * (cells.n_obs // 2) + ["liver"] * (cells.n_obs % 2)
    assert terms(tissue="site")["HSC"] == "CL:0000037"  # of several organs, none speaks for a name

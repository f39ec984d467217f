"""Every verb that runs a network takes `device=`, and says so when there is none of that name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import InputError
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from scbioverse.models import BioVerse

VERBS: dict[str, Callable[..., Any]] = {
    "embed": sb.tl.embed,
    "annotate": sb.tl.annotate,
    "align": lambda adata, **options: sb.tl.align(adata, text_key="cell_type", steps=1, **options),
    "tune": lambda adata, **options: sb.tl.tune(adata, text_key="cell_type", steps=1, batch_size=2, rank=2, **options),
    "retrieve": lambda adata, **options: sb.tl.retrieve(adata, "B cell", **options),
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_name_is_refused_and_nothing_changes(verb: str, cells: AnnData, tiny_model: BioVerse) -> None:
    before = (list(cells.obs), list(cells.obsm), dict(cells.uns))
    with pytest.raises(InputError, match="device='gpu' is not a torch device"):
        VERBS[verb](cells, model=tiny_model, device="gpu")
    assert (list(cells.obs), list(cells.obsm), dict(cells.uns)) == before


@pytest.mark.parametrize("verb", ["annotate", "align", "tune"])
def test_the_cpu_may_be_named(verb: str, cells: AnnData, tiny_model: BioVerse) -> None:
    VERBS[verb](cells, model=tiny_model, device="cpu")
    assert tiny_model.device == "cpu"


def test_the_encoder_goes_where_the_model_goes(
    cells: AnnData, tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    encoder = tiny_model.encoders["cell"]
    monkeypatch.setattr(type(encoder), "to", lambda self, device: moved.append(device), raising=False)
    sb.tl.embed(cells, model=encoder)
    assert moved == []
    sb.tl.embed(cells, model=encoder, device="cpu")
    del cells.obsm["X_bioverse"]
    sb.tl.annotate(cells, model=tiny_model, device="cpu")
    assert moved == ["cpu", "cpu"]


def test_the_result_is_the_same(cells: AnnData, tiny_model: BioVerse) -> None:
    here, there = (sb.tl.annotate(cells, model=tiny_model, device=one, copy=True) for one in ("auto", "cpu"))
    np.testing.assert_allclose(here.obsm["bioverse_scores"], there.obsm["bioverse_scores"], atol=LOG_PROBS)

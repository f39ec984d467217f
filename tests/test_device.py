"""One choice of device for encoders and language models."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from scbioverse import settings
from scbioverse._device import autocast, pick_device, place_encoder
from scbioverse.errors import InputError

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


def test_a_name_wins_over_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "device", "meta")
    assert pick_device().type == pick_device("auto").type == "meta"
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cpu:x", "", 3.5])
def test_wrong_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not a torch device"):
        pick_device(name)


@no_gpu
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(InputError, match="finds 0 CUDA GPUs"):
        pick_device("cuda")


def test_encoders_are_moved_where_they_can_be(caplog: pytest.LogCaptureFixture) -> None:
    moved: list[str] = []
    network = SimpleNamespace(name="network", to=moved.append)
    place_encoder(network, "auto")
    assert moved == []
    place_encoder(network, "cpu")
    assert moved == ["cpu"]
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        place_encoder(SimpleNamespace(name="table"), "cpu")
        assert not caplog.records
        place_encoder(SimpleNamespace(name="table"), "meta")
    assert "'table' does not run on meta" in caplog.text
    with pytest.raises(InputError, match="not a torch device"):
        place_encoder(SimpleNamespace(name="table"), "gpu")


def test_products_alone_are_computed_in_lower_precision() -> None:
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    with autocast(torch.device("cpu"), torch.float32):
        assert layer(x).dtype == torch.float32
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32

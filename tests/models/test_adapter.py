"""A tuned model: its adapter is saved, loaded, part of its identity, and kept apart from the language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from scbioverse.errors import WeightsError
from scbioverse.llm.adapter import AdapterConfig, trained_adapter, training_twin
from scbioverse.models import load
from scbioverse.models.score import write_labels
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from scbioverse.llm import Backbone
    from scbioverse.llm.adapter import Adapter
    from scbioverse.models import BioVerse

NAMES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


@pytest.fixture
def adapter(model: BioVerse) -> Adapter:
    config = AdapterConfig(rank=2, targets="all")
    _, params = training_twin(model.backbone, config)
    with torch.no_grad():
        for i, param in enumerate(params.values()):
            param.add_(0.3 * torch.randn(param.shape, generator=torch.Generator().manual_seed(i)))
    return trained_adapter(config, params)


def test_score_reads_with_the_adapter_and_stale_caches_are_dropped(
    model: BioVerse, adapter: Adapter, points: np.ndarray
) -> None:
    before, identity = model.score(points, NAMES, progress=False), model.fingerprint()
    near = model.nearest(points, NAMES)
    asked = model.text_writer.prefix
    model.set_adapter(adapter)
    after = model.score(points, NAMES, progress=False)
    assert np.abs(after - before).max() > 0.05
    assert model.fingerprint() != identity
    assert model.text_writer.prefix is not asked
    np.testing.assert_array_equal(model.nearest(points, NAMES), near)  # the text side is the published model's
    model.set_adapter(None)
    np.testing.assert_array_equal(model.score(points, NAMES, progress=False), before)
    assert model.fingerprint() == identity


def test_saved_and_loaded_bit_for_bit(
    model: BioVerse, adapter: Adapter, points: np.ndarray, tmp_path: Path, tiny_backbone: Backbone
) -> None:
    model.set_adapter(adapter)
    scores = model.score(points, NAMES, progress=False)
    folder = model.save(tmp_path / "tuned")
    files = json.loads((folder / "config.json").read_text())["files"]
    assert {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"} <= set(files)
    assert not list(folder.rglob("*.bin")) + list(folder.rglob("*.pt"))
    loaded = load(folder, llm=tiny_backbone)
    assert loaded.adapter is not None
    assert all(torch.equal(value, adapter.tensors[name]) for name, value in loaded.adapter.tensors.items())
    assert loaded.fingerprint() == model.fingerprint()
    np.testing.assert_array_equal(loaded.score(points, NAMES, progress=False), scores)
    np.testing.assert_array_equal(model.copy().score(points, NAMES, progress=False), scores)
    assert load(model.copy().save(tmp_path / "half", dtype="float16"), llm=tiny_backbone).adapter is not None


def test_an_adapter_may_be_for_writing_alone(
    model: BioVerse, adapter: Adapter, points: np.ndarray, tmp_path: Path, tiny_backbone: Backbone
) -> None:
    before = model.score(points, NAMES, progress=False)
    plain, *_ = write_labels(model, points, max_new_tokens=6)
    model.set_adapter(adapter)
    both, identity = model.score(points, NAMES, progress=False), model.fingerprint()
    tuned, *_ = write_labels(model, points, max_new_tokens=6)
    assert tuned != plain
    model.config.adapter_scores = False
    assert model.fingerprint() != identity
    loaded = load(model.save(tmp_path / "writes"), llm=tiny_backbone)
    for one in (model, loaded):
        np.testing.assert_array_equal(one.score(points, NAMES, progress=False), before)
        assert write_labels(one, points, max_new_tokens=6)[0] == tuned
        assert one.text_writer.reader is one.writing_reader
    loaded.config.adapter_scores = True
    np.testing.assert_array_equal(loaded.score(points, NAMES, progress=False), both)


def test_a_model_without_adapter_saves_none(model: BioVerse, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "plain")
    assert not (folder / "adapter").exists()
    assert load(folder).adapter is None


def test_a_changed_adapter_is_refused(model: BioVerse, adapter: Adapter, tmp_path: Path) -> None:
    model.set_adapter(adapter)
    folder = model.save(tmp_path / "tuned")
    file = folder / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(WeightsError, match="truncated or was changed"):
        load(folder)


def test_labels_are_written(model: BioVerse, points: np.ndarray) -> None:
    texts, log_probs, which = write_labels(model, points, NAMES)
    assert [NAMES[i] for i in which] == texts
    scores = model.score(points, NAMES, progress=False)
    np.testing.assert_allclose(log_probs, scores[np.arange(len(points)), which], atol=LOG_PROBS)
    again, _, _ = write_labels(model, points[::-1], NAMES, batch_size=5)
    assert again[::-1] == texts
    free, log_probs, which = write_labels(model, points, max_new_tokens=6)
    assert (which == -1).all()
    assert (log_probs < 0).all()
    assert free[0] == free[5] == free[20]


def test_answers_are_written(model: BioVerse, points: np.ndarray) -> None:
    asks = model.text_writer
    one = asks.prompt("What is it?", objects=[("cell", "A")], evidence="LYZ 90 %")
    two = asks.prompt("How do they differ?", objects=[("cell", "A"), ("cell", "B")])
    none = asks.prompt("What is a B cell?")
    soft = [{"cell": points[:1]}, {"cell": points[1:3]}, {}]
    texts = asks.write([one, two, none], soft, max_new_tokens=8)
    alone = [
        asks.write([prompt], [given], max_new_tokens=8)[0] for prompt, given in zip([one, two, none], soft, strict=True)
    ]
    assert texts == alone
    assert asks.write([], []) == []

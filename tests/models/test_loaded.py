"""Models given by name are kept in memory, few of them, and nobody can change the kept ones."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.llm import Backbone
from scbioverse.models import Calibration, registry
from scbioverse.models.edit import forget_candidate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scbioverse.models import BioVerse

NAMES = ["B cell", "platelet"]


@pytest.fixture(autouse=True)
def emptied() -> Iterator[None]:
    sb.models.clear_cache()
    yield
    sb.models.clear_cache()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Every language model that is loaded from here on."""
    seen: list[weakref.ref[Any]] = []
    real = Backbone.load.__func__  # type: ignore[attr-defined]

    def note(cls: type, name: str, **more: Any) -> Backbone:
        made = real(cls, name, **{**more, "dtype": "float32"})
        seen.append(weakref.ref(made.model))
        return made

    monkeypatch.setattr(Backbone, "load", classmethod(note))
    return seen


def alive(references: list[weakref.ref[Any]]) -> int:
    return sum(one() is not None for one in references)


def test_verbs_given_a_name_load_it_once(saved: Path, tiny_llm: Path, loads: list[weakref.ref[Any]]) -> None:
    cells = sb.datasets.toy_cells(n_obs=20, n_genes=200)
    gc.collect()
    gc.disable()  # nothing may hang on to being collected
    try:
        for _ in range(3):
            sb.tl.annotate(cells, labels=NAMES, model=str(saved))
            sb.tl.annotate(cells, labels=NAMES, model=str(saved), method="nearest")
        assert len(loads) == 1
        assert alive(loads) == 1
        registry.LOADED.clear()
        assert alive(loads) == 0
    finally:
        gc.enable()


def test_a_model_that_is_dropped_frees_its_language_model(
    saved: Path, tiny_llm: Path, loads: list[weakref.ref[Any]], points: np.ndarray
) -> None:
    model = sb.models.load(saved, llm=str(tiny_llm))
    model.score(points, NAMES, progress=False)
    asks = model.text_writer
    assert asks.write([asks.prompt("What is it?", objects=[("cell", "A")])], [{"cell": points[:1, None]}])
    sb.models.clear_cache()
    assert alive(loads) == 1  # the caller's own stays
    gc.disable()
    try:
        del model, asks
        assert alive(loads) == 0
    finally:
        gc.enable()


def test_few_models_are_kept(model: BioVerse, tmp_path: Path) -> None:
    kept = []
    for number in range(5):
        model.config.calibration["score"] = Calibration(temperature=1.0 + number)
        kept.append(sb.models.load(model.save(tmp_path / str(number))))
    assert len(registry.LOADED) == registry.MOST_MODELS
    assert [one.config.calibration["score"].temperature for one in kept] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_models_of_one_language_model_read_with_one_copy_of_it(
    model: BioVerse, tmp_path: Path, loads: list[weakref.ref[Any]], points: np.ndarray
) -> None:
    first = model.save(tmp_path / "first")
    model.config.calibration["score"] = Calibration(temperature=3.0)
    second = model.save(tmp_path / "second")
    one, other = (sb.models.load(folder) for folder in (first, second))
    assert not np.array_equal(one.score(points, NAMES, progress=False), other.score(points, NAMES, progress=False))
    assert one.backbone is other.backbone
    assert len(loads) == 1


def test_large_language_models_are_not_kept_beside_another(
    model: BioVerse, tmp_path: Path, tiny_llm_untied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MOST_BYTES", 1)
    first = model.save(tmp_path / "first")
    held = weakref.ref(sb.models.load(first).backbone)
    gc.collect()
    assert held() is not None
    other = sb.models.BioVerse.new(sb.encoders.KmerEncoder(), llm=str(tiny_llm_untied), n_soft=2, hidden=8)
    sb.models.load(other.save(tmp_path / "other"))
    gc.collect()
    assert held() is None


def test_large_language_models_opened_after_they_were_kept_go_at_the_next_call(
    model: BioVerse, tmp_path: Path, tiny_llm_untied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MOST_BYTES", 1)
    first = model.save(tmp_path / "first")
    other = sb.models.BioVerse.new(sb.encoders.KmerEncoder(), llm=str(tiny_llm_untied), n_soft=2, hidden=8)
    second = other.save(tmp_path / "other")
    opened = [sb.models.load(folder) for folder in (first, second)]
    held = [weakref.ref(one.backbone) for one in opened]
    del opened
    sb.models.load(first)
    gc.collect()
    assert [one() is not None for one in held] == [True, False]


def test_what_is_saved_anew_in_its_place_is_loaded_anew(model: BioVerse, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "m")
    assert sb.models.load(folder).config.calibration["score"].temperature == 1.0
    model.config.calibration["score"] = Calibration(temperature=2.5)
    model.save(folder, overwrite=True)
    assert sb.models.load(folder).config.calibration["score"].temperature == 2.5
    (folder / "projector.safetensors").unlink()
    with pytest.raises(sb.errors.WeightsError, match="is missing"):
        sb.models.load(folder)


def test_nobody_changes_what_is_kept(saved: Path, tiny_llm: Path, points: np.ndarray) -> None:
    first = sb.models.load(saved, llm=str(tiny_llm))
    fingerprint, found = first.fingerprint(), first.score(points, NAMES, progress=False)
    cells = sb.datasets.toy_cells(n_obs=60, n_genes=200)
    sb.tl.tune(cells, text_key="cell_type", model=first, steps=1, batch_size=2, rank=2, rng=0)
    sb.tl.align(cells, text_key="cell_type", model=first, start="model", steps=1, rng=0)
    first.config.calibration["score"] = Calibration(temperature=9.0)
    first.config.default_labels.append("spleen")
    forget_candidate_tokens(first, "cell")
    first.space.fit(["Another text.", "And one more.", "A third."], dim=2)
    for value in first.modules.parameters():
        value.data.zero_()
    again = sb.models.load(saved, llm=str(tiny_llm))
    assert again.fingerprint() == fingerprint
    np.testing.assert_array_equal(again.score(points, NAMES, progress=False), found)


def test_moving_one_leaves_the_others_where_they_are(saved: Path, tiny_llm: Path, points: np.ndarray) -> None:
    one, other = (sb.models.load(saved, llm=str(tiny_llm)) for _ in range(2))
    found = other.score(points, NAMES, progress=False)
    assert one.backbone is other.backbone
    one.to("meta")
    assert other.backbone.device.type == "cpu"
    np.testing.assert_array_equal(other.score(points, NAMES, progress=False), found)
    sb.tl.annotate(sb.datasets.toy_cells(n_obs=8, n_genes=200), labels=NAMES, model=other, device="cpu")


def test_an_encoder_class_that_is_defined_anew_is_used(
    saved: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scbioverse.encoders import _registry

    old = sb.models.load(saved, llm=str(tiny_llm)).encoders["cell"]
    new = type(type(old).__name__, (type(old),), {"__module__": type(old).__module__})
    monkeypatch.setitem(_registry.CLASSES, "compact", new)
    assert type(sb.models.load(saved, llm=str(tiny_llm)).encoders["cell"]) is new

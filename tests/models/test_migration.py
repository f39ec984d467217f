"""Checkpoints of earlier and later versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scbioverse.errors import MismatchError, WeightsError
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse, config, load
from scbioverse.models.config import PoolConfig


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "config.json"
    values = json.loads(file.read_text())
    del values["sha256"]  # which earlier versions did not write
    change(values)
    file.write_text(json.dumps(values))


def test_format_1_is_read_as_todays(saved: Path, model: BioVerse) -> None:
    def to_format_1(values: dict[str, Any]) -> None:
        assert values["format_version"] == config.FORMAT_VERSION
        values["format_version"] = 1
        del values["licence"]
        values["training"] = {"licence": "BSD-3-Clause", "summary": "as it was"}

    edit(saved, to_format_1)
    again = load(saved)
    assert (again.config.licence, again.config.format_version) == ("BSD-3-Clause", config.FORMAT_VERSION)
    assert again.config.training["summary"] == "as it was"
    assert again.fingerprint() == model.fingerprint()


def test_marker_weights_of_format_2_are_left_out_and_said(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = {"score": 0.1, "nearest": 9.0, "markers": 5.0, "sure": 0.9}
    edit(saved, lambda values: values.update(format_version=2, marker_weight=6.2, nearest_marker_weight=4.9, pool=pool))
    again = load(saved)
    assert (again.config.marker_weight, again.config.nearest_marker_weight) == (0.0, 0.0)
    assert again.config.pool == PoolConfig(**{**pool, "markers": 0.0})
    assert "earlier definition of marker evidence" in caplog.text
    assert repr(again.name) in caplog.text


def test_a_model_of_format_2_without_markers_is_read_in_silence(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    edit(saved, lambda values: values.update(format_version=2, nearest_temperature=0.2))
    assert load(saved).config.nearest_temperature == 0.2
    assert "marker" not in caplog.text


def test_marker_weights_of_format_1_are_left_out_too(saved: Path) -> None:
    edit(saved, lambda values: values.update(format_version=1, marker_weight=6.2))
    assert load(saved).config.marker_weight == 0.0


def test_every_format_has_a_way_to_this_one() -> None:
    assert sorted(config._MIGRATIONS) == list(range(1, config.FORMAT_VERSION))


def test_a_migrated_model_is_saved_in_todays_format(saved: Path, tiny_backbone: Backbone, tmp_path: Path) -> None:
    edit(saved, lambda values: values.update(format_version=1))
    again = load(saved, llm=tiny_backbone)
    written = json.loads((again.save(tmp_path / "new") / "config.json").read_text())
    assert written["format_version"] == config.FORMAT_VERSION


def test_a_later_format_says_what_to_do(saved: Path) -> None:
    edit(saved, lambda values: values.update(format_version=99))
    with pytest.raises(WeightsError, match=r"has format 99.*reads up to 3\. Upgrade: pip install -U scbioverse"):
        load(saved)


@pytest.mark.parametrize("template", [{"system": "x"}, {"instruction": 3, "tone": "warm"}, [], "words", None])
def test_a_template_of_another_version_is_no_type_error(saved: Path, template: Any) -> None:
    edit(saved, lambda values: values.update(template=template))
    with pytest.raises((WeightsError, MismatchError), match=r"prompt template|template must be an object"):
        load(saved)


def test_another_language_model_is_refused_with_both_fingerprints(
    saved: Path, model: BioVerse, tiny_backbone_untied: Backbone
) -> None:
    with pytest.raises(MismatchError) as caught:
        load(saved, llm=tiny_backbone_untied)
    assert model.config.llm.sha256 in str(caught.value)
    assert tiny_backbone_untied.sha256 in str(caught.value)

"""Checkpoints of earlier and later versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scbioverse.errors import MismatchError, WeightsError
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse, load


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "config.json"
    values = json.loads(file.read_text())
    del values["sha256"]  # which earlier versions did not write
    change(values)
    file.write_text(json.dumps(values))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_earlier_format_says_what_to_do(saved: Path, version: int) -> None:
    edit(saved, lambda values: values.update(format_version=version))
    with pytest.raises(WeightsError, match=rf"has format {version}.*older one: train it anew.*tl\.align"):
        load(saved)


def test_a_later_format_says_what_to_do(saved: Path) -> None:
    edit(saved, lambda values: values.update(format_version=99))
    with pytest.raises(WeightsError, match=r"has format 99.*reads 4\. Of a newer one: pip install -U scbioverse"):
        load(saved)


@pytest.mark.parametrize("template", [{"system": "x"}, {"instruction": 3, "tone": "warm"}, [], "words", None])
def test_a_template_of_another_version_is_no_type_error(saved: Path, template: Any) -> None:
    edit(saved, lambda values: values.update(template=template))
    with pytest.raises((WeightsError, MismatchError), match=r"prompt template|template: must be"):
        load(saved)


def test_another_language_model_is_refused_with_both_fingerprints(
    saved: Path, model: BioVerse, tiny_backbone_untied: Backbone
) -> None:
    with pytest.raises(MismatchError) as caught:
        load(saved, llm=tiny_backbone_untied)
    assert model.config.llm.sha256 in str(caught.value)
    assert tiny_backbone_untied.sha256 in str(caught.value)

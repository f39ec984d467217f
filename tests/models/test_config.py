from __future__ import annotations

from dataclasses import fields

import pytest

from scbioverse.errors import InputError, WeightsError
from scbioverse.models import BioVerseConfig, Calibration, EncoderConfig, LLMConfig, TextSpaceConfig, config
from scbioverse.models.card import render_card


def make(**more: object) -> BioVerseConfig:
    return BioVerseConfig(
        name="m",
        llm=LLMConfig("llm", "a" * 64, 32),
        template={"system": "", "instruction": "x", "question": "", "sha256": "b" * 64},
        n_soft=2,
        encoders={"cell": EncoderConfig("compact", "tiny", "c" * 64, 8, 1)},
        **more,  # type: ignore[arg-type]
    )


def test_plain_values_and_back() -> None:
    one = make(text_space=TextSpaceConfig(3, 6), default_labels=["CL:0000236"], metrics={"x": 0.5})
    assert BioVerseConfig.from_dict(one.to_dict()) == one
    assert BioVerseConfig.from_dict({**one.to_dict(), "files": {}, "later": 1}) == one


@pytest.mark.parametrize("version", [None, "1", True, config.FORMAT_VERSION + 1, 0, -3])
def test_formats_that_cannot_be_read(version: object) -> None:
    with pytest.raises(WeightsError, match=r"format"):
        BioVerseConfig.from_dict({**make().to_dict(), "format_version": version})


def test_an_earlier_format_says_what_to_do() -> None:
    with pytest.raises(WeightsError, match=r"has format 3.*older one: train it anew \(scbioverse\.tl\.align"):
        BioVerseConfig.from_dict({**make().to_dict(), "format_version": 3})


def test_at_most_thirty_fields() -> None:
    held = (BioVerseConfig, LLMConfig, EncoderConfig, TextSpaceConfig, Calibration)
    assert sum(len(fields(one)) for one in held) <= 30


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperatures_are_positive(temperature: float) -> None:
    with pytest.raises(InputError, match="temperatures"):
        make(calibration={"score": Calibration(temperature=temperature)})


@pytest.mark.parametrize("name", ["cell", "a.b-c_1", "X"])
def test_plain_names(name: str) -> None:
    assert config.check_name(name, what="x") == name


@pytest.mark.parametrize("name", ["", "..", "a/b", "a..b", ".a", "-a", "a b", "a" * 65, "ä", None, 3])
def test_other_names(name: object) -> None:
    with pytest.raises(WeightsError, match="not a plain name"):
        config.check_name(name, what="x")  # type: ignore[arg-type]


def test_card_says_what_it_was_told() -> None:
    one = make(
        text_space=TextSpaceConfig(3, 6),
        training={
            "summary": "It saw thousands of cells, not millions.",
            "data": [{"name": "study A", "licence": "CC0", "citation": "A 2020", "role": "training"}],
            "limits": ["Blood mostly."],
            "command": "python -m recipes.x",
            "licence": "BSD-3-Clause",
            "seed": 3,
        },
        metrics={"leave one out": [{"study": "A", "accuracy": 0.81234}], "ece": 0.05},
    )
    card = render_card(one, files={"config.json": ""})
    for part in ("# m", "thousands of cells", "| study A | training | CC0 | A 2020 |", "- Blood mostly.", "0.812"):
        assert part in card
    for part in ("python -m recipes.x", "BSD-3-Clause", '"seed": 3', "`config.json`", "- ece: 0.050", "a" * 64):
        assert part in card

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scbioverse import encoders
from scbioverse.encoders import _registry, build, list_encoders, register
from scbioverse.errors import InputError, WeightsError


@pytest.fixture(autouse=True)
def _own_table() -> Iterator[None]:
    before = dict(_registry.CLASSES)
    yield
    # Built-in kinds that were imported meanwhile stay: a module registers its class once.
    for kind in set(_registry.CLASSES) - set(before) - set(_registry._BUILTIN):
        del _registry.CLASSES[kind]
    _registry.CLASSES.update(before)


class Plain:
    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    @classmethod
    def from_folder(cls, folder: Path) -> Plain:
        return cls(json.loads((folder / "encoder.json").read_text()))


def test_a_registered_class_is_built_from_its_folder(tmp_path: Path) -> None:
    register("plain")(Plain)
    (tmp_path / "encoder.json").write_text(json.dumps({"kind": "plain", "x": 1}))
    assert build("plain", tmp_path).config["x"] == 1
    assert "plain" in list_encoders()
    assert Plain.kind == "plain"


def test_a_name_is_given_once() -> None:
    register("plain")(Plain)
    register("plain")(Plain)  # loaded anew: no conflict
    with pytest.raises(InputError, match="taken by"):
        register("plain")(type("Other", (), {}))


def test_unknown_kinds_name_the_known(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no encoder of kind 'nonesuch'.*compact.*geneformer.*precomputed"):
        build("nonesuch", tmp_path)


def test_missing_config_is_an_error_of_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot read|encoder\.json is"):
        build("precomputed", tmp_path)


def test_every_exported_name_is_there() -> None:
    for name in encoders.__all__:
        assert getattr(encoders, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = encoders.nothing_like_this


def test_import_does_not_bring_torch() -> None:
    code = (
        "import sys, scbioverse as sb, scbioverse.io; sb.pp.check_cells; sb.tl.embed; sb.encoders.list_encoders();"
        "sb.encoders.PrecomputedEncoder; assert 'torch' not in sys.modules and 'scanpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

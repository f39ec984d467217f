"""Checkpoints and language models made to harm: refused, nothing in them run."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from scbioverse.errors import WeightsError
from scbioverse.llm import Backbone
from scbioverse.models import checkpoint, load


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def made_up(header: dict[str, Any] | None, *, claimed: int | None = None, data: bytes = b"\0" * 32) -> bytes:
    """A safetensors file with any header, and any length claimed for it."""
    text = b"{" if header is None else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + data


F32 = {"dtype": "F32", "shape": [4]}
WRONG = {
    "huge header": made_up({}, claimed=2**63),
    "header beyond the file": made_up({}, claimed=10_000),
    "no JSON": made_up(None),
    "overlap": made_up({"a": {**F32, "data_offsets": [0, 16]}, "b": {**F32, "data_offsets": [8, 24]}}),
    "gap": made_up({"a": {**F32, "data_offsets": [0, 16]}, "b": {**F32, "data_offsets": [20, 36]}}),
    "beyond the end": made_up({"a": {**F32, "data_offsets": [0, 64]}}),
    "backwards": made_up({"a": {**F32, "data_offsets": [16, 0]}}),
    "size and shape differ": made_up({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 32]}}),
    "empty": b"",
    "cut": made_up({"a": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}})[:-9],
}


def put(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a checkpoint, with a checksum to match."""
    (folder / name).write_bytes(content)
    values = json.loads((folder / "config.json").read_text())
    values["files"][name] = checkpoint.file_sha256(folder / name)
    (folder / "config.json").write_text(json.dumps(values))


@pytest.mark.parametrize("file", ["projector.safetensors", "encoders/cell/encoder.safetensors"])
@pytest.mark.parametrize("kind", list(WRONG))
def test_made_up_tensors_in_a_checkpoint(saved: Path, file: str, kind: str) -> None:
    put(saved, file, WRONG[kind])
    with pytest.raises(WeightsError, match=rf"{Path(file).name} .*is damaged"):
        load(saved)


@pytest.mark.parametrize("kind", list(WRONG))
def test_made_up_tensors_of_a_language_model(tiny_llm: Path, tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "m"))
    (folder / "model.safetensors").write_bytes(WRONG[kind])
    with pytest.raises(WeightsError, match=r"model\.safetensors .*is damaged"):
        Backbone.load(str(folder), device="cpu")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "projector.pt", "encoders/cell/state.pkl", "x.npz", "evil.py"])
@pytest.mark.parametrize("listed", [True, False])
def test_pickles_and_code_in_a_checkpoint(saved: Path, tmp_path: Path, name: str, listed: bool) -> None:
    content = pickle.dumps(Bomb(tmp_path / "ran"))
    if listed:
        put(saved, name, content)
    else:
        (saved / name).write_bytes(content)
    with pytest.raises(WeightsError, match="pickle"):
        load(saved)
    assert not (tmp_path / "ran").exists()
    pickle.loads(content)  # the bomb is a real one
    assert (tmp_path / "ran").exists()


def test_pickled_weights_of_a_language_model(tiny_llm: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "m"))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(WeightsError, match=r"as pickles \(pytorch_model\.bin\)"):
        Backbone.load(str(folder), device="cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["config.json", "adapter/adapter_config.json", "encoders/cell/body/config.json"])
@pytest.mark.parametrize(
    "change", [{"auto_map": {"AutoModel": "evil.Model"}}, {"inner": [{"trust_remote_code": True}]}]
)
def test_a_checkpoint_that_asks_for_code(saved: Path, place: str, change: dict[str, Any]) -> None:
    file = saved / place
    file.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**before, **change}))
    with pytest.raises(WeightsError, match=r"asks for code of its own"):
        load(saved)


@pytest.mark.parametrize("name", ["../../outside.safetensors", "/etc/passwd", "a/../../b.safetensors", "", 7])
def test_an_index_that_names_files_elsewhere(tiny_llm: Path, tmp_path: Path, name: Any) -> None:
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "deep" / "m"))
    shutil.copy(folder / "model.safetensors", tmp_path / "outside.safetensors")
    index = {"metadata": {}, "weight_map": {"model.norm.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"index\.json names the file .* leads out of the folder"):
        Backbone.load(str(folder), device="cpu")


@pytest.mark.parametrize("where", ["hidden", "n_soft", "dim", "negative"])
def test_numbers_that_would_fill_the_memory(saved: Path, where: str) -> None:
    values = json.loads((saved / "config.json").read_text())
    part = values if where == "n_soft" else values["encoders"]["cell"]
    part["hidden" if where == "negative" else where] = -4 if where == "negative" else 10**12
    (saved / "config.json").write_text(json.dumps(values))
    with pytest.raises(
        WeightsError, match=r"must be (greater than or equal to 1, found -4|less .* 16777216, found 10)"
    ):
        load(saved)


def test_a_table_of_texts_of_another_type(saved: Path) -> None:
    tensors = load_file(saved / "projector.safetensors")
    for keys in (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.int32)):
        codes = torch.zeros((2, 6), dtype=torch.int8)
        put(saved, "projector.safetensors", save({**tensors, "text_table.keys": keys, "text_table.codes": codes}))
        with pytest.raises(WeightsError, match="does not fit"):
            load(saved)

"""One flipped bit, with size and time as they were, is found when the files are loaded."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from scbioverse import settings
from scbioverse.errors import WeightsError
from scbioverse.llm._loading import load_files
from scbioverse.llm.backbone import Backbone
from scbioverse.llm.resolve import resolve
from tests.llm.test_resolve import tiny_gguf


def flip(path: Path, share: float) -> None:
    """Flip one bit at this share of the file's length; size and time stay."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[min(int(share * len(content)), len(content) - 1)] ^= 1 << 3
    path.write_bytes(bytes(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def gguf(tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    return tiny_gguf(tmp_path / "m.gguf", tiny_llm)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "source.json"])
def test_a_bit_of_the_converted_copy(gguf: Path, name: str, share: float, caplog: pytest.LogCaptureFixture) -> None:
    loaded = Backbone.load(gguf, dtype="float32")
    # Weights are views of the file: what is flipped in it is flipped in them.
    whole = {name: one.clone() for name, one in loaded.model.state_dict().items()}
    vocabulary = loaded.tokenizer.get_vocab()
    folder = load_files(resolve(gguf), lambda folder: folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    flip(folder / name, share)
    assert (folder / name).read_bytes() != before[name]
    again = Backbone.load(gguf, dtype="float32")
    # A bit of the manifest may lie where it says nothing, such as in the source's name.
    if name != "source.json":
        assert caplog.text.count("made anew") == 1
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for name_of, one in again.model.state_dict().items():
        assert torch.equal(one, whole[name_of])
    assert again.tokenizer.get_vocab() == vocabulary
    caplog.clear()
    Backbone.load(gguf, dtype="float32")
    assert "anew" not in caplog.text


def test_a_file_that_joins_the_copy(gguf: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = load_files(resolve(gguf), lambda folder: folder)
    (folder / "adapter_config.json").write_text("{}")
    Backbone.load(gguf, dtype="float32")
    assert "made anew" in caplog.text
    assert not (folder / "adapter_config.json").exists()


def test_a_bit_of_the_source_before_it_is_converted(gguf: Path) -> None:
    resolve(gguf)  # by which its digest is remembered
    flip(gguf, 0.9)
    with pytest.raises(WeightsError, match=r"m\.gguf has sha256 .* with the same size and time: it is damaged"):
        Backbone.load(gguf, dtype="float32")


def test_a_copy_that_was_moved_is_loaded_as_it_is(gguf: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = load_files(resolve(gguf), lambda folder: folder)
    for path in folder.iterdir():
        os.utime(path, ns=(1, 1))
    Backbone.load(gguf, dtype="float32")
    assert "anew" not in caplog.text


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_bit_of_a_folder_that_was_read_before(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "model"))
    first = resolve(folder).sha256
    Backbone.load(folder)
    flip(folder / name, 0.5)
    with pytest.raises(WeightsError):
        Backbone.load(folder)
    # From then on it is what it is: another model, which checkpoints that were trained with the first refuse.
    assert name == "config.json" or resolve(folder).sha256 != first

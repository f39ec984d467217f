"""Models, encoders and language models whose files are damaged, made to harm, or simply not what was meant."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import struct
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import scbioverse as sb

from . import Given, case

AREA = "Files of models"
NAMES = "Names of models"


@cache
def _made() -> Path:
    """A small model of random weights and the language model that it reads with, made once for all cases."""
    import atexit
    import tempfile

    import torch

    from scbioverse.encoders.compact import CompactCellEncoder, CompactNet, GeneStats
    from tests.conftest import save_tiny_llama

    at = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, at, ignore_errors=True)
    genes = tuple(sb.datasets.toy_cells(n_obs=1, n_genes=200).var_names)
    stats = GeneStats(genes, np.full(200, 0.8), np.full(200, 0.7), np.full(200, 1.0), 2000.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = CompactCellEncoder(CompactNet(200, 16, 8), stats, name="tiny", min_genes=50)
    (at / "llm").mkdir()
    llm = save_tiny_llama(at / "llm")
    sb.models.BioVerse.new(encoder, name="tiny", llm=str(llm), n_soft=2, hidden=16).save(at / "model")
    return at


def model(at: Path) -> Path:
    """Return the folder of a small model, a fresh copy."""
    return Path(shutil.copytree(_made() / "model", at / "model"))


def language_model(at: Path) -> Path:
    """Return the folder of a small language model, a fresh copy."""
    return Path(shutil.copytree(_made() / "llm", at / "llm"))


def edit(folder: Path, file: str = "config.json", **values: Any) -> Path:
    """Change values of a JSON file in a folder."""
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **values}))
    return folder


def put(folder: Path, name: str, content: bytes) -> Path:
    """Replace a file of a model, with a checksum to match: what somebody would do who means harm."""
    (folder / name).write_bytes(content)
    files = json.loads((folder / "config.json").read_text())["files"]
    return edit(folder, files={**files, name: hashlib.sha256(content).hexdigest()})


def encoder_with(at: Path, **values: Any) -> Path:
    """Return a model whose cell encoder says something else of itself."""
    folder = model(at)
    content = json.loads((folder / "encoders/cell/encoder.json").read_text())
    return put(folder, "encoders/cell/encoder.json", json.dumps({**content, **values}).encode())


def loading(folder: Path) -> Given:
    """Load a model; its files stay."""
    return Given(lambda: sb.models.load(folder), {"folder": folder})


def aligning(folder: Path) -> Given:
    """Read with a language model; its files stay."""
    from scbioverse.llm import Backbone

    return Given(lambda: Backbone.load(str(folder)), {"folder": folder})


LOAD = "sb.models.load('model')"
READ = "sb.tl.align(adata, llm='llm', ...)"


@case(NAMES, "the name in capitals", "sb.models.load('Bioverse-Small')", says=["Did you mean 'bioverse-small'"])
def name_in_capitals(at: Path) -> Given:
    return Given(lambda: sb.models.load("Bioverse-Small"), {})


@case(
    NAMES,
    "a file in a model's folder instead of the folder",
    "sb.models.load('model/config.json')",
    says=["is a file", "Name the folder"],
)
def file_for_a_folder(at: Path) -> Given:
    return loading(model(at) / "config.json")


@case(NAMES, "nothing where a name should be", "sb.models.load('')", says=["a folder or a hub id, found ''"])
def empty_name(at: Path) -> Given:
    return Given(lambda: sb.models.load(""), {})


@case(
    NAMES, "the folder of a language model", "sb.models.load('llm')", says=["'llama' model of transformers", "tl.align"]
)
def folder_of_a_language_model(at: Path) -> Given:
    return loading(language_model(at))


@case(NAMES, "the folder of an encoder", "sb.models.load('model/encoders/cell')", says=["holds an encoder", "tl.embed"])
def folder_of_an_encoder(at: Path) -> Given:
    return loading(model(at) / "encoders/cell")


@case(AREA, "a model of a newer version", LOAD, says=["has format 99", "pip install -U scbioverse"])
def newer_format(at: Path) -> Given:
    return loading(edit(model(at), format_version=99))


@case(AREA, "projector.safetensors was not copied along", LOAD, says=["projector.safetensors is missing"])
def missing_tensors(at: Path) -> Given:
    folder = model(at)
    (folder / "projector.safetensors").unlink()
    return loading(folder)


@case(AREA, "a file that was cut while it was copied", LOAD, says=["truncated or was changed", "expected"])
def truncated_file(at: Path) -> Given:
    folder = model(at)
    file = folder / "encoders/cell/encoder.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return loading(folder)


@case(
    AREA,
    "another language model than the projector was trained for",
    "sb.models.load('model', llm='llm')",
    says=["was trained for the language model", "sha256"],
)
def another_language_model(at: Path) -> Given:
    folder, llm = model(at), language_model(at)
    edit(llm, "tokenizer_config.json", extra="changed")
    return Given(lambda: sb.models.load(folder, llm=str(llm)).backbone, {"folder": folder, "llm": llm})


@case(AREA, "a temperature that is no number", LOAD, says=["temperature: must be a valid number, found True"])
def truth_for_a_number(at: Path) -> Given:
    return loading(edit(model(at), calibration={"score": {"temperature": True}}))


@case(AREA, "a projector of a million times the size", LOAD, says=["does not fit config.json", "size mismatch"])
def huge_projector(at: Path) -> Given:
    return loading(edit(model(at), n_soft=16_000_000))


@case(AREA, "a list of genes of 20 kB that unpacks to 20 MB", LOAD, says=["genes.txt.gz is larger than", "not read"])
def genes_that_inflate(at: Path) -> Given:
    return loading(put(model(at), "encoders/cell/genes.txt.gz", gzip.compress(b"A" * (20 * 2**20))))


@case(AREA, "an encoder of a billion blocks", LOAD, says=["n_blocks must be a whole number", "found 1000000000"])
def billion_blocks(at: Path) -> Given:
    return loading(encoder_with(at, n_blocks=10**9))


@case(AREA, "a width that is not a number", LOAD, says=["hidden must be a whole number", "found nan"])
def width_that_is_no_number(at: Path) -> Given:
    return loading(encoder_with(at, hidden=float("nan")))


@case(AREA, "config.json nested 100,000 deep", LOAD, says=["config.json is damaged", "nested"])
def nested_json(at: Path) -> Given:
    folder = model(at)
    (folder / "config.json").write_text("[" * 100_000 + "]" * 100_000)
    return loading(folder)


@case(AREA, "config.json with one key twice", LOAD, says=["config.json is damaged", "'name' stands there twice"])
def key_twice(at: Path) -> Given:
    folder = model(at)
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("{", '{"name": "other",', 1))
    return loading(folder)


@case(AREA, "a pipe in the place of a file", LOAD, says=["a pipe, socket or device", "not opened"])
def pipe_for_a_file(at: Path) -> Given:
    folder = model(at)
    (folder / "projector.safetensors").unlink()
    os.mkfifo(folder / "projector.safetensors")
    return loading(folder)


@case(AREA, "an attention that would be fetched from the hub", READ, says=["'kernels-community/flash-attn'", "Take"])
def attention_from_the_hub(at: Path) -> Given:
    return aligning(edit(language_model(at), attn_implementation="kernels-community/flash-attn"))


@case(AREA, "a language model of a billion layers", READ, says=["asks for 1000000000 layers"])
def billion_layers(at: Path) -> Given:
    return aligning(edit(language_model(at), num_hidden_layers=10**9))


@case(AREA, "a language model a million wide by its configuration", READ, says=["parameters", "do not belong together"])
def million_wide(at: Path) -> Given:
    return aligning(edit(language_model(at), hidden_size=10**6, head_dim=8))


@case(AREA, "an adapter beside a language model", READ, says=["holds an adapter", "Merge"])
def adapter_beside(at: Path) -> Given:
    folder = language_model(at)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "/elsewhere"}')
    return aligning(folder)


@case(AREA, "a GGUF file whose tensors overlap", "sb.tl.align(adata, llm='model.gguf', ...)", says=["overlap"])
def overlapping_gguf(at: Path) -> Given:
    file = at / "model.gguf"
    file.write_bytes(gguf([("a", (32,), 0, 0), ("b", (32,), 0, 64)], 256))
    return aligning(file)


@case(AREA, "a GGUF file that ends before its tensors", "sb.tl.align(adata, llm='model.gguf', ...)", says=["truncated"])
def gguf_beyond_its_end(at: Path) -> Given:
    file = at / "model.gguf"
    file.write_bytes(gguf([("a", (2**40,), 0, 0)], 256))
    return aligning(file)


@case(AREA, "an scvi-tools model.pt that inflates", "sb.tl.embed(adata, model='scvi')", says=["would unpack to"])
def inflating_torch_file(at: Path) -> Given:
    folder = at / "scvi"
    folder.mkdir()
    with zipfile.ZipFile(folder / "model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", b"\0" * (8 * 2**20))
    cells = sb.datasets.toy_cells(n_obs=4, n_genes=120)
    return Given(lambda: sb.tl.embed(cells, model=folder), {"adata": cells, "folder": folder})


def gguf(tensors: list[tuple[str, tuple[int, ...], int, int]], data: int) -> bytes:
    """Write a GGUF file without metadata: (name, shape, kind, offset) of each tensor, then so many bytes."""

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0)
    for name, shape, kind, offset in tensors:
        out += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    return out + b"\0" * (-len(out) % 32) + b"\0" * data

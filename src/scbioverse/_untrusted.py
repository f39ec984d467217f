"""Files that came from elsewhere: looked at before anything reads them, and never run.

A pipe under the name of a file blocks whoever opens it, a few megabytes of gzip unpack to gigabytes, JSON can be nested
more deeply than Python can follow, a name can lead out of its folder, and a configuration can ask for code. Whatever is
wrong with such a file is said as one of our errors.
"""

from __future__ import annotations

import gzip
import json
import pickle
import re
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from .errors import BioverseError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

FOREIGN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError,
    RuntimeError, TypeError, ValueError, pickle.UnpicklingError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What libraries raise when they are handed a damaged file."""
PLAIN = (".safetensors", ".json", ".md", ".txt", ".txt.gz", ".tsv.gz", ".jinja")
"""Kinds of files a checkpoint may hold: tensors, and text that nothing executes."""
INERT = frozenset({".gitattributes", ".gitignore", "LICENSE", "NOTICE"})
"""Files beside a model that do nothing."""
# Kinds of files that can hold pickles (numpy's and HDF5 with objects), as weights are found in them, and code.
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5")
_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".bat", ".exe", ".whl", ".jar")
_LARGEST_JSON, _LARGEST_TEXT = 256 * 2**20, 64 * 2**20
_DEEPEST = 64
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
# Keys with which a configuration sends the reader to code that lies beside it or in a package it names.
_CODE_KEYS = ("auto_map", "trust_remote_code", "auto_mapping")
# Keys under which transformers takes the name of code on the hub ("owner/kernel") as well as that of its own.
_KERNEL_KEYS = ("attn_implementation", "experts_implementation", "attn_implementation_internal", "kernel_config")
_BUILT_IN = frozenset(
    {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", "batched_mm", "grouped_mm"}
)


@contextmanager
def refusing(
    what: str, advice: str = "Save or fetch it again.", *, also: type[Exception] = WeightsError
) -> Iterator[None]:
    """Say what a library raises on a damaged file as `"<what> (<error>). <advice>"`; our own errors pass.

    A library's own kind of error is named by `also`, beside :data:`FOREIGN`.
    """
    try:
        yield
    except BioverseError:
        raise
    except (*FOREIGN, also) as error:
        said = f"{error!r}" if isinstance(error, LookupError) else error  # which says no more than a name
        raise WeightsError(f"{what} ({said}). {advice}") from error


def passes(check: Callable[[Path], object], path: Path) -> bool:
    """Whether a check finds nothing wrong with a file or folder."""
    try:
        check(path)
    except WeightsError:
        return False
    return True


def check_plain(path: Path, *, most: int | None = None) -> Path:
    """Return `path` if a file lies there, and no folder, pipe or device, and it has at most so many bytes."""
    with refusing(f"{path} cannot be opened"):
        try:
            found = path.stat()
        except FileNotFoundError:
            raise WeightsError(f"{path} is missing. Save or fetch it again.") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise WeightsError(f"{path} is {kind}, not a file: it is not opened. Save or fetch it again.")
    if most is not None and found.st_size > most:
        raise WeightsError(
            f"{path} ({found.st_size:,} bytes) is larger than {most:,} bytes, which no such file is. It is not read."
        )
    return path


def read_bytes(path: Path, *, most: int = _LARGEST_TEXT) -> bytes:
    """Read a file of at most `most` bytes; raises a :class:`WeightsError` where that cannot be."""
    with refusing(f"{path} cannot be read"):
        return check_plain(path, most=most).read_bytes()


def read_gzip(path: Path, *, most: int = _LARGEST_TEXT) -> bytes:
    """Unpack a gzip file whose content has at most `most` bytes; no more than that is ever unpacked."""
    with refusing(f"{path} is damaged"), gzip.open(check_plain(path, most=most)) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise WeightsError(
            f"the content of {path} is larger than {most:,} bytes, which no such file holds. It is not read."
        )
    return content


def parse_json(content: bytes, path: Path, *, strict: bool = False) -> Any:
    """Parse JSON that was read from `path`, nested at most 64 deep.

    `strict` refuses a key that stands twice in one object: who looked at the first would be shown another file.
    """
    with refusing(f"{path} is damaged: it is not readable JSON"):
        try:
            found = json.loads(content.decode(), object_pairs_hook=_without_repeats if strict else None)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if _deeper_than(found, _DEEPEST):
            raise ValueError(f"nested deeper than {_DEEPEST}")
    return found


def read_json(path: Path, *, strict: bool = False) -> Any:
    """Read a JSON file; see :func:`parse_json`."""
    return parse_json(read_bytes(path, most=_LARGEST_JSON), path, strict=strict)


def read_json_object(path: Path, *, strict: bool = False) -> dict[str, Any]:
    """Read a JSON file that must hold an object; see :func:`parse_json`."""
    found = read_json(path, strict=strict)
    if not isinstance(found, dict):
        raise WeightsError(
            f"{path} is damaged: it holds {type(found).__name__}, which is no JSON object. Save or fetch it again."
        )
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(one for one in names if names.count(one) > 1)!r:.60} stands there twice")
    return found


def _inner(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _deeper_than(value: Any, most: int) -> bool:
    layer = [value]
    for _ in range(most):
        # Level by level: a function that calls itself would be as deep as what it measures.
        layer = [one for outer in layer for one in _inner(outer) if isinstance(one, dict | list)]
    return bool(layer)


def check_file_name(name: str, *, where: str) -> str:
    """Return `name` if it is a plain relative path below a folder."""
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or name != "/".join(parts) or any(not _PART.fullmatch(one) or ".." in one for one in parts):
        raise WeightsError(
            f"{where} names the file {name!r}, which is not a plain path: it leads out of the folder or hides. The "
            "model is damaged or was tampered with."
        )
    return name


def check_kinds(names: Iterable[str], *, where: str) -> None:
    """Refuse a list of files that holds anything but tensors and text."""
    for name in names:
        if name.rsplit("/", 1)[-1] in INERT:
            continue
        check_file_name(name, where=where)
        if not name.lower().endswith(PLAIN):
            raise WeightsError(
                f"{where} holds {name!r}. A model is {', '.join(PLAIN)} and nothing else: pickles and code can run "
                "when they are opened, and are refused."
            )


def refuse_executable(folder: Path) -> None:
    """Raise a :class:`WeightsError` where pickles, code or libraries lie in a folder, whether anything names them."""
    for file in sorted(folder.rglob("*")):
        if file.name.lower().endswith((*PICKLES, *_CODE)):
            raise WeightsError(
                f"{file} is a pickle or code, which can run when it is opened, and has no place in a model. Remove it "
                "if you know where it comes from; if not, fetch the model again."
            )


def refuse_code(folder: Path) -> None:
    """Refuse a folder with a configuration that asks for code of its own, or for code from elsewhere.

    That is `auto_map` and `trust_remote_code`, and the name of an attention that would be fetched from the hub.
    """
    for file in sorted(folder.rglob("*config.json")):
        for key, value in _named_values(read_json(file)):
            if key in _CODE_KEYS:
                raise WeightsError(
                    f"{file} asks for code of its own ({key!r}), which is never run. If transformers knows the model "
                    f"type, take {key!r} out of the file; if not, use another model."
                )
            kernels = (_inner(value) or [value]) if key.endswith(_KERNEL_KEYS) else []
            if any(not isinstance(one, str) or one.removeprefix("paged|") not in _BUILT_IN for one in kernels if one):
                raise WeightsError(
                    f"{file} names {value!r:.80} as {key!r}. What transformers does not bring along would be fetched "
                    f"and run: only {', '.join(sorted(_BUILT_IN))} are taken. Take {key!r} out of the file."
                )


def _named_values(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with a value that says something, however deep."""
    if isinstance(content, dict):
        yield from ((str(key), value) for key, value in content.items() if value)
    for one in _inner(content):
        yield from _named_values(one)

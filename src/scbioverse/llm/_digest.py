"""Digests of a model's files: what identifies them, and whether they are what they were when they were first read.

The sha256 of a model takes seconds; it is remembered beside the files' sizes and times. A CRC-32 is compared at every
load: it finds every burst of up to 32 bits, at memory speed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from .._hub_files import file_sha256
from .._logging import logger
from .._settings import settings
from .._whole import write_text_whole
from ..errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

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
    found: dict[str, int] = _record(path).get("crc32", {})
    return found


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

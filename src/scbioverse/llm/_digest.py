"""Digests of a model's files, remembered so that the second look at the same files costs nothing."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from .._logging import logger
from .._settings import settings
from .._whole import write_text_whole
from ._contents import file_crc32

if TYPE_CHECKING:
    from pathlib import Path


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def source_sha256(path: Path, files: list[Path]) -> str:
    """Digest of a model's files, remembered beside their sizes and modification times.

    Parameters
    ----------
    path
        The model's file or folder, under which the digest is remembered.
    files
        The files to identify. One file gives its own sha256; several, the sha256 of the lines
        `"<sha256>  <name>"` in the order of their names.
    """
    files = sorted(files)
    seen = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    record = _record_file(path)
    if record is not None:
        try:
            stored = json.loads(record.read_text(encoding="utf-8"))
            if stored["files"] == seen and (files == [path] or set(stored["crc32"]) == {file.name for file in files}):
                return str(stored["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # absent or damaged: computed below
    digest = file_sha256(files[0]) if files == [path] else _combined_sha256(files)
    if record is not None:
        try:
            kept: dict[str, Any] = {"path": str(path.resolve()), "files": seen, "sha256": digest}
            if files != [path]:  # a single file is looked at again before it is converted
                kept["crc32"] = {file.name: file_crc32(file) for file in files}
            write_text_whole(record, json.dumps(kept))
        except OSError as error:
            logger.debug("digest of %s not remembered: %s", path, error)
    return digest


def remembered_crc32(path: Path) -> dict[str, int]:
    """CRC-32 by name of the files of a folder as they were when its digest was computed; {} where that is not known."""
    record = _record_file(path)
    try:
        found = {} if record is None else json.loads(record.read_text(encoding="utf-8"))["crc32"]
        return {str(name): int(crc) for name, crc in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def forget_digest(path: Path) -> None:
    """Have a model's files looked at anew the next time."""
    record = _record_file(path)
    if record is not None:
        record.unlink(missing_ok=True)


def _combined_sha256(files: list[Path]) -> str:
    lines = "".join(f"{file_sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _record_file(path: Path) -> Path | None:
    try:
        folder = settings.weights_dir() / "sources"
        folder.mkdir(exist_ok=True)
    except OSError:
        return None  # nowhere to remember it
    return folder / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]}.json"

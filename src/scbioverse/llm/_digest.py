"""Digests of a model's files, remembered so that the second look at the same files costs nothing."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from .._logging import logger
from .._settings import settings
from .._whole import write_text_whole

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
            if stored["files"] == seen:
                return str(stored["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # absent or damaged: computed below
    digest = file_sha256(files[0]) if files == [path] else _combined_sha256(files)
    if record is not None:
        try:
            write_text_whole(record, json.dumps({"path": str(path.resolve()), "files": seen, "sha256": digest}))
        except OSError as error:
            logger.debug("digest of %s not remembered: %s", path, error)
    return digest


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

"""Files that came from elsewhere are opened here, and only if they are files, of a size and depth that fit.

A pipe under the name of a file blocks whoever opens it, a few megabytes of gzip unpack to gigabytes, and JSON can be
nested more deeply than Python can follow. Whatever is wrong with such a file is said as one of our errors.
"""

from __future__ import annotations

import gzip
import json
import pickle
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from .errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

FOREIGN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What libraries raise when they are handed a damaged file."""
LARGEST_JSON = 256 * 2**20
LARGEST_TEXT = 64 * 2**20
DEEPEST = 64


def check_plain(path: Path, *, most: int | None = None) -> Path:
    """Return `path` if a file lies there, and no folder, pipe or device, and it has at most so many bytes.

    Raises
    ------
    WeightsError
        There is none, or it is something else, or too large.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing. Save or fetch it again.") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} cannot be opened ({error}).") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        raise WeightsError(f"{path} is {kind}, not a file: it is not opened. Save or fetch it again.")
    if most is not None and found.st_size > most:
        raise WeightsError(
            f"{path} ({found.st_size:,} bytes) is larger than {most:,} bytes, which no such file is. It is not read."
        )
    return path


def read_bytes(path: Path, *, most: int = LARGEST_TEXT) -> bytes:
    """Read a file of at most `most` bytes.

    Raises
    ------
    WeightsError
        It is missing, no plain file, too large or not readable.
    """
    try:
        return check_plain(path, most=most).read_bytes()
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error}).") from error


def read_gzip(path: Path, *, most: int = LARGEST_TEXT) -> bytes:
    """Unpack a gzip file whose content has at most `most` bytes; no more than that is ever unpacked.

    Raises
    ------
    WeightsError
        It is missing, no plain file, damaged, or its content is larger.
    """
    try:
        with gzip.open(check_plain(path, most=most)) as file:
            content = file.read(most + 1)
    except WeightsError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise WeightsError(f"{path} is damaged ({error}). Save or fetch it again.") from error
    if len(content) > most:
        raise WeightsError(
            f"the content of {path} is larger than {most:,} bytes, which no such file holds. It is not read."
        )
    return content


def parse_json(content: bytes, path: Path, *, strict: bool = False) -> Any:
    """Parse JSON that was read from `path`.

    Parameters
    ----------
    content
        The bytes.
    path
        What to call it in messages.
    strict
        Refuse a key that stands twice in one object: who looked at the first would be shown another file.

    Raises
    ------
    WeightsError
        It is no JSON, nested deeper than 64, or not strict where it must be.
    """
    try:
        found = json.loads(content.decode(), object_pairs_hook=_without_repeats if strict else None)
        if _deeper_than(found, DEEPEST):
            raise ValueError(f"nested deeper than {DEEPEST}")
    except (ValueError, RecursionError, MemoryError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else error
        raise WeightsError(f"{path} is damaged: it is not readable JSON ({said}). Save or fetch it again.") from error
    return found


def read_json(path: Path, *, most: int = LARGEST_JSON, strict: bool = False) -> Any:
    """Read a JSON file; see :func:`parse_json`."""
    return parse_json(read_bytes(path, most=most), path, strict=strict)


def read_json_object(path: Path, *, most: int = LARGEST_JSON, strict: bool = False) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    WeightsError
        It cannot be read, or holds something else.
    """
    found = read_json(path, most=most, strict=strict)
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


def _deeper_than(value: Any, most: int) -> bool:
    layer = [value]
    for _ in range(most):
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True

"""Contents of a model's files, compared with what they were while the model is loaded."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from ..errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Loaded = TypeVar("Loaded")


def file_crc32(path: Path) -> int:
    """CRC-32 of a file: every burst of up to 32 bits is found, at memory speed and outside of Python's lock."""
    crc = 0
    buffer = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(buffer):
            crc = zlib.crc32(buffer[:n], crc)
    return crc


def load_beside_check(
    folder: Path, known: Mapping[str, int], load: Callable[[Path], Loaded], *, forget: Callable[[], None]
) -> Loaded:
    """Load a folder while its files are compared with their CRC-32.

    Parameters
    ----------
    folder
        The model's folder.
    known
        CRC-32 by file; of files that it lacks nothing is known.
    load
        Loads the folder.
    forget
        Called where a file differs, so that it is looked at anew the next time.

    Raises
    ------
    WeightsError
        A file differs.
    """
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        found = {name: pool.submit(file_crc32, folder / name) for name in known}
        try:
            loaded = load(folder)
        except WeightsError:
            _refuse_damaged(folder, [name for name in known if found[name].result() != known[name]], forget)
            raise
        _refuse_damaged(folder, [name for name in known if found[name].result() != known[name]], forget)
    return loaded


def _refuse_damaged(folder: Path, names: list[str], forget: Callable[[], None]) -> None:
    if names:
        forget()
        raise WeightsError(
            f"{folder / names[0]} is not what it was when it was first read, though its size and time are the same: it "
            "is damaged. Fetch the file again. If you changed it, load the model once more."
        )

"""Parts of long runs, on the disk: whoever runs the same again goes on where the run before was stopped.

A part is what was computed for one block of rows. Its name is a digest of all that decides it: the block's values, the
model, the prompt, the candidates. So a part is never met by other data or another model. It appears whole or not at
all, and says by a digest of its own whether it still is what was written. A run has a folder for its parts, which goes
when the run ends well; one that nobody took up again for a week goes with the next long run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from ._logging import logger
from ._settings import settings
from ._slots import versions

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import BaseFileLock
    from numpy.typing import NDArray

# From so many rows on a run is long enough for its parts to be kept.
LONG = 50_000
_KEPT_SECONDS = 7 * 86_400
_LOCK, _END, _DIGEST = "lock", ".safetensors", "digest"
_current: ContextVar[Parts | None] = ContextVar("parts", default=None)


@dataclass
class Parts:
    """Where the parts of one run lie; can be sent to another process that sees the same disk."""

    folder: Path
    _full: bool = field(default=False, repr=False)

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a part; None where there is none, or a damaged one."""
        from safetensors import SafetensorError, safe_open

        path = self.folder / (key + _END)
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                noted = (file.metadata() or {}).get(_DIGEST)
        except (OSError, SafetensorError):
            return None
        if noted != digest_of(arrays):
            return None
        return arrays

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a part. Without room for it the run goes on, and keeps no more."""
        from safetensors.numpy import save

        if self._full:
            return
        held = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        fresh = self.folder / f"{uuid.uuid4().hex}.new"
        try:
            fresh.write_bytes(save(held, metadata={_DIGEST: digest_of(held)}))
            fresh.replace(self.folder / (key + _END))
        except OSError as error:
            self._full = True
            logger.warning("%s: the run goes on, but what it computes from now on is not kept", error)
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)


def current() -> Parts | None:
    """Return where the run that is under way keeps its parts; None where it keeps none."""
    return _current.get()


def digest_of(*given: Any) -> str:
    """Digest of arrays, mappings of arrays, and plain values, 32 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=16)
    for one in given:
        if isinstance(one, np.ndarray):
            found.update(f"{one.dtype}{one.shape}".encode())
            found.update(np.ascontiguousarray(one).data if one.size else b"")
        elif isinstance(one, Mapping) and all(isinstance(value, np.ndarray) for value in one.values()):
            for name in sorted(one):
                found.update(f"{name}:{digest_of(one[name])}".encode())
        else:
            text = json.dumps(one, sort_keys=True, default=str).encode()
            found.update(len(text).to_bytes(8, "little") + text)
    return found.hexdigest()


@contextlib.contextmanager
def kept(what: str, n: int, *given: Any) -> Iterator[Parts | None]:
    """Keep the parts of a run over `n` rows until it ends well; few rows are computed again as soon as read.

    `given` tells this run from others, such as model and options: where parts are looked for, not whether they fit.
    """
    if n < LONG or current() is not None:
        yield current()
        return
    try:
        folder, lock = _folder(digest_of(what, versions(), *given))
    except (
        OSError,
        NotImplementedError,
    ) as error:  # the latter where a disk has no locks, by some versions of filelock
        logger.warning("%s: parts of the run are not kept", error)
        yield None
        return
    parts = Parts(folder)
    if held := len(list(folder.glob(f"*{_END}"))):
        logger.info("%s: %d parts of a run that was stopped are there, in %s", what, held, folder)
    token, ended = _current.set(parts), False
    try:
        yield parts
        ended = True
    finally:
        _current.reset(token)
        held = len(list(folder.glob(f"*{_END}")))
        if ended or not held:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            logger.warning(
                "%s was stopped. The %d parts that are done (safetensors, one a block of rows) are kept in %s: run the "
                "same again to go on from there, or remove the folder", what, held, folder,
            )  # fmt: skip
        lock.release()


def _folder(name: str) -> tuple[Path, BaseFileLock]:
    """Take a run's folder, and clear those that nobody came back for."""
    root = settings.runs_dir()
    _clear(root)
    for folder in (root / name, root / f"{name}-{uuid.uuid4().hex[:8]}"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, blocking=False)
        try:
            lock.acquire()
        except Timeout:  # the same runs at this moment: this one keeps its parts elsewhere
            continue
        for left in folder.glob("*.new"):
            left.unlink(missing_ok=True)
        os.utime(folder)
        return folder, lock
    raise OSError(f"no folder of {root} can be taken")


def _clear(root: Path) -> None:
    for folder in root.iterdir():
        with contextlib.suppress(OSError, Timeout):
            if time.time() - folder.stat().st_mtime < _KEPT_SECONDS:
                continue
            # Ours; on Windows the lock goes when it is released.
            if (folder / _LOCK).is_file() or any(folder.glob(f"*{_END}")):
                with FileLock(folder / _LOCK, blocking=False):
                    shutil.rmtree(folder, ignore_errors=True)

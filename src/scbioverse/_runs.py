"""Long runs, a block of rows at a time: parts kept on the disk, and blocks computed by the workers of dask.

A part is what was computed for one block of rows. Its name is a digest of all that decides it: the block's values, the
model, the prompt, the candidates. So a part is never met by other data or another model. It appears whole or not at
all, and says by a digest of its own whether it still is what was written. A run has a folder for its parts, which goes
when the run ends well; one that nobody took up again for a week goes with the next long run.

With a `distributed.Client` in this process, and a matrix behind dask, blocks are computed where the workers are. What
they need beside the block (an encoder, a model) is sent to each once, as a plug-in, which a worker that comes later or
again gets, too. A block on a worker that dies is computed again by dask on another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from ._logging import logger
from ._settings import settings
from ._slots import versions
from .errors import BioverseError

if TYPE_CHECKING:
    from pathlib import Path

    from filelock import BaseFileLock
    from numpy.typing import NDArray

T = TypeVar("T")
# From so many rows on a run is long enough for its parts to be kept.
LONG = 50_000
_KEPT_SECONDS = 7 * 86_400
_LOCK, _END, _DIGEST = "lock", ".safetensors", "digest"
# Where the run that is under way keeps its parts, and the workers that it may use; None: nowhere, this process alone.
PARTS: ContextVar[Parts | None] = ContextVar("parts", default=None)
WORKERS: ContextVar[Workers | None] = ContextVar("workers", default=None)
# Blocks under way for each thread of a worker: one is computed while the next is read.
_AHEAD = 2


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
    if n < LONG or PARTS.get() is not None:
        yield PARTS.get()
        return
    try:
        folder, lock = _folder(digest_of(what, versions(), *given))
    # The latter where a disk has no locks, by some versions of filelock.
    except (OSError, NotImplementedError) as error:
        logger.warning("%s: parts of the run are not kept", error)
        yield None
        return
    parts = Parts(folder)
    if held := len(list(folder.glob(f"*{_END}"))):
        logger.info("%s: %d parts of a run that was stopped are there, in %s", what, held, folder)
    token, ended = PARTS.set(parts), False
    try:
        yield parts
        ended = True
    finally:
        PARTS.reset(token)
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


# ------------------------------------------------------------------ workers of dask


class WorkersError(BioverseError):
    """The workers could not do what they were given."""


class Workers:
    """The workers of a `distributed.Client`."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def each(self, job: Callable[..., Any], given: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Call `job(*one)` for each of `given` on some worker, and yield what comes back, in the order given.

        The job is sent to each worker once; arguments that are collections of dask are computed there. A `WorkersError`
        where a worker died too often over the same block, or the scheduler is gone.
        """
        from dask.base import is_dask_collection

        name = f"scbioverse-{uuid.uuid4().hex}"
        self.client.register_plugin(_held(name, job), name=name)
        threads = max(1, sum(self.client.nthreads().values()))
        waiting: deque[Any] = deque()
        try:
            for one in given:
                sent = [self.client.compute(part) if is_dask_collection(part) else part for part in one]
                waiting.append(self.client.submit(_call, name, *sent, pure=False))
                if len(waiting) > _AHEAD * threads:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            for future in waiting:
                with contextlib.suppress(Exception):
                    future.cancel()
            with contextlib.suppress(Exception):
                self.client.unregister_worker_plugin(name)

    def _result(self, future: Any) -> Any:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            return future.result()
        except (KilledWorker, CommClosedError, CancelledError, TimeoutError) as error:
            raise WorkersError(
                f"the workers of {self.client} did not do what they were given: {type(error).__name__}. Look into "
                "their logs (memory is the usual cause), start them again, and run the same again: parts that are done "
                "are kept."
            ) from error


def each_block(job: Callable[..., Any], cells: Any, rowwise: Any = None) -> Iterator[tuple[slice, Any]]:
    """Call `job(first, block)` for every block of rows of a `Cells`, here or where the workers are.

    `first` is the number of the first row, or of `rowwise` (n_obs, ...) the part that belongs to the rows. Yields the
    rows, in order, with the result.
    """

    def first(rows: slice) -> Any:
        return rows.start if rowwise is None else rowwise[rows]

    workers = WORKERS.get()
    lazy = None if workers is None else cells.lazy()
    if workers is None or lazy is None:
        for rows, block in _ahead(cells.blocks()) if cells.streams else cells.blocks():
            yield rows, job(first(rows), block)
    else:
        spans = cells.spans()
        yield from zip(spans, workers.each(job, ((first(rows), lazy[rows]) for rows in spans)), strict=True)


def _ahead(blocks: Iterator[T]) -> Iterator[T]:
    """Yield what `blocks` does, and have the next one read by a thread while this one is worked on."""
    # A thread begins without the context of the one that starts it: the user's client of dask, say.
    context = copy_context()

    def read() -> T | None:
        return context.run(next, blocks, None)

    with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        coming = reader.submit(read)
        while (block := coming.result()) is not None:
            coming = reader.submit(read)
            yield block


@contextlib.contextmanager
def used(wanted: bool) -> Iterator[Workers | None]:
    """Use the workers of this process's client, if it has one and it is `wanted`."""
    found = _client() if wanted else None
    token = WORKERS.set(None if found is None else Workers(found))
    if found is not None:
        logger.info("blocks of rows are computed by the workers of %s", found)
    try:
        yield WORKERS.get()
    finally:
        WORKERS.reset(token)


def _client() -> Any | None:
    """Return the client of this process, without importing its package."""
    if (distributed := sys.modules.get("distributed")) is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:  # there is none
        return None


def _held(name: str, job: Callable[..., Any]) -> Any:
    from distributed import WorkerPlugin

    class Held(WorkerPlugin):
        """Holds what is called."""

        def __init__(self) -> None:
            self.name, self.job = name, job

    return Held()


def _call(name: str, *given: Any) -> Any:
    from distributed import get_worker

    held: Any = get_worker().plugins[name]
    return held.job(*given)

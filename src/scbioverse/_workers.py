"""Workers of dask: what is given out to them, in which order it comes back, and what each holds.

With a `distributed.Client` in this process, and a matrix behind dask, blocks are computed where the workers are. What
they need beside the block (an encoder, a model) is sent to each once, as a plug-in, which a worker that comes later or
again gets, too. A block on a worker that dies is computed again by dask on another.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from ._logging import logger
from .errors import BioverseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
_current: ContextVar[Workers | None] = ContextVar("workers", default=None)
# Blocks under way for each thread of a worker: one is computed while the next is read.
_AHEAD = 2


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

    workers = current()
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


def current() -> Workers | None:
    """Return the workers that the verb under way may use; None: this process alone."""
    return _current.get()


@contextlib.contextmanager
def used(wanted: bool) -> Iterator[Workers | None]:
    """Use the workers of this process's client, if it has one and it is `wanted`."""
    found = _client() if wanted else None
    token = _current.set(None if found is None else Workers(found))
    if found is not None:
        logger.info("blocks of rows are computed by the workers of %s", found)
    try:
        yield current()
    finally:
        _current.reset(token)


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

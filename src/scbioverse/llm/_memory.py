"""A batch size that gives way when memory runs out."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, TypeVar

import torch

from .._errors import InputError
from .._logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class BatchSize:
    """How many rows to compute at once: as many as asked for, half as many each time memory runs out.

    Results never depend on the batch size, so nothing but speed changes.

    Parameters
    ----------
    size
        Rows to start with.
    what
        What is computed, for the log.

    Attributes
    ----------
    size
        Rows at once; stays halved for the rest of the run.
    """

    def __init__(self, size: int, *, what: str = "rows") -> None:
        if size < 1:
            raise InputError(f"batch_size must be at least 1, found {size}.")
        self.size, self.what = size, what

    def run(self, work: Callable[[int], T]) -> T:
        """Call `work(size)` until it fits.

        Parameters
        ----------
        work
            Computes everything in batches of the size it is handed; it is called again from the start.

        Raises
        ------
        InputError
            Memory runs out with a single row.
        """
        while True:
            failed = False
            try:
                return work(self.size)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if self.size == 1:
                    raise InputError(
                        f"Memory ran out on a single one of the {self.what}: {_first_line(error)} Use a smaller "
                        "language model, quantize= (GPU), or device='cpu'."
                    ) from error
                failed, reason = True, _first_line(error)
            if failed:
                # Outside the handler: a traceback holds on to the tensors of the frames it shows.
                self._halve(reason)

    def _halve(self, reason: str) -> None:
        before, self.size = self.size, self.size // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory on %d %s at once; going on with %d (%s)", before, self.what, self.size, reason)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU allocator and cuBLAS have no error class of their own.
    text = str(error)
    return any(word in text for word in ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

"""How things are computed: on which device, in which number type, how many rows at once, and from which seed."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ._logging import first_line, logger
from ._settings import settings
from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from numpy.typing import NDArray

T = TypeVar("T")
HINT = "Use a smaller language model, quantize= (GPU), or device='cpu'."


def pick_device(device: str | None = None) -> torch.device:
    """Turn a name into a device; None and `"auto"` are `settings.device`, whose `"auto"` is a GPU if there is one."""
    import torch

    # A verb that is told nothing follows the setting.
    name = settings.device if device in (None, "auto") else device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device={name!r} is not a torch device ('cpu', 'cuda', 'cuda:1', ...).") from error
    # Said here: torch says it only when something is moved there.
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device={name!r}: torch {torch.__version__} finds {torch.cuda.device_count()} CUDA GPUs here. Use "
            "device='cpu', or install a build of torch for your GPU."
        )
    return found


def place_encoder(encoder: Any, device: str) -> None:
    """Move an encoder that has a network to `device`; `"auto"` leaves it where it is.

    What has no `to` runs on the CPU, or where the package it comes from puts it, and stays there.
    """
    if device == "auto":
        return
    target = pick_device(device)
    if callable(move := getattr(encoder, "to", None)):
        move(str(target))
    elif target.type != "cpu":
        logger.info("encoder %r does not run on %s", encoder.name, target)


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Compute products in `dtype` on `device`, with weights as they are; nothing for float32."""
    import torch

    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


class BatchSize:
    """How many rows to compute at once: as many as asked for, half as many each time memory runs out.

    Results depend on the batch size by rounding alone. `size` stays halved for the rest of the run; `what` is computed,
    for the log; `hint` says what to do where a single row does not fit.
    """

    def __init__(self, size: int, *, what: str = "rows", hint: str = HINT) -> None:
        if size < 1:
            raise InputError(f"batch_size must be at least 1, found {size}.")
        self.size, self.what, self.hint = size, what, hint

    def run(self, work: Callable[[int], T]) -> T:
        """Call `work(size)`, which begins anew each time, until it fits; an :class:`InputError` if one row does not."""
        while True:
            try:
                return work(self.size)
            except (MemoryError, RuntimeError) as error:  # torch's own is a RuntimeError
                if not is_out_of_memory(error):
                    raise
                if self.size == 1:
                    raise InputError(
                        f"Memory ran out on a single one of the {self.what}: {first_line(error, 200)} {self.hint}"
                    ) from error
                reason = first_line(error, 200)
            # Outside the handler: a traceback holds on to the tensors of the frames it shows.
            self._halve(reason)

    def each(self, n: int, work: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
        """Call `work(rows)` for consecutive rows until all `n` are done.

        Yields the rows and what `work` returned for them. Rows on which memory runs out are computed again, fewer at
        once; those before them stay done.
        """
        start = 0
        while start < n:
            left = n - start
            # The last rows, fewer than a batch, would only fail again at sizes that they do not fill.
            part = self if left >= self.size else BatchSize(left, what=self.what, hint=self.hint)
            done = part.run(lambda size, start=start: work(slice(start, start + size)))  # type: ignore[misc]
            if part.size < left:
                self.size = part.size
            yield slice(start, start + part.size), done
            start += part.size

    def _halve(self, reason: str) -> None:
        """Take half as many from now on, and give back what nothing holds any more."""
        import torch

        before, self.size = self.size, self.size // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory on %d %s at once; going on with %d (%s)", before, self.what, self.size, reason)


def length_batches(lengths: NDArray[np.integer], max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Group rows of similar lengths, longest first, so that little is padded; yields the rows' positions.

    A group has at most `max_tokens` tokens, padding included; a longer row makes a group of its own. Rows of length 0
    are left out.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    order = order[np.asarray(lengths)[order] > 0]
    first = 0
    while first < order.size:
        n = max(1, max_tokens // int(lengths[order[first]]))
        yield order[first : first + n]
        first += n


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or a CPU."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU allocator and cuBLAS have no error class of their own.
    text = str(error)
    return any(word in text for word in ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED"))


def free_bytes(device: torch.device) -> int | None:
    """Bytes that a new tensor on `device` could take: None where that cannot be told.

    On a GPU what the driver has free and what torch holds of it without using it; on a CPU what can be had without
    swapping. Limits that a container sets beside are not looked at.
    """
    import psutil
    import torch

    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + max(0, int(unused))
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None


Rng = int | np.random.Generator | None


def as_generator(rng: Rng) -> np.random.Generator:
    """Turn a seed, a generator or None (seed 0, so that results repeat) into a generator."""
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(as_seed(rng))


def as_seed(rng: Rng) -> int:
    """Draw one 31-bit seed, for libraries that take an integer. An integer stands for itself."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**31 - 1))
    seed = 0 if rng is None else rng
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"a seed is a whole number from 0 up, a numpy Generator or None, found {rng!r:.60}.")
    return int(seed)

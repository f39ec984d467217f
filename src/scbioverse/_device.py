"""Which device a network runs on, and in which number type."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ._logging import logger
from ._settings import settings
from .errors import InputError

if TYPE_CHECKING:
    import torch


def pick_device(device: str | None = None) -> torch.device:
    """Turn a name into a device; None and `"auto"` are `settings.device`, whose `"auto"` is a GPU if there is one.

    Raises
    ------
    InputError
        There is no such kind of device, or this machine has none.
    """
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


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Compute products in `dtype` on `device`, with weights as they are; nothing for float32."""
    import torch

    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)

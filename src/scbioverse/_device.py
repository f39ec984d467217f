"""Which device a network runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._errors import InputError
from ._settings import settings

if TYPE_CHECKING:
    import torch


def pick_device(device: str | None = None) -> torch.device:
    """Turn a name into a device; None and `"auto"` are `settings.device`, whose `"auto"` is a GPU if there is one.

    Raises
    ------
    InputError
        There is no such kind of device.
    """
    import torch

    name = settings.device if device in (None, "auto") else device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device={name!r} is not a torch device ('cpu', 'cuda', 'cuda:1', ...).") from error

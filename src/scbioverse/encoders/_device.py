"""Which device an encoder's network runs on."""

from __future__ import annotations

import torch

from .._settings import settings


def pick_device(device: str | None = None) -> torch.device:
    """Return the device asked for, or that of `settings.device`; `"auto"` is a GPU where there is one."""
    wanted = device or settings.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)

"""Room on a disk, looked at before work begins whose result would not fit."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from .errors import BioverseError, InputError

if TYPE_CHECKING:
    from pathlib import Path


def check_room(
    folder: Path, n_bytes: float, what: str, *, error: type[BioverseError] = InputError, advice: str = ""
) -> None:
    """Refuse what would not fit on the disk.

    Parameters
    ----------
    folder
        Where it will lie. It need not be there yet.
    n_bytes
        What it takes at least. Of an estimate pass the low end: what fits must not be refused.
    what
        Its name in the message.
    error
        Class of the error.
    advice
        What to do; to free some space or name another place if not given.

    Raises
    ------
    BioverseError
        Fewer bytes are free.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < n_bytes:
        raise error(
            f"{what} takes about {_size(n_bytes)}, and the disk of {folder} has {_size(free)} left. "
            f"{advice or 'Free some space, or name a place on another disk.'}"
        )


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"

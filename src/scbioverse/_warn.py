"""Warnings that point at the user's line."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_HERE = f"{Path(__file__).parent}{os.sep}"


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn with the line by which the package was called, however deep in it the reason was found."""
    # Frames of others lie between ours, such as those of pandas and functools: the outermost of ours counts.
    frame: FrameType | None = sys._getframe(1)
    level = outermost = 1
    while frame is not None:
        level += 1
        if frame.f_code.co_filename.startswith(_HERE):
            outermost = level
        frame = frame.f_back
    warnings.warn(message, category, stacklevel=outermost + 1)

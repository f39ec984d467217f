"""Importing large packages without scanning what they make again and again."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Keep Python's garbage collector from running meanwhile.

    torch and transformers make about a million objects when they are imported, anndata fewer; nearly all of them live
    to the end. The collector, set off by their number, would look at all of them several times. Nothing is lost: what
    becomes garbage meanwhile is found by the next full collection.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            if gc.get_freeze_count() == 0:
                # There and back: moves all objects to the oldest generation without looking at them.
                gc.freeze()
                gc.unfreeze()
            gc.enable()

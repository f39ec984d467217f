"""Pausing the garbage collector for an import leaves it as it was."""

from __future__ import annotations

import gc
import weakref

import pytest

from scbioverse._imports import collection_paused


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.me = self


def test_paused_inside_and_running_again_after_an_error() -> None:
    inside = []

    def fail() -> None:
        with collection_paused():
            inside.append(gc.isenabled())
            raise ImportError("no such package")

    with pytest.raises(ImportError):
        fail()
    assert inside == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_garbage_made_meanwhile_is_freed_later() -> None:
    with collection_paused():
        knot = weakref.ref(Knot())
        assert knot() is not None
    gc.collect()
    assert knot() is None

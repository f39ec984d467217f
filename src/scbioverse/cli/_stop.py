"""Ctrl-C and SIGTERM: work stops, what was begun is removed, and the exit code says which it was."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(BaseException):
    """The process was asked to end.

    Parameters
    ----------
    number
        By which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    held = False
    asked: int | None = None


@contextmanager
def listening() -> Iterator[None]:
    """Turn signals into :class:`Stopped` (Ctrl-C into `KeyboardInterrupt`), but those that the process is to ignore."""
    before = {one: signal.getsignal(one) for one in SIGNALS}
    for one, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(one, _on_signal)
    try:
        yield
    finally:
        for one, handler in before.items():
            if handler is not None:
                signal.signal(one, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Let a signal wait for the end of a piece of work that an exception would break; see :func:`was_asked`."""
    _State.held, _State.asked = True, None
    try:
        yield
    finally:
        _State.held = False
        number, _State.asked = _State.asked, None
        if number is not None:
            _stop(number)


def was_asked() -> bool:
    """Whether a signal waits, so that what is still to do can be left out."""
    return _State.asked is not None


def _on_signal(number: int, _: object) -> None:
    if _State.held:
        _State.asked = number
    else:
        _stop(number)


def _stop(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

"""What every command shares: messages on the terminal, errors as one line, exit codes."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from .._logging import logger, printable
from .._settings import settings
from ..errors import BioverseError
from ._words import Words

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(BaseException):
    """The process was asked to end, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    held = False
    asked: int | None = None
    words = Words(shell=False)


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


def speak(words: Words) -> None:
    """Have what is said from now on about options in the words of a command."""
    _State.words = words


def in_words(text: str) -> str:
    """Return what a verb says in the words of the command that runs."""
    return _State.words.said(text)


class _InWords(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return in_words(super().format(record))


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Write a text to stdout, or to stderr: the one way to the terminal, on which what is written cannot act."""
    typer.echo(printable(str(text)), err=err, nl=nl)


@contextmanager
def running(*, quiet: bool) -> Iterator[None]:
    """Run a command inside: messages and warnings as lines on stderr, errors as one line and exit code 1.

    After a signal the exit code is 128 and the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM.
    """
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(_InWords("%(message)s"))
    level, progress = logger.level, settings.progress
    if not quiet:
        logger.addHandler(shown)
        logger.setLevel(logging.INFO)
    settings.progress = progress and not quiet
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            if quiet:
                warnings.simplefilter("ignore")
            yield
    except (BioverseError, OSError, MemoryError) as error:
        kind = "" if isinstance(error, BioverseError) else f"{type(error).__name__}: "
        say(f"error: {kind}{in_words(' '.join(str(error).split()))}", err=True)
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, Stopped) as stop:
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
        say(f"error: stopped by {signal.Signals(number).name}; files that were not finished are removed.", err=True)
        raise typer.Exit(128 + number) from stop
    finally:
        logger.removeHandler(shown)
        logger.setLevel(level)
        settings.progress = progress


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    # Those of other packages are for their developers.
    if category is UserWarning:
        say(f"warning: {in_words(' '.join(str(message).split()))}", err=True)

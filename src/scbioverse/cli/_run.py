"""What every command shares: messages on the terminal, errors as one line, exit codes."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any

import typer

from .._logging import logger
from .._settings import settings
from .._shown import printable
from ..errors import BioverseError
from ._stop import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Write a text to stdout, or to stderr: the one way to the terminal, on which what is written cannot act."""
    typer.echo(printable(str(text)), err=err, nl=nl)


def run(work: Callable[[], Any], *, quiet: bool) -> None:
    """Run a command: messages and warnings as lines on stderr, errors as one line and exit code 1.

    After a signal the exit code is 128 and the signal's number, as shells have it: 130 for Ctrl-C, 143 for SIGTERM.
    """
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(logging.Formatter("%(message)s"))
    level, progress = logger.level, settings.progress
    if not quiet:
        logger.addHandler(shown)
        logger.setLevel(logging.INFO)
    settings.progress = progress and not quiet
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _drop_warning if quiet else _show_warning  # type: ignore[assignment]
            work()
    except (BioverseError, OSError, MemoryError) as error:
        kind = "" if isinstance(error, BioverseError) else f"{type(error).__name__}: "
        say(f"error: {kind}{' '.join(str(error).split())}", err=True)
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
        say(f"warning: {' '.join(str(message).split())}", err=True)


def _drop_warning(*_: object) -> None:
    pass

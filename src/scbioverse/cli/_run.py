"""What every command shares: messages on the terminal, errors as one line, exit codes.

What verbs say of Python is said in the words of the command line: `layer='counts'` is `--layer counts` there.
"""

from __future__ import annotations

import logging
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import typer

from .._logging import logger, printable
from .._settings import settings
from ..errors import BioverseError

_COMMANDS = {one: f"scbioverse {one} SOURCE" for one in ("ask", "report", "serve")} | {
    one: f"scbioverse {one} SOURCE -o OUTPUT" for one in ("annotate", "embed")
}
# What calls in messages hand over that commands have an option for; elsewhere it is called as in Python.
_OPTIONS = {"key": "--gene-key", "key_added": "--key-added"} | {
    one: f"--{one}" for one in ("groupby", "level", "method", "model", "tissue", "layer", "labels")
}
_VALUE = r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?(?!\w)"
# A call about models; of a verb that is a command, too; any other call, which is left alone; an option, with or without
# a value.
_SAID = re.compile(
    r"\b(?:sb|scbioverse)\.models\.(?P<models>list|pull|verify)(?:_models)?\((?P<which>[^()]*)\)|"
    rf"\b(?:sb|scbioverse)\.(?:tl\.)?(?P<verb>{'|'.join(_COMMANDS)})\b(?:\((?:adata)?(?:, )?(?P<within>[^()]*)\))?"
    r"|[\w.]+\([^()]*\)"
    rf"|(?<![\w.-])(?P<name>[a-z_]+)=(?P<value>{_VALUE})?(?![\w=(\[{{])"
)
_ARGUMENT = re.compile(rf"(?P<name>\w+)=(?P<value>{_VALUE})")


@dataclass(frozen=True)
class Words:
    """How one command calls what verbs name by Python's names; without a command, texts stay as they are."""

    options: dict[str, str] = field(default_factory=dict)  # option by the name of its parameter: "layer": "--layer"
    shell: bool = True  # whether there is a command

    @classmethod
    def of(cls, command: Any) -> Words:
        """Read the options of a command of click."""
        found = {one.name: max(one.opts, key=len) for one in command.params}
        return cls({name: option for name, option in found.items() if option.startswith("--")})

    def said(self, text: str) -> str:
        """Return a message with calls and options as they are typed in a shell; those that it has not stay."""
        return _SAID.sub(lambda match: self._typed(match, text), text) if self.shell else text

    def _typed(self, match: re.Match[str], text: str) -> str:
        name = match["name"]
        if match["models"]:
            return " ".join(["scbioverse models", match["models"], *match["which"].strip("'\"").split()])
        if match["verb"]:
            return _command(match)
        # In Python, one name stands for columns of `var` and of `obs`.
        if name == "key" and "gene_key" in self.options and ("key" not in self.options or "adata.var" in text):
            name = "gene_key"
        if name and name not in self.options:
            name = name.removesuffix("s")  # in a shell, each of several values has its own `--value`
        return _option(self.options[name], match["value"]) if name in self.options else match[0]


def _command(match: re.Match[str]) -> str:
    """Write a call of a verb as a command, or leave it where one of its options is for Python alone."""
    if match["within"] is None:
        return f"scbioverse {match['verb']}"
    words = [_COMMANDS[match["verb"]]]
    for one in filter(None, match["within"].split(", ")):
        given = _ARGUMENT.fullmatch(one)
        if given is None or given["name"] not in _OPTIONS:
            return match[0]
        if one != "key_added='bioverse'":
            words.append(_option(_OPTIONS[given["name"]], given["value"]))
    return " ".join(words)


def _option(option: str, value: str | None) -> str:
    return option if value is None else f"{option} {shlex.quote(value.strip(chr(34) + chr(39)))}"


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
def running(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Run a command inside: messages and warnings as lines on stderr, errors as one line and exit code 1.

    Yields what says on stdout how the command went; nothing if `quiet`.

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
            yield _say_nothing if quiet else say
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


def _say_nothing(_: str) -> None:
    """Stand in for :func:`say`."""


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    # Those of other packages are for their developers.
    if category is UserWarning:
        say(f"warning: {in_words(' '.join(str(message).split()))}", err=True)

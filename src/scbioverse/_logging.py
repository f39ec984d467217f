"""What people are told: the log, warnings that point at their line, and names made fit to be shown.

Handlers are the application's business: none is set up at import. Nor one that swallows everything: where the
application sets up nothing, Python prints what is a warning to stderr, such as a batch that had to be halved, and keeps
quiet about the rest. Who has set scanpy's verbosity (`scanpy.settings.verbosity = 2`) hears as much from us as from
scanpy, through scanpy's own log.
"""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

# scanpy's verbosity: 0 errors, 1 warnings, 2 information, 3 hints.
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


class _Logger(logging.Logger):
    """A logger that follows scanpy's verbosity as long as nobody sets up handlers for it."""

    def _scanpy(self) -> Any:
        # Only where somebody else imported it, which takes seconds, and did so completely.
        scanpy = sys.modules.get("scanpy")
        return None if scanpy is None or not hasattr(scanpy, "settings") or self.hasHandlers() else scanpy

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name of the standard library
        scanpy = self._scanpy()
        if scanpy is None:
            return super().isEnabledFor(level)
        return level >= _LEVELS[min(int(scanpy.settings.verbosity), 3)] and level > self.manager.disable

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802
        scanpy = self._scanpy()
        if scanpy is not None and record.levelno < logging.WARNING:
            scanpy.logging.info(record.getMessage())
        else:
            super().callHandlers(record)


def _make_logger() -> logging.Logger:
    others = logging.getLoggerClass()
    logging.setLoggerClass(_Logger)
    try:
        return logging.getLogger("scbioverse")
    finally:
        logging.setLoggerClass(others)


logger = _make_logger()


def _make_printable(record: logging.LogRecord) -> bool:
    """Write characters that act on a terminal as escapes: names out of files stand in what is logged."""
    said = record.getMessage()
    clean = printable(said)
    if clean != said:
        record.msg, record.args = clean, None
    return True


logger.addFilter(_make_printable)


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


MOST_SHOWN = 80


def shown_name(name: str, most: int = MOST_SHOWN) -> str:
    """One readable line of at most `most` characters; what is cut off is marked by "…".

    Control, format (zero-width, direction), surrogate and private-use characters are taken out. The name itself stays
    as it is in the data: this is for sentences, logs and pictures.
    """
    # A long text is cut first, so that ten million characters cost no more than a few hundred.
    line = one_line(str(name)[: 20 * most]) or "?"
    return line if len(line) <= most and len(str(name)) <= 20 * most else line[: most - 1].rstrip() + "…"


def bounded(text: object, max_chars: int) -> str:
    """One line of readable characters, at most `max_chars` of them; what is cut off leaves an ellipsis.

    Control, format (zero-width, direction), surrogate and private-use characters go, so that a name can neither move a
    terminal's cursor nor hide text.
    """
    # A long text is cut first, so that ten million characters cost no more than a few thousand.
    clean = one_line(str(text)[: 20 * max_chars])
    if len(clean) <= max_chars:
        return clean
    return clean[: max_chars - 1].rsplit(" ", 1)[0].rstrip() + "…" if max_chars > 1 else clean[:max_chars]


def one_line(text: str) -> str:
    """Return a text as one line with composed accents, without characters that are not seen or act on a terminal."""
    # Categories C*: control, format (zero-width, direction), surrogate, private use, unassigned.
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(" " if c.isspace() else c for c in composed if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())


def printable(text: str) -> str:
    r"""Return a text with characters that act on a terminal, or are not seen, written as escapes: `\x1b[2J`.

    Line ends and tabs stay. Everything that goes to a log, an error or a terminal passes through here, since names in
    files can hold anything.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one in "\n\t" or unicodedata.category(one)[0] != "C" else one.encode("unicode_escape").decode("ascii")
        for one in text
    )


def listed(names: Iterable[str], word: str = "and") -> str:
    """Write "A", "A and B", "A, B and C"; or with another word before the last."""
    *first, last = [*names] or [""]
    return f"{', '.join(first)} {word} {last}" if first else last


def first_few(names: Iterable[str], most: int, between: str = ", ") -> str:
    """Names in a row, at most so many, and "..." behind them where there are more."""
    held = [*names]
    return between.join(held[:most] + ["..."] * (len(held) > most))


def and_more(names: Iterable[str], most: int) -> str:
    """Names in a row, at most so many, and how many more there are."""
    held = [*names]
    return ", ".join(held[:most]) + (f" and {len(held) - most} more" if len(held) > most else "")


def first_line(error: BaseException, most: int) -> str:
    """First line of what an error says, cut to `most` characters; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def plotted_name(name: str, most: int = 40) -> str:
    """:func:`shown_name` for a picture, in which a dollar sign would begin a formula."""
    return shown_name(name, most).replace("$", r"\$")

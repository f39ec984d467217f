"""One logger for the package. Handlers are the application's business: none is set up at import.

Nor one that swallows everything: where the application sets up nothing, Python prints what is a warning to stderr, such
as a batch that had to be halved, and keeps quiet about the rest. Who has set scanpy's verbosity
(`scanpy.settings.verbosity = 2`) hears as much from us as from scanpy, through scanpy's own log.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from ._shown import printable

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

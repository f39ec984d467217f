"""A report that is looked at in a browser: one file, which needs no server."""

from __future__ import annotations

from ._report import report

__all__ = ["report"]

"""What is looked at in a browser: a report as one file, and a local page to ask on."""

from __future__ import annotations

from ._report import report

__all__ = ["report"]

"""The command `scbioverse`: annotate and embed files, list models."""

from __future__ import annotations

from ._app import app, main

__all__ = ["app", "main"]

"""The one way to the terminal: what is written there cannot act on it."""

from __future__ import annotations

import typer

from .._shown import printable


def say(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Write a text to stdout, or to stderr."""
    typer.echo(printable(str(text)), err=err, nl=nl)

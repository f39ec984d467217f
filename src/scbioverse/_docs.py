"""Paragraphs that the documentation of several functions shares: written once, put in where they are named."""

from __future__ import annotations

import re
from textwrap import indent
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")
_PLACE = re.compile(r"^( *)\{(\w+)\}$", re.MULTILINE)


def documented(**paragraphs: str) -> Callable[[F], F]:
    """Fill lines of a docstring that hold nothing but a paragraph's name in braces, as scanpy's `doc_params` does."""

    def fill(function: F) -> F:
        function.__doc__ = _PLACE.sub(lambda one: indent(paragraphs[one[2]], one[1]), function.__doc__ or "")
        return function

    return fill

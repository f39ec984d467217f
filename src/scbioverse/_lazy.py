"""Names of a package that are imported when they are first asked for, so that the package itself costs nothing."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazily(package: str, where: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package, of whose public names some lie in modules below it."""
    here = vars(sys.modules[package])

    def get(name: str) -> object:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # Set, so that Python does not ask again.
        here[name] = getattr(importlib.import_module(f".{where[name]}", package), name)
        return here[name]

    return get, lambda: sorted(here["__all__"])

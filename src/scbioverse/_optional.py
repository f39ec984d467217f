"""Late import of optional packages, with an error that names the extra to install."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .errors import OptionalDependencyError

if TYPE_CHECKING:
    from types import ModuleType


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module` or raise an :class:`OptionalDependencyError` that says what to install for `purpose`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OptionalDependencyError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which cannot be imported ({error}). "
            f"Install it with: pip install 'scbioverse[{extra}]'"
        ) from error

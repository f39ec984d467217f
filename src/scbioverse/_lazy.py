"""What is imported when it is first asked for: names of a package, and optional packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import OptionalDependencyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType


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


def give_accessor() -> None:
    """Make `adata.bioverse` where anndata is there; importing it is not ours to do."""
    if hasattr(sys.modules.get("anndata"), "register_anndata_namespace"):
        importlib.import_module(f"{__package__}.app.accessor")


def file_of_package(package: str, file: str) -> Path | None:
    """Return a file in an installed package, which is located and not run: what it depends on need not be there."""
    spec = importlib.util.find_spec(package)
    places = [Path(folder) / file for folder in (spec.submodule_search_locations or [] if spec else [])]
    return next((place for place in places if place.is_file()), None)


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module` or raise an :class:`OptionalDependencyError` that says what to install for `purpose`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OptionalDependencyError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which cannot be imported ({error}). "
            f"Install it with: pip install 'scbioverse[{extra}]'"
        ) from error

"""Kinds of encoder by name. Built-in kinds are imported when first asked for, so that listing them costs nothing."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .._untrusted import read_json_object, refusing
from ..errors import InputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._protocol import Encoder

# Kind -> module, where that has another name.
_BUILTIN = {kind: kind for kind in ("chemnet", "compact", "geneformer", "hf_sequence", "kmer", "morgan", "precomputed")}
_BUILTIN |= {"scvi": "scvi_model"}
_CLASSES: dict[str, type] = {}

T = TypeVar("T", bound=type)


def register(kind: str) -> Callable[[T], T]:
    """Make an encoder class known under `kind`, the value of `"kind"` in its `encoder.json`.

    Parameters
    ----------
    kind
        Name, unique among encoders.

    Returns
    -------
    A class decorator, which sets the class's `kind`. The class needs `from_folder(folder, config)` to be built from a
    checkpoint.

    Raises
    ------
    InputError
        Another class holds the name.
    """

    def add(cls: T) -> T:
        held = _CLASSES.get(kind)
        # Modules may be loaded anew (notebooks); the same class under the same name is no conflict.
        if held is not None and (held.__module__, held.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InputError(f"encoder kind {kind!r} is taken by {held.__module__}.{held.__qualname__}")
        _CLASSES[kind] = cls
        cls.kind = kind  # type: ignore[attr-defined]
        return cls

    return add


def list_encoders() -> list[str]:
    """List the known kinds of encoder: built-in ones and those of :func:`register`.

    Returns
    -------
    Their names, sorted.
    """
    return sorted({*_BUILTIN, *_CLASSES})


def held_class(kind: str) -> type | None:
    """Return the class under `kind` if it was imported or registered, and import nothing."""
    return _CLASSES.get(kind)


def encoder_class(kind: str) -> type:
    """Return the class registered under `kind`, or raise a :class:`WeightsError` that names those there are."""
    if kind not in _CLASSES and kind in _BUILTIN:
        importlib.import_module(f".{_BUILTIN[kind]}", __package__)
    if kind not in _CLASSES:
        raise WeightsError(
            f"no encoder of kind {kind!r} (known: {', '.join(list_encoders())}). "
            "If a plug-in defines it, import the plug-in first; else a newer scbioverse may be needed."
        )
    return _CLASSES[kind]


def build(kind: str, folder: Path, config: dict[str, Any] | None = None) -> Encoder:
    """Build an encoder from its folder in a checkpoint.

    Parameters
    ----------
    kind
        Name of the kind.
    folder
        Folder with the encoder's files.
    config
        Content of its `encoder.json`; read if not given.

    Returns
    -------
    The encoder.

    Raises
    ------
    WeightsError
        No such kind, or its files are missing or damaged.
    """
    cls = encoder_class(kind)
    folder = Path(folder)
    if config is None:
        config = read_json_object(folder / "encoder.json", strict=True)
    with refusing(f"the encoder in {folder} cannot be built"):
        return cls.from_folder(folder, config)  # type: ignore[attr-defined]

"""Tensors and plain settings out of a file of `torch.save`, without running what its pickle asks for.

Such a file may hold whatever lay about when it was saved: tables of a training's history, paths, devices. What is
wanted of it are tensors, arrays, dicts and numbers. Those are rebuilt; objects of well-known data packages become inert
stand-ins; a request for anything else, and with it every way to run something, refuses the file.
"""

from __future__ import annotations

import collections
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._tensor_files import check_torch_zip
from .._untrusted import FOREIGN
from ..errors import WeightsError
from ._unpickle import Latin1

if TYPE_CHECKING:
    from pathlib import Path

# Objects of these packages may be in a file; they are not rebuilt.
_IGNORED = frozenset({"anndata", "datetime", "lightning", "pandas", "pathlib", "pytorch_lightning", "scvi", "torch"})


class Inert:
    """Stands where an object was that is not rebuilt."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Inert:
        return Inert()

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Take no notice."""

    def extend(self, values: Any) -> None:
        """Take no notice."""


# Called with a number, `bytes` and `ndarray` take as much memory as it says. Files that numpy and torch write call the
# first without anything, and hand the second over as a name.
class _Bytes:
    __slots__ = ()

    def __call__(self, value: bytes = b"") -> bytes:
        if not isinstance(value, bytes):
            raise pickle.UnpicklingError("bytes made of something else")
        return value


class _ArrayName:
    __slots__ = ()


class _EmptyArray:
    __slots__ = ()

    def __call__(self, kind: Any, shape: Any, code: Any) -> np.ndarray:
        if not isinstance(kind, _ArrayName) or shape != (0,):
            raise pickle.UnpicklingError("an array that is not begun as numpy begins one")
        return np.empty(0, dtype=np.int8)


def _known() -> dict[tuple[str, str], Any]:
    # numpy's own name for this is private and differs between versions; what it pickles with is what it reads.
    reconstruct, scalar = _EmptyArray(), np.float64(0).__reduce__()[0]
    known: dict[tuple[str, str], Any] = {
        ("_codecs", "encode"): Latin1(),
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("collections", "defaultdict"): collections.defaultdict,
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): _ArrayName(),
        ("torch", "Size"): torch.Size,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    }
    for package in ("numpy.core", "numpy._core"):
        known[f"{package}.multiarray", "_reconstruct"] = reconstruct
        known[f"{package}.multiarray", "scalar"] = scalar
    known["builtins", "bytes"] = known["__builtin__", "bytes"] = _Bytes()
    for plain in (dict, list, set, tuple, str, int, float, bool, complex, frozenset, slice):
        # Protocol 2, which torch writes, uses the older of the two names.
        known["builtins", plain.__name__] = known["__builtin__", plain.__name__] = plain
    return known


class _Unpickler(pickle.Unpickler):
    _KNOWN = _known()

    def find_class(self, module: str, name: str) -> Any:
        found = self._KNOWN.get((module, name))
        if found is not None:
            return found
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module.split(".")[0] in _IGNORED and "." not in name:
            return Inert
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _refuse_stretched(content: Any) -> None:
    """Refuse tensors that show one stored number many times: they take memory as soon as anything is done with them."""
    seen, left = set(), [content]
    while left:
        one = left.pop()
        if isinstance(one, torch.Tensor):
            if one.numel() * one.element_size() > one.untyped_storage().nbytes():
                raise ValueError(f"a tensor of shape {tuple(one.shape)} over fewer stored numbers")
        elif isinstance(one, dict | list | tuple | set) and id(one) not in seen:
            seen.add(id(one))
            left.extend(one.values() if isinstance(one, dict) else one)


# What torch asks of the module it is given in place of `pickle`; without `load`, its older formats are not read.
_READER = SimpleNamespace(Unpickler=_Unpickler, __name__="scbioverse-restricted")


def load_torch_file(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save` (the zip format since torch 1.6) that holds a dict: tensors on the CPU.

    Objects that are not data become :class:`Inert`. A file that asks for code is refused; nothing of it was run.
    """
    try:
        names = [name.rpartition("/")[2] for name in check_torch_zip(path)]
        if names.count("data.pkl") != 1 or "constants.pkl" in names:
            raise ValueError("it is no plain torch file")
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_READER)
        _refuse_stretched(content)
    except WeightsError:
        raise
    except FOREIGN as error:
        raise WeightsError(
            f"{path} is refused or damaged: {error}. Only files with tensors and plain settings are read, since any "
            "other can run code. Save the model anew with a current version of the package it comes from."
        ) from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds {type(content).__name__}, expected a dict.")
    return content

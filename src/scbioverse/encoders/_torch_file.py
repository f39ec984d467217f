"""Tensors and plain settings out of a file of `torch.save`, without running what its pickle asks for.

Such a file may hold whatever lay about when it was saved: tables of a training's history, paths, devices. What is
wanted of it are tensors, arrays, dicts and numbers. Those are rebuilt; objects of well-known data packages become inert
stand-ins; a request for anything else, and with it every way to run something, refuses the file.
"""

from __future__ import annotations

import collections
import pickle
import zipfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import WeightsError
from ._unpickle import _DAMAGE, _Latin1

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


def _known() -> dict[tuple[str, str], Any]:
    # numpy's own names for these two are private and differ between versions; what it pickles with is what it reads.
    reconstruct, scalar = np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    known: dict[tuple[str, str], Any] = {
        ("_codecs", "encode"): _Latin1(),
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("collections", "defaultdict"): collections.defaultdict,
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("torch", "Size"): torch.Size,
        ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
        ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    }
    for package in ("numpy.core", "numpy._core"):
        known[f"{package}.multiarray", "_reconstruct"] = reconstruct
        known[f"{package}.multiarray", "scalar"] = scalar
    for plain in (dict, list, set, tuple, str, int, float, bool, bytes, complex, frozenset, slice):
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


# What torch asks of the module it is given in place of `pickle`; without `load`, its older formats are not read.
_READER = SimpleNamespace(Unpickler=_Unpickler, __name__="scbioverse-restricted")


def load_torch_file(path: Path) -> dict[str, Any]:
    """Read a file of `torch.save` that holds a dict.

    Parameters
    ----------
    path
        The file, in the zip format that torch writes since 1.6.

    Returns
    -------
    The dict, tensors on the CPU; objects that are not data are :class:`Inert`.

    Raises
    ------
    WeightsError
        The file is missing, damaged, of another format, or asks for code. Nothing of it was run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
        if names.count("data.pkl") != 1 or "constants.pkl" in names:
            raise ValueError("it is no plain torch file")
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_READER)
    except (*_DAMAGE, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{path} is refused or damaged: {error}. Only files with tensors and plain settings are read, since any "
            "other can run code. Save the model anew with a current version of the package it comes from."
        ) from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds {type(content).__name__}, expected a dict.")
    return content

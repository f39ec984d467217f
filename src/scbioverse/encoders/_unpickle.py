"""Pickles that others published, read without running anything that they may ask for.

A pickle is a program. Of a table (:func:`load_table`) it may look up by name three stand-ins of our own, for numpy's
scalars and for bytes. A file of `torch.save` (:func:`load_torch_file`) may hold whatever lay about when it was saved:
tables of a training's history, paths, devices. What is wanted of it are tensors, arrays, dicts and numbers. Those are
rebuilt; objects of well-known data packages become inert stand-ins; a request for anything else, and with it every way
to run something, refuses the file.
"""

from __future__ import annotations

import collections
import io
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from .._tensor_files import check_torch_zip
from .._untrusted import parse_json, read_bytes, read_gzip, refusing
from ..errors import WeightsError

LARGEST_BYTES = 256 * 2**20
_NUMBERS = frozenset({"f2", "f4", "f8", "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})


# Stand-ins have no attributes, so that an instruction that sets attributes finds none to set.
class _DType:
    """Stands for `numpy.dtype`: a plain number's kind, size and byte order."""

    __slots__ = ("code",)

    def __init__(self, code: str, *_: object) -> None:
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"a value of numpy type {code!r}")
        self.code = code

    def __setstate__(self, state: Any) -> None:
        _, order, *fields = state[:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in fields):
            raise pickle.UnpicklingError("a number type with fields")
        self.code = order + self.code[-2:]


class _Scalar:
    """Stands for numpy's own constructor of scalars; gives a Python number."""

    __slots__ = ()

    def __call__(self, kind: _DType, data: bytes) -> Any:
        if not isinstance(kind, _DType) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("a numpy scalar of an unknown type")
        (value,) = np.frombuffer(data, kind.code).tolist()
        return value


class _Latin1:
    """Stands for `_codecs.encode`, through which old protocols write bytes."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes written as {encoding!r}")
        return str(text).encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "scalar"): _Scalar(),
    ("numpy._core.multiarray", "scalar"): _Scalar(),
    ("_codecs", "encode"): _Latin1(),
}


# The reader in Python: the one in C makes room for as many entries as the highest position in the file says.
class _PlainUnpickler(pickle._Unpickler):
    # The one instruction that takes as much memory as it says, whatever follows.
    dispatch = {key: read for key, read in pickle._Unpickler.dispatch.items() if key != pickle.BYTEARRAY8[0]}  # noqa: RUF012

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _STAND_INS[module, name]


def load_table(path: str | Path, *, max_bytes: int = LARGEST_BYTES) -> dict[str, Any]:
    """Read a flat table, a dict of names to numbers or strings, from a pickle or JSON file (`.gz` as well).

    Anything else, and a pickle that asks for code, is refused; nothing of it was run. Files, and contents of compressed
    ones, may have `max_bytes`.
    """
    path = Path(path).expanduser()
    content = read_gzip(path, most=max_bytes) if path.suffix == ".gz" else read_bytes(path, most=max_bytes)
    table = _unpickled(content, path) if path.suffix in (".pkl", ".pickle") else parse_json(content, path)
    if not isinstance(table, dict):
        raise WeightsError(f"{path} holds {type(table).__name__}, expected a dict of names.")
    for key, value in table.items():
        if type(key) is not str or type(value) not in (str, int, float):
            raise WeightsError(
                f"{path} is not a flat table of names to numbers or strings: it has an entry of type "
                f"{type(key).__name__} -> {type(value).__name__}."
            )
    return table


def _unpickled(content: bytes, path: Path) -> Any:
    stream = io.BytesIO(content)
    advice = (
        "Only pickles of plain dicts, lists, strings and numbers are read, since any other can run code. Fetch the "
        "official file, or save the table as JSON."
    )
    with refusing(f"{path} is refused", advice):
        found = _PlainUnpickler(stream).load()
        if rest := len(stream.read()):
            raise pickle.UnpicklingError(f"{rest} bytes follow its end")
    return found


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
        ("_codecs", "encode"): _Latin1(),
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
    advice = (
        "Only files with tensors and plain settings are read, since any other can run code. Save the model anew with a "
        "current version of the package it comes from."
    )
    with refusing(f"{path} is refused or damaged", advice):
        names = [name.rpartition("/")[2] for name in check_torch_zip(path)]
        if names.count("data.pkl") != 1 or "constants.pkl" in names:
            raise ValueError("it is no plain torch file")
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_READER)
        _refuse_stretched(content)
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds {type(content).__name__}, expected a dict.")
    return content

"""Tables that others published as pickles, read without running anything that a pickle may ask for.

A pickle is a program. What it may look up by name are three stand-ins of our own, for numpy's scalars and for bytes.
Nothing else can be called, so nothing else can happen.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from .._untrusted import FOREIGN, parse_json, read_bytes, read_gzip
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


class Latin1:
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
    ("_codecs", "encode"): Latin1(),
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
    try:
        found = _PlainUnpickler(stream).load()
        if rest := len(stream.read()):
            raise pickle.UnpicklingError(f"{rest} bytes follow its end")
    except FOREIGN as error:
        raise WeightsError(
            f"{path} is refused: {error}. Only pickles of plain dicts, lists, strings and numbers are read, since any "
            "other can run code. Fetch the official file, or save the table as JSON."
        ) from error
    return found

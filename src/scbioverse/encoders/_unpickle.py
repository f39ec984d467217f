"""Tables that others published as pickles, read without running anything that a pickle may ask for.

A pickle is a program. Two gates stand before it: every instruction is looked at first, and what it may look up by name
are two stand-ins of our own, for numpy's scalars. Nothing else can be called, so nothing else can happen.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._plain_files import FOREIGN, parse_json, read_bytes, read_gzip
from ..errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_BYTES = 256 * 2**20
_CONTAINERS = {"EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE"}
_CONTAINERS |= {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_STRINGS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "STRING"}
_STRINGS |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_NUMBERS |= {"NONE", "NEWTRUE", "NEWFALSE"}
_BOOKKEEPING = {"PROTO", "FRAME", "MARK", "POP", "POP_MARK", "DUP", "STOP", "MEMOIZE"}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
# How a numpy scalar is written. What they may reach is decided by `_PlainUnpickler.find_class`.
_SCALARS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"}
_ALLOWED = _CONTAINERS | _STRINGS | _NUMBERS | _BOOKKEEPING | _PUTS | _GETS | _SCALARS
_FORMATS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?"}
_FORMATS |= {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}


class _DType:
    """Stands for `numpy.dtype(code)`: a plain number's letter and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a number type with fields")
        self.order = ">" if order == ">" else "<"


# Instances without attributes, so that an instruction that sets attributes finds none to set.
class _MakeDType:
    __slots__ = ()

    def __call__(self, code: str, *_: object) -> _DType:
        if code not in _FORMATS:
            raise pickle.UnpicklingError(f"a value of numpy type {code!r}")
        return _DType(code)


class _MakeScalar:
    __slots__ = ()

    def __call__(self, kind: _DType, data: bytes) -> float:
        if not isinstance(kind, _DType) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("a numpy scalar of an unknown type")
        return struct.unpack(kind.order + _FORMATS[kind.code], data)[0]


class _Latin1:
    """Stands for `_codecs.encode`, through which old protocols write bytes."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes written as {encoding!r}")
        return str(text).encode("latin1")


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _MakeDType(),
    ("numpy.core.multiarray", "scalar"): _MakeScalar(),
    ("numpy._core.multiarray", "scalar"): _MakeScalar(),
    ("_codecs", "encode"): _Latin1(),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("refers to something outside of itself")


def load_table(path: str | Path, *, max_bytes: int = LARGEST_BYTES) -> dict[str, Any]:
    """Read a flat table, a dict of names to numbers or strings, from a pickle or JSON file.

    Parameters
    ----------
    path
        `*.pkl`, `*.pickle`, `*.json` or `*.json.gz`.
    max_bytes
        Largest file, and largest content of a compressed one, that is read.

    Returns
    -------
    The table; numpy scalars as Python numbers.

    Raises
    ------
    WeightsError
        The file is missing, too large, damaged, holds anything but such a table, or is a pickle that asks for code.
        Nothing of it was run.
    """
    path = Path(path).expanduser()
    content = read_gzip(path, most=max_bytes) if path.suffix == ".gz" else read_bytes(path, most=max_bytes)
    packed = path.suffix in (".pkl", ".pickle")
    table = loads_plain(content, name=str(path)) if packed else parse_json(content, path)
    if not isinstance(table, dict):
        raise WeightsError(f"{path} holds {type(table).__name__}, expected a dict of names.")
    for key, value in table.items():
        if type(key) is not str or type(value) not in (str, int, float):
            raise WeightsError(
                f"{path} is not a flat table of names to numbers or strings: it has an entry of type "
                f"{type(key).__name__} -> {type(value).__name__}."
            )
    return table


def loads_plain(content: bytes, *, name: str = "the pickle") -> Any:
    """Unpickle dicts, lists, tuples, strings and numbers, and refuse everything else.

    Parameters
    ----------
    content
        The pickle.
    name
        What to call it in messages.

    Raises
    ------
    WeightsError
        It asks for anything else, or is damaged. Nothing of it was run.
    """
    try:
        _inspect(content)
        return _PlainUnpickler(io.BytesIO(content)).load()
    except FOREIGN as error:
        raise WeightsError(
            f"{name} is refused: {error}. Only pickles of plain dicts, lists, strings and numbers are read, since any "
            "other can run code. Fetch the official file, or save the table as JSON."
        ) from error


def _inspect(content: bytes) -> None:
    """Refuse instructions that no plain table needs, and positions that would make the reader reserve memory."""
    n_stored = 0
    last = -1
    for n, (opcode, argument, position) in enumerate(pickletools.genops(content)):
        if opcode.name not in _ALLOWED:
            raise pickle.UnpicklingError(f"it uses the instruction {opcode.name}")
        if opcode.name == "GLOBAL" and tuple(str(argument).split(" ", 1)) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {str(argument).replace(' ', '.')}")
        if opcode.name in _PUTS:
            n_stored += 1
            # A reader makes room for as many entries as the highest position says.
            if not 0 <= int(str(argument)) <= 2 * n + 1024:
                raise pickle.UnpicklingError(f"it stores at position {argument} after {n} instructions")
        last = int(position or 0)
    if last != len(content) - 1:
        raise pickle.UnpicklingError(f"{len(content) - 1 - last} bytes follow its end")

"""Parse the header of a GGUF file: metadata and tensor table, checked against the file's length.

Not `gguf.GGUFReader`: that reader slices past the end of a truncated file without noticing, and takes
seconds over a 49,000-word vocabulary. Format: ggml/docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._plain_files import FOREIGN, check_plain
from ..errors import WeightsError

# Struct codes of the fixed-size metadata types: 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_VERSIONS = (2, 3)
# A vocabulary has a few hundred thousand words; lists of Python objects take ten times what they take in the file.
_MOST_ELEMENTS = 2**23
_MOST_DIMS = 4


class TensorInfo(NamedTuple):
    """Where one tensor lies in the file.

    Attributes
    ----------
    shape
        In torch's order, slowest dimension first.
    kind
        ggml type id.
    start, stop
        Bytes from the start of the file.
    """

    shape: tuple[int, ...]
    kind: int
    start: int
    stop: int


@dataclass(frozen=True)
class GGUFHeader:
    """Metadata and tensor table of a GGUF file, checked against the file's length."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture."""
        return str(self.metadata.get("general.architecture", "unknown"))


class _Cursor:
    """A position in the header's bytes. Reading past the end raises `EOFError`."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0
        self.elements = 0

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.at:
            raise EOFError(self.at + size)
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, codes: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{codes}", self.take(struct.calcsize(f"<{codes}")))

    def string(self) -> str:
        (length,) = self.unpack("Q")
        return str(self.take(length), "utf-8")

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.unpack(_SCALARS[kind])[0]
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ValueError(f"metadata of unknown type {kind}")
        element, count = self.unpack("IQ")
        self.elements += count
        if self.elements > _MOST_ELEMENTS:
            raise ValueError(f"metadata arrays of {self.elements:,} elements in all; {_MOST_ELEMENTS:,} are the most")
        if element == _STRING:
            return [self.string() for _ in range(count)]
        if element not in _SCALARS:
            raise ValueError(f"metadata array of unknown type {element}")
        width = struct.calcsize(f"<{_SCALARS[element]}")
        return list(struct.unpack(f"<{count}{_SCALARS[element]}", self.take(count * width)))


def read_header(path: Path) -> GGUFHeader:
    """Read a GGUF file's metadata and tensor table, and check that every tensor is inside the file.

    Raises
    ------
    WeightsError
        The file is absent, not GGUF, of an unknown version or type, or ends before its last tensor.
    """
    path = check_plain(Path(path))
    size = path.stat().st_size
    if size == 0:
        raise WeightsError(f"{path} is empty (0 bytes). Fetch the file again.")
    cursor = _Cursor(np.memmap(path, dtype=np.uint8, mode="r").data)
    try:
        return _parse_header(path, cursor, size)
    except EOFError as error:
        raise WeightsError(
            f"{path} is truncated: its header goes on to byte {error.args[0]:,} or further, the file has {size:,} "
            "bytes. Fetch the file again."
        ) from None
    except WeightsError:
        raise
    except FOREIGN as error:
        raise WeightsError(f"{path} cannot be read as GGUF ({error}). Fetch the file again.") from error


def _parse_header(path: Path, cursor: _Cursor, size: int) -> GGUFHeader:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    magic = bytes(cursor.take(4))
    if magic != b"GGUF":
        raise ValueError(f"it starts with {magic!r}, not b'GGUF'")
    version, n_tensors, n_fields = cursor.unpack("IQQ")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}; versions {_VERSIONS} in little-endian order are known")
    metadata = {}
    for _ in range(n_fields):
        key = cursor.string()
        if key in metadata:
            raise ValueError(f"the metadata name {key!r:.60} twice")
        metadata[key] = cursor.value(cursor.unpack("I")[0])
    table = []
    for _ in range(n_tensors):
        name = cursor.string()
        (n_dims,) = cursor.unpack("I")
        if n_dims > _MOST_DIMS:
            raise ValueError(f"tensor {name!r:.60} has {n_dims:,} dimensions; {_MOST_DIMS} are the most")
        dims = cursor.unpack(f"{n_dims}Q")
        table.append((name, dims[::-1], *cursor.unpack("IQ")))

    alignment = int(metadata.get("general.alignment", 32))
    if alignment < 1:
        raise ValueError(f"alignment {alignment}")
    data_start = math.ceil(cursor.at / alignment) * alignment
    tensors = {}
    for name, shape, kind, offset in table:
        block, width = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        start = data_start + offset
        if name in tensors or math.prod(shape) % block:
            raise ValueError(
                f"tensor {name!r:.60} stands there twice, or its shape {shape} does not fit blocks of {block}"
            )
        tensors[name] = TensorInfo(shape, kind, start, start + math.prod(shape) // block * width)
    needed = max((info.stop for info in tensors.values()), default=data_start)
    if needed > size:
        raise WeightsError(
            f"{path} is truncated: its tensors need {needed:,} bytes, the file has {size:,}. Fetch the file again."
        )
    placed = sorted(tensors.items(), key=lambda one: (one[1].start, one[1].stop))
    for (before, first), (name, second) in pairwise(placed):
        if second.start < first.stop:
            raise ValueError(f"tensors {before!r:.60} and {name!r:.60} overlap")
    return GGUFHeader(path, metadata, tensors)

"""Coordinates of texts that a model is often asked about, kept with it in one byte a number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TextTable:
    """Unit vectors of known texts.

    A language model of 135 M parameters takes minutes on a CPU to read the descriptions of the Cell Ontology's 3,300
    terms. Each number is kept as an integer from -127 to 127 of its row's largest: 0.9 MB for 3,300 texts and 256
    dimensions, and a cosine above 0.9999 with the vector it stands for. A text is known by a hash, so that one whose
    wording changed since is simply not found.

    Attributes
    ----------
    keys
        uint64 (n,), rising: the first 8 bytes of each text's BLAKE2b hash.
    codes
        int8 (n, dim).
    """

    keys: NDArray[np.uint64]
    codes: NDArray[np.int8]

    @classmethod
    def build(cls, texts: Sequence[str], coordinates: Float) -> TextTable:
        """Keep unit vectors (n, dim) of n texts; an :class:`InputError` where one occurs twice or there are none."""
        keys = _keys(texts)
        if not len(texts) or len(np.unique(keys)) != len(texts) or coordinates.shape[:1] != (len(texts),):
            raise InputError(f"need different texts and a row for each, found {len(texts)} and {coordinates.shape}.")
        largest = np.abs(coordinates).max(axis=1, keepdims=True).clip(min=1e-12)
        # Rising, so that a text is found by bisection.
        order = np.argsort(keys)
        return cls(keys[order], np.rint(coordinates / largest * 127).astype(np.int8)[order])

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Float]:
        """Return which texts are known, bool (n,), and the unit vectors of those, float32 (m, dim)."""
        wanted = _keys(texts)
        at = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        known = self.keys[at] == wanted
        # The factor of each row is lost; unit length brings it back.
        rows = self.codes[at[known]].astype(np.float32)
        return known, rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what a checkpoint must hold, by name; hashes as int64, which every tensor library knows."""
        return {"keys": self.keys.view(np.int64), "codes": self.codes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], dim: int) -> TextTable:
        """Rebuild from :meth:`arrays`; a :class:`ValueError` where they do not fit a space of `dim` dimensions."""
        keys, codes = arrays.get("keys"), arrays.get("codes")
        if keys is None or codes is None or keys.dtype != np.int64 or codes.dtype != np.int8:
            raise ValueError("a table of texts needs 'keys' (int64) and 'codes' (int8)")
        if keys.ndim != 1 or not len(keys) or codes.shape != (len(keys), dim):
            raise ValueError(f"a table of texts in {dim} dimensions has keys {keys.shape} and codes {codes.shape}")
        return cls(keys.view(np.uint64), codes.view(np.int8))


def _keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)

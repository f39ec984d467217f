"""Molecules of a reference, read once and kept small: a reference is asked again and again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from tqdm.auto import tqdm

from .._settings import settings
from ..pp._smiles import parse_smiles
from ..pp._text_column import cell_text

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

_BLOCK = 512  # fingerprints held at once before they are packed


class KnownMolecules(Sequence[Any]):
    """Molecules of a column of SMILES, with their Morgan fingerprints.

    Each is held as rdkit's own bytes, about a kilobyte, and made an rdkit molecule when it is asked for; None for those
    that cannot be read. Of fingerprints the bits are held.

    Parameters
    ----------
    smiles
        SMILES, `""` for rows without one.
    """

    def __init__(self, smiles: Sequence[str]) -> None:
        bar = tqdm(smiles, desc="read reference", unit=" molecule", disable=not settings.progress)
        self._bytes: list[bytes] = []
        self._canonical: list[str] = []
        for one in parse_smiles(bar):
            self._bytes.append(b"" if one.mol is None else one.mol.ToBinary())
            self._canonical.append(one.canonical)

    def __len__(self) -> int:
        return len(self._bytes)

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        from rdkit.Chem import Mol

        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        held = self._bytes[row]
        return Mol(held) if held else None  # type: ignore[call-overload]  # rdkit's stubs know no bytes

    def fingerprints(self) -> NDArray[np.float32]:
        """Bits of Morgan fingerprints with chirality, float32 (n, 2048); NaN for those that cannot be read."""
        out = np.unpackbits(self._bits, axis=1).astype(np.float32)
        out[[not one for one in self._canonical]] = np.nan
        return out

    @cached_property
    def _bits(self) -> NDArray[np.uint8]:
        from ..encoders import MorganEncoder

        encoder = MorganEncoder(chirality=True)
        bits = np.zeros((len(self), encoder.dim // 8), dtype=np.uint8)
        known = np.flatnonzero([bool(one) for one in self._canonical])
        starts = range(0, known.size, _BLOCK)
        for start in tqdm(starts, desc="fingerprints of reference", disable=not settings.progress):
            rows = known[start : start + _BLOCK]
            found = encoder.embed_texts([self._canonical[row] for row in rows])
            bits[rows] = np.packbits(found.astype(bool), axis=1)
        return bits


def known_molecules(reference: AnnData, column: str) -> KnownMolecules:
    """Molecules of `reference.obs[column]`; those of the last reference are kept."""
    return _known(tuple(cell_text(one).strip() for one in reference.obs[column].astype(object)))


@lru_cache(maxsize=1)
def _known(smiles: tuple[str, ...]) -> KnownMolecules:
    return KnownMolecules(smiles)

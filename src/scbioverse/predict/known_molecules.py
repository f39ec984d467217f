"""Molecules of a reference, read once and kept small, and those that stand in a simple relation to another.

A reference is asked again and again. Relations are found by structure, so that what is said is true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from .._settings import settings
from ..pp._molecule_properties import neutral_smiles, related
from ..pp._smiles import parse_smiles
from ..pp._text_column import cell_text

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

_BLOCK = 512  # fingerprints held at once before they are packed


class KnownMolecules(Sequence[Any]):
    """Molecules of a column of SMILES, with their Morgan fingerprints.

    Each is held as rdkit's own bytes, about a kilobyte, and made an rdkit molecule when it is asked for; None for those
    that cannot be read. Of fingerprints the bits are held. `smiles` are `""` for rows without one.
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

    def __getitem__(self, row: Any) -> Any:
        from rdkit.Chem import Mol

        held = self._bytes[row]
        return Mol(held) if held else None

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
        known = np.flatnonzero(list(map(bool, self._canonical)))
        starts = range(0, known.size, _BLOCK)
        for start in tqdm(starts, desc="fingerprints of reference", disable=not settings.progress):
            rows = known[start : start + _BLOCK]
            found = encoder.embed_texts([self._canonical[row] for row in rows])
            bits[rows] = np.packbits(found.astype(bool), axis=1)
        return bits


def known_molecules(reference: AnnData, column: str) -> KnownMolecules:
    """Molecules of `reference.obs[column]`; those of the last reference are kept."""
    return _known(tuple(cell_text(one).strip() for one in reference.obs[column].astype(object)))


_known = lru_cache(maxsize=1)(KnownMolecules)


# Parts that are said of hardly any molecule that holds them: of 4,630 pairs in the training captions these were named
# as what a molecule derives from in less than one of thirty. (Polymers stand for their unit in ChEBI.)
_COMMON = frozenset(
    {
        *("phosphoric acid", "water", "acetic acid", "diphosphoric acid", "adenosine", "(1->3)-beta-D-glucan"),
        *("3'-AMP", "diacylglycerol 35:0", "cysteamine", "beta-D-galactose", "coenzyme A", "primary alcohol"),
        *("chitosan", "sulfuric acid", "alpha-D-mannoside", "(1->4)-alpha-D-glucan", "ethanolamine", "chitin"),
        *("dihydrogenphosphate", "beta-D-glucuronic acid", "alpha-L-fucose", "(1->4)-beta-D-mannan", "ammonia"),
        *("O-phosphoethanolamine", "methanol", "glycerol", "pantetheine", "D-pantetheine"),
    }
)
ACID, BASE, MIRROR, TAUTOMER = "conjugate acid", "conjugate base", "enantiomer", "tautomer"


@dataclass(frozen=True)
class Relatives:
    """Names of known molecules related to one."""

    # "conjugate acid": what it is the conjugate acid of; so "conjugate base", "enantiomer", "tautomer".
    ions: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)  # what water makes of it: canonical SMILES to name
    parents: dict[str, str] = field(default_factory=dict)  # what it is a derivative of by one group, likewise

    def telling(self) -> dict[str, str]:
        """Parts and parents but for those that are in many molecules, canonical SMILES to name."""
        return {smiles: name for smiles, name in (self.parts | self.parents).items() if name not in _COMMON}


class NamedMolecules:
    """Known molecules of rdkit, None for those that cannot be read, by their structure; and names, `""` for none."""

    def __init__(self, molecules: Sequence[Any], names: Sequence[str]) -> None:
        from rdkit import Chem

        self._name: dict[str, str] = {}
        self._forms: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
        for mol, name in zip(molecules, names, strict=True):
            if mol is None or not name:
                continue
            smiles = str(Chem.MolToSmiles(mol))
            if smiles not in self._name:
                self._name[smiles] = name
                self._forms[neutral_smiles(mol, smiles)].append((smiles, Chem.GetFormalCharge(mol), name))

    def of(self, mol: Any) -> Relatives:
        """Known relatives of an rdkit molecule; it is none of its own."""
        from rdkit import Chem

        smiles, charge, found = str(Chem.MolToSmiles(mol)), int(Chem.GetFormalCharge(mol)), related(mol)
        ions: dict[str, str] = {}
        others = [one for one in self._forms.get(found.neutral, []) if one[0] != smiles]
        # The nearest in charge; of an ion, the form without charge before any other.
        for _, theirs, name in sorted(others, key=lambda one: (one[0] != found.neutral, abs(one[1] - charge))):
            kind = BASE if theirs > charge else ACID if theirs < charge else TAUTOMER
            ions.setdefault(kind, name)
        if found.enantiomer:
            mirrored = Chem.Mol(mol)
            for atom in mirrored.GetAtoms():
                atom.InvertChirality()
            name = self._name.get(str(Chem.MolToSmiles(mirrored)), "")
            if name:
                ions[MIRROR] = name
        parts, parents = (
            {one: self._name[one] for one in some if one in self._name and one != smiles}
            for some in (found.parts, found.parents)
        )
        return Relatives(ions, parts, parents)

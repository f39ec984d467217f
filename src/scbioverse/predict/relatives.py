"""Known molecules that stand in a simple relation to another: found by structure, so that what is said is true."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..pp._related_structures import neutral_smiles, related

if TYPE_CHECKING:
    from collections.abc import Sequence

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

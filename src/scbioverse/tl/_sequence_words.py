"""Properties of molecules and proteins, and the words that name them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Property:
    """A property that can be computed.

    Attributes
    ----------
    name
        As :meth:`scbioverse.tl._asked_sequences.AskedSequences.values` calls it.
    said
        As an answer calls it.
    unit
        Unit, `""` for counts.
    decimals
        Digits behind the point.
    words
        Pattern of the words that name it.
    high, low
        Superlatives that name it together with a direction.
    """

    name: str
    said: str
    unit: str
    decimals: int
    words: str
    high: str = ""
    low: str = ""

    @property
    def counted(self) -> bool:
        """Whether it is a number of things: rings, atoms, donors."""
        return not self.unit and not self.name.startswith(("formula", "logp", "charge", "obs:", "text:"))

    def number(self, n: float) -> str:
        """Name what is counted, in the singular for one."""
        if n != 1:
            return self.said
        return re.sub(r"s(?= and |$)", "", self.said)

    @property
    def text(self) -> bool:
        """Whether its values are texts."""
        return self.name.startswith(("formula", "text:"))

    @property
    def computed(self) -> bool:
        """Whether it follows from the structure and is not read from a column."""
        return not self.name.startswith(("obs:", "text:"))

    def shown(self, value: float) -> str:
        """Write a value with its unit."""
        if self.unit == "%":
            return f"{100 * value:.1f} %"
        if self.name.startswith("obs:"):
            return f"{value:.4g}"
        sign = "+" if self.name == "charge" and value > 0 else ""
        return f"{sign}{value:.{self.decimals}f} {self.unit}".strip()


FORMULA = Property("formula", "formula", "", 0, r"(?:molecular |chemical |empirical )?formulae?s?")
_BOND = r"(?:hydrogen[- ]bond(?:ing)? |h[- ]?bond(?:ing)? |hydrogen )?"
MOLECULE = (
    FORMULA,
    Property("heavy_atoms", "heavy atoms", "", 0, r"heavy atoms?|non-hydrogen atoms?"),
    Property("aromatic_rings", "aromatic rings", "", 0, r"aromatic rings?|aromatic"),
    Property("rings", "rings", "", 0, r"rings?|cyclic"),
    Property("rotatable_bonds", "rotatable bonds", "", 0, r"rotatable bonds?|rotors?", r"most flexible", r"most rigid"),
    Property("stereocentres", "stereocentres", "", 0,
             r"stereo(?:genic )?-?cent(?:re|er)s?|chiral cent(?:re|er)s?|chiral"),
    Property("donors", "hydrogen-bond donors", "", 0, _BOND + r"donors?|hbds?"),
    Property("acceptors", "hydrogen-bond acceptors", "", 0, _BOND + r"acceptors?|hbas?"),
    Property("tpsa", "topological polar surface area", "Å²", 1, r"t?psa|(?:topological )?polar surface(?: area)?s?",
             r"most polar", r"least polar"),
    Property("logp", "Crippen logP", "", 2, r"c?log ?-?p|lipophilic(?:ity)?|hydrophobic(?:ity)?",
             r"greasiest|most lipophilic|most hydrophobic", r"most hydrophilic|least lipophilic|least hydrophobic"),
    Property("charge", "formal charge", "", 0, r"(?:net |formal )?charges?"),
    Property("weight", "molecular weight", "g/mol", 2,
             r"(?:molecular |molar )?(?:weights?|mass(?:es)?)|mol\.? ?wt|mw|heav(?:y|ier)|light(?:er)?",
             r"heaviest|largest|biggest", r"lightest|smallest"),
)  # fmt: skip
PROTEIN = (
    Property("mass", "mass", "kDa", 2, r"(?:molecular |molar )?(?:weights?|mass(?:es)?)|mw|heav(?:y|ier)|light(?:er)?",
             r"heaviest", r"lightest"),
    Property("length", "length", "residues", 0,
             r"(?:sequence )?lengths?|long(?:er)?|short(?:er)?|number of (?:residues|amino acids)|residues|amino acids",
             r"longest|largest|biggest", r"shortest|smallest"),
)  # fmt: skip
ELEMENTS = {
    "hydrogen": "H", "lithium": "Li", "boron": "B", "carbon": "C", "nitrogen": "N", "oxygen": "O", "fluorine": "F",
    "sodium": "Na", "magnesium": "Mg", "aluminium": "Al", "silicon": "Si", "phosphorus": "P", "sulfur": "S",
    "sulphur": "S", "chlorine": "Cl", "potassium": "K", "calcium": "Ca", "chromium": "Cr", "manganese": "Mn",
    "iron": "Fe", "cobalt": "Co", "nickel": "Ni", "copper": "Cu", "zinc": "Zn", "gallium": "Ga", "arsenic": "As",
    "selenium": "Se", "bromine": "Br", "ruthenium": "Ru", "palladium": "Pd", "silver": "Ag", "tin": "Sn",
    "iodine": "I", "halogen": "F+Cl+Br+I", "gadolinium": "Gd", "platinum": "Pt", "gold": "Au", "mercury": "Hg",
    "bismuth": "Bi",
}  # fmt: skip
AMINO_ACIDS = {
    "alanine": "A", "arginine": "R", "asparagine": "N", "aspartate": "D", "aspartic acid": "D", "cysteine": "C",
    "glutamine": "Q", "glutamate": "E", "glutamic acid": "E", "glycine": "G", "histidine": "H", "isoleucine": "I",
    "leucine": "L", "lysine": "K", "methionine": "M", "phenylalanine": "F", "proline": "P", "serine": "S",
    "threonine": "T", "tryptophan": "W", "tyrosine": "Y", "valine": "V", "selenocysteine": "U",
}  # fmt: skip


def _parts() -> dict[str, tuple[Property, ...]]:
    """Elements of a molecule, amino acids of a protein."""
    elements = [
        Property(
            f"element:{symbol}", f"{name} atoms", "", 0,
            rf"{name}s?(?: atoms?)?|halogenated" if "+" in symbol else rf"{name}(?: atoms?|s)?|(?-i:{symbol}) atoms?",
        )
        for name, symbol in ELEMENTS.items()
    ]  # fmt: skip
    elements += [Property(f"element:{one}", f"{one} atoms", "", 0, f"(?-i:{one})") for one in ("Cl", "Br", "Na", "Pt")]
    acids = [
        Property(f"residue:{letter}", f"{name} residues", "", 0, rf"{name}s?(?: residues?)?")
        for name, letter in AMINO_ACIDS.items()
    ]
    return {"molecule": tuple(elements), "protein": tuple(acids)}


PARTS = _parts()


def share_of(residues: Property) -> Property:
    """Turn the number of an amino acid's residues into their share."""
    said = residues.said.removesuffix(" residues")
    return replace(residues, name=residues.name.replace("residue:", "share:"), said=f"share of {said}", unit="%")

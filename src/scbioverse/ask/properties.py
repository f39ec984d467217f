"""What molecules and proteins have that is computed from SMILES or sequences, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..pp._functional_groups import GROUPS

_HB = ("hydrogen bond", "h bond", "hydrogen", "hydrogen bonding", "hbond")


@dataclass(frozen=True)
class Property:
    """A property that can be computed.

    Attributes
    ----------
    field
        As :class:`scbioverse.ask.Where` calls it.
    said
        As an answer calls it.
    unit
        Unit, `""` for counts.
    decimals
        Digits behind the point.
    words
        Phrases that name it.
    more, less
        Words that compare by it: "heavier", "lighter"; `most` and `least` those that name an extreme.
    counted
        Whether it is a number of things, of which a row has none or some.
    """

    field: str
    said: str
    unit: str
    decimals: int
    words: tuple[str, ...]
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    most: tuple[str, ...] = ()
    least: tuple[str, ...] = ()
    counted: bool = False


_WEIGHT = ("molecular weight", "weight", "molecular mass", "mass", "molar mass", "mw", "mol weight", "molecular wt")
MOLECULE = (
    Property("property:weight", "molecular weight", "g/mol", 2, (*_WEIGHT, "weigh", "weighs", "weighing"),
             ("heavier", "larger", "bigger"), ("lighter", "smaller"), ("heaviest", "largest", "biggest"),
             ("lightest", "smallest")),
    Property("property:logp", "Crippen logP", "", 2, ("logp", "log p", "clogp", "lipophilicity", "hydrophobicity"),
             ("more lipophilic", "more hydrophobic", "greasier"), ("more hydrophilic", "less lipophilic"),
             ("most lipophilic", "most hydrophobic", "greasiest"), ("least lipophilic", "most hydrophilic")),
    Property("property:tpsa", "topological polar surface area", "Å²", 1,
             ("tpsa", "psa", "polar surface area", "topological polar surface area"),
             ("more polar",), ("less polar",), ("most polar",), ("least polar",)),
    Property("property:formula", "formula", "", 0, ("formula", "molecular formula", "chemical formula", "sum formula")),
    Property("property:charge", "formal charge", "", 0, ("charge", "formal charge", "net charge")),
    Property("property:donors", "hydrogen-bond donors", "", 0,
             (*(f"{one} donor" for one in _HB), "hbd", "donor"), counted=True),
    Property("property:acceptors", "hydrogen-bond acceptors", "", 0,
             (*(f"{one} acceptor" for one in _HB), "hba", "acceptor"), counted=True),
    Property("property:rings", "rings", "", 0, ("ring",), counted=True),
    Property("property:aromatic_rings", "aromatic rings", "", 0, ("aromatic ring",), counted=True),
    Property("property:rotatable_bonds", "rotatable bonds", "", 0, ("rotatable bond", "rotor"),
             ("more flexible",), ("more rigid",), ("most flexible",), ("most rigid", "least flexible"), counted=True),
    Property("property:heavy_atoms", "heavy atoms", "", 0, ("heavy atom", "non hydrogen atom"), counted=True),
    Property("property:exact_mass", "exact mass", "Da", 4,
             ("exact mass", "monoisotopic mass", "exact molecular weight", "accurate mass")),
    Property("property:qed", "drug-likeness (QED)", "", 2,
             ("qed", "drug likeness", "druglikeness", "quantitative estimate of drug likeness"),
             ("more drug like",), ("less drug like",), ("most drug like",), ("least drug like",)),
    Property("property:isotopes", "atoms with a mass number", "", 0, ("isotope", "isotopic label"), counted=True),
    Property("property:radical_electrons", "unpaired electrons", "", 0,
             ("unpaired electron", "radical electron"), counted=True),
    Property("property:stereocentres", "stereocentres", "", 0,
             ("stereocentre", "stereocenter", "chiral centre", "chiral center", "stereogenic centre"),
             counted=True),
)  # fmt: skip
PROTEIN = (
    Property("property:mass", "mass", "kDa", 2, (*_WEIGHT, "weigh"), ("heavier",), ("lighter",), ("heaviest",),
             ("lightest",)),
    Property("property:length", "length", "residues", 0,
             ("length", "sequence length", "residue", "amino acid", "aa", "number of residues"),
             ("longer", "larger", "bigger"), ("shorter", "smaller"), ("longest", "largest", "biggest"),
             ("shortest", "smallest")),
    Property("property:pi", "isoelectric point", "", 2, ("isoelectric point", "pi", "isoelectric ph"),
             ("more basic",), ("more acidic",), ("most basic",), ("most acidic",)),
)  # fmt: skip
ELEMENTS = {
    "hydrogen": "H", "lithium": "Li", "boron": "B", "carbon": "C", "nitrogen": "N", "oxygen": "O", "fluorine": "F",
    "sodium": "Na", "magnesium": "Mg", "aluminium": "Al", "silicon": "Si", "phosphorus": "P", "sulfur": "S",
    "sulphur": "S", "chlorine": "Cl", "potassium": "K", "calcium": "Ca", "iron": "Fe", "cobalt": "Co", "copper": "Cu",
    "zinc": "Zn", "gallium": "Ga", "arsenic": "As", "selenium": "Se", "bromine": "Br", "silver": "Ag", "tin": "Sn",
    "iodine": "I", "halogen": "F+Cl+Br+I", "gadolinium": "Gd", "platinum": "Pt", "gold": "Au", "mercury": "Hg",
}  # fmt: skip
AMINO_ACIDS = {
    "alanine": "A", "arginine": "R", "asparagine": "N", "aspartate": "D", "aspartic acid": "D", "cysteine": "C",
    "glutamine": "Q", "glutamate": "E", "glutamic acid": "E", "glycine": "G", "histidine": "H", "isoleucine": "I",
    "leucine": "L", "lysine": "K", "methionine": "M", "phenylalanine": "F", "proline": "P", "serine": "S",
    "threonine": "T", "tryptophan": "W", "tyrosine": "Y", "valine": "V", "selenocysteine": "U",
}  # fmt: skip
# Adjectives: field, sign and number.
ADJECTIVES: dict[str, tuple[str, Any, float]] = {
    "aromatic": ("property:aromatic_rings", ">", 0), "cyclic": ("property:rings", ">", 0),
    "acyclic": ("property:rings", "=", 0), "chiral": ("property:stereocentres", ">", 0),
    "achiral": ("property:stereocentres", "=", 0), "charged": ("property:charge", "!=", 0),
    "ionic": ("property:charge", "!=", 0), "neutral": ("property:charge", "=", 0),
    "uncharged": ("property:charge", "=", 0), "positively charged": ("property:charge", ">", 0),
    "negatively charged": ("property:charge", "<", 0), "cationic": ("property:charge", ">", 0),
    "anionic": ("property:charge", "<", 0), "halogenated": ("element:F+Cl+Br+I", ">", 0),
    "negative logp": ("property:logp", "<", 0), "positive logp": ("property:logp", ">", 0),
}  # fmt: skip


def parts(modality: str) -> list[Property]:
    """Elements and functional groups of molecules, amino acids of proteins."""
    if modality == "protein":
        return [
            Property(f"residue:{letter}", f"{name} residues", "", 0, (name, f"{name} residue"), counted=True)
            for name, letter in AMINO_ACIDS.items()
        ] + [
            Property(f"share:{letter}", f"share of {name}", "%", 1, (f"{name} content", f"{name} share"))
            for name, letter in AMINO_ACIDS.items()
        ]
    found = [
        Property(f"element:{symbol}", f"{name} atoms", "", 0, (name, f"{name} atom"), counted=True)
        for name, symbol in ELEMENTS.items()
    ]
    return found + [
        Property(f"group:{names[0]}", f"{names[0]}s", "", 0, names, counted=True) for names in GROUPS.values()
    ]

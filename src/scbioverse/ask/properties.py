"""What molecules and proteins have that is computed from SMILES or sequences, and the words for it, from `data/`."""

from __future__ import annotations

import dataclasses
from functools import cache

from ..pp._molecule_properties import GROUPS
from .query import Where
from .words import lines_of

# Noble gases are part of no molecule, and a lead compound need not hold lead.
_NO_PARTS = frozenset([2, 10, 18, 36, 54, 82])
_ENDS = (("MOREM", "most"), ("MOREM", "least"), ("TOPM", "most"), ("TOPM", "least"))


@dataclasses.dataclass(frozen=True)
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
    compared
        Words that compare by it: of `("MOREM", "most")` "heavier", of `("MOREM", "least")` "lighter", of
        `("TOPM", "most")` and `("TOPM", "least")` those of the extremes.
    counted
        Whether it is a number of things, of which a row has none or some.
    """

    field: str
    said: str
    unit: str
    decimals: int
    words: tuple[str, ...]
    compared: dict[tuple[str, str], list[str]] = dataclasses.field(default_factory=dict)
    counted: bool = False


@cache
def _table(file: str) -> list[list[str]]:
    """Rows of a table in `data/` without its header."""
    return [line.split("\t") for line in lines_of(file)][1:]


@cache
def symbols(kind: str) -> dict[str, str]:
    """Return what names of one kind stand for: symbols of elements (rdkit's), one letter and three of amino acids."""
    named = {name: means for of, names, means in _table("parts.tsv") if of == kind for name in names.split("|")}
    if kind != "molecule element":
        return named
    from rdkit.Chem import GetPeriodicTable

    table, numbers = GetPeriodicTable(), [n for n in range(1, 84) if n not in _NO_PARTS]
    return {table.GetElementName(n).lower(): table.GetElementSymbol(n) for n in numbers} | named


@cache
def adjectives(modality: str) -> dict[str, Where]:
    """Return the conditions that adjectives of molecules stand for: "aromatic", "neutral"."""
    found = [(name, *means.split(" ")) for name, means in symbols(f"{modality} adjective").items()]
    return {
        name: Where.model_validate({"op": sign, "field": field, "values": (float(number),), "said": name})
        for name, field, sign, number in found
    }


@cache
def properties(modality: str) -> tuple[Property, ...]:
    """Return all that can be computed of a molecule or a protein; of cells nothing."""
    found = []
    for of, field, said, unit, decimals, counted, words, *ends in _table("properties.tsv"):
        if of == modality:
            compared = {key: one.split("|") for key, one in zip(_ENDS, ends, strict=True) if one}
            found.append(Property(field, said, unit, int(decimals), tuple(words.split("|")), compared, bool(counted)))
    for name, means in symbols(f"{modality} residue").items():
        letter, residues, share = means[0], (name, f"{name} residue"), (f"{name} content", f"{name} share")
        found.append(Property(f"residue:{letter}", f"{name} residues", "", 0, residues, counted=True))
        found.append(Property(f"share:{letter}", f"share of {name}", "%", 1, share))
    for name, symbol in symbols(f"{modality} element").items():
        found.append(Property(f"element:{symbol}", f"{name} atoms", "", 0, (name, f"{name} atom"), counted=True))
    if modality == "molecule":
        found += [Property(f"group:{one[0]}", f"{one[0]}s", "", 0, one, counted=True) for one in GROUPS.values()]
    return tuple(found)

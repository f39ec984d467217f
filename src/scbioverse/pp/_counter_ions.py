"""Which parts of a SMILES are the substance, and which are there to make a salt or a crystal of it."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

# Uncharged, without configuration; matched after charges were taken away. Lithium, magnesium and the like are
# counter-ions beside a drug, and the drug where nothing else is there.
_IONS = (
    *("[Li+]", "[Na+]", "[K+]", "[Rb+]", "[Cs+]", "[Mg+2]", "[Ca+2]", "[Sr+2]", "[Ba+2]", "[H+]"),
    *("[Li]", "[Na]", "[K]", "[Mg]", "[Ca]", "[LiH]", "[NaH]", "[KH]", "[MgH2]", "[CaH2]"),
    *("F", "Cl", "Br", "I", "N", "O", "[OH-]"),  # hydrohalic acids, ammonia and water, charged or not
    "OS(=O)(=O)O", "OS(=O)O", "O[N+](=O)[O-]", "ON=O", "OP(=O)(O)O", "OC(=O)O", "OB(O)O", "NS(=O)(=O)O", "SC#N",
    "OCl(=O)(=O)=O", "[O-][Cl+3]([O-])([O-])O", "F[P-](F)(F)(F)(F)F", "F[B-](F)(F)F", "I[I-]I",
)  # fmt: skip
_SOLVENTS = (
    *("CO", "CCO", "CCCO", "CC(C)O", "CCCCO", "CC(O)CO", "CC(C)=O", "CC#N", "CS(C)=O", "CN(C)C=O", "CC(=O)N(C)C"),
    *("C1CCOC1", "C1COCCO1", "CCOCC", "COC(C)(C)C", "CCOC(C)=O", "ClCCl", "ClC(Cl)Cl", "Cc1ccccc1", "c1ccccc1"),
    *("CCCCCC", "CCCCCCC"),
)
_ACIDS = (
    # formic to propionic, trifluoroacetic, glycolic, lactic, oxalic to adipic, fumaric and maleic, malic, tartaric,
    # citric
    *("OC=O", "CC(=O)O", "CCC(=O)O", "OC(=O)C(F)(F)F", "OCC(=O)O", "CC(O)C(=O)O", "OC(=O)C(=O)O", "OC(=O)CC(=O)O"),
    *("OC(=O)CCC(=O)O", "OC(=O)CCCC(=O)O", "OC(=O)CCCCC(=O)O", "OC(=O)C=CC(=O)O", "OC(=O)CC(O)C(=O)O"),
    *("OC(=O)C(O)C(O)C(=O)O", "OC(=O)CC(O)(CC(=O)O)C(=O)O"),
    # gluconic, gluceptic, lactobionic, glucaric and mucic
    *("OCC(O)C(O)C(O)C(O)C(=O)O", "OCC(O)C(O)C(O)C(O)C(O)C(=O)O", "OC(=O)C(O)C(O)C(O)C(O)C(=O)O"),
    "OCC1OC(OC(C(O)CO)C(O)C(O)C(=O)O)C(O)C(O)C1O",
    # benzoic, pamoic, xinafoic and its isomer, hippuric, stearic
    *("OC(=O)c1ccccc1", "OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O", "OC(=O)c1ccc2ccccc2c1O"),
    *("OC(=O)c1cc2ccccc2cc1O", "OC(=O)CNC(=O)c1ccccc1", "CCCCCCCCCCCCCCCCCC(=O)O"),
    # mesylic, esylic, triflic, isethionic, edisylic, besylic, tosylic, napsylic, napadisylic, camsylic, monomethyl and
    # lauryl sulfate
    *("CS(=O)(=O)O", "CCS(=O)(=O)O", "OS(=O)(=O)C(F)(F)F", "OCCS(=O)(=O)O", "OS(=O)(=O)CCS(=O)(=O)O"),
    *("OS(=O)(=O)c1ccccc1", "Cc1ccc(S(=O)(=O)O)cc1", "OS(=O)(=O)c1ccc2ccccc2c1"),
    *("OS(=O)(=O)c1cccc2c(S(=O)(=O)O)cccc12", "CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2", "COS(=O)(=O)O"),
    "CCCCCCCCCCCCOS(=O)(=O)O",
)
_BASES = (
    # meglumine, tromethamine, ethanolamines, alkylamines, ethylenediamine, benzathine, epolamine, quaternary ammonium
    *("CNCC(O)C(O)C(O)C(O)CO", "NC(CO)(CO)CO", "NCCO", "OCCNCCO", "OCCN(CCO)CCO", "CNC", "CCNCC", "CCN(CC)CC"),
    *("CC(C)(C)N", "NCCN", "c1ccc(CNCCNCc2ccccc2)cc1", "C1CCC(NC2CCCCC2)CC1", "OCCN1CCCC1", "C[N+](C)(C)C"),
    "CCCC[N+](CCCC)(CCCC)CCCC",
)
_ALKALI = frozenset([3, 11, 19, 37, 55, 87, 12, 20, 38, 56, 88])
_NO_METAL = frozenset(
    [*range(1, 3), *range(5, 11), *range(14, 19), *range(32, 37), 52, 53, 54, 85, 86, 0]  # 0: a wildcard
)


class Split(NamedTuple):
    """What is kept of several parts, and what is not."""

    kept: list[Any]
    left_out: list[Any]
    mixture: bool  # whether something else than counter-ions, solvents and copies of what is kept is left out


def split_parts(parts: tuple[Any, ...]) -> Split:
    """Leave counter-ions and solvents out of the parts of a SMILES.

    A metal other than an alkali or alkaline earth metal binds its partners, whatever bonds the SMILES shows: such a
    complex stays whole, but for alkali and alkaline earth ions beside it. Where all parts are counter-ions (sodium
    acetate, lithium carbonate) they are the substance and stay. Of several substances the largest stays, see
    :func:`largest`; equal ones stay once. `parts` are two or more rdkit molecules.
    """
    if any(atom.GetAtomicNum() not in _NO_METAL | _ALKALI for part in parts for atom in part.GetAtoms()):
        out = [part for part in parts if _is_alkali(part)]
        kept = [part for part in parts if not _is_alkali(part)]
        return Split(kept, out, False)
    known, most = _known()
    others = [part for part in parts if part.GetNumHeavyAtoms() > most or _plain(part) not in known]
    if not others and len({_plain(part) for part in parts}) > 1:
        return Split(list(parts), [], False)
    others = others or list(parts)
    best = largest(others)
    same = _plain(best)
    return Split([best], [part for part in parts if part is not best], any(_plain(one) != same for one in others))


def largest(parts: list[Any] | tuple[Any, ...]) -> Any:
    """Return one part: with carbon before one without, then that with most heavy atoms, then the heavier one."""
    return max(parts, key=_rank)


def _rank(part: Any) -> tuple[bool, int, float, str]:
    from rdkit import Chem
    from rdkit.Chem.Descriptors import MolWt  # type: ignore[attr-defined]

    carbon = any(atom.GetAtomicNum() == 6 for atom in part.GetAtoms())
    # The SMILES last: what is left is decided by neither the order in the text nor by chance.
    return carbon, part.GetNumHeavyAtoms(), MolWt(part), Chem.MolToSmiles(part)


def _is_alkali(part: Any) -> bool:
    return part.GetNumAtoms() == 1 and part.GetAtomWithIdx(0).GetAtomicNum() in _ALKALI


@cache
def _known() -> tuple[frozenset[str], int]:
    """Counter-ions and solvents in the form of :func:`_plain`, and the heavy atoms of the largest."""
    from rdkit import Chem

    mols = [Chem.MolFromSmiles(one) for one in (*_IONS, *_SOLVENTS, *_ACIDS, *_BASES)]
    return frozenset(map(_plain, mols)), max(one.GetNumHeavyAtoms() for one in mols)


def _plain(part: Any) -> str:
    """Canonical SMILES without charges and configurations."""
    from rdkit import Chem

    return str(Chem.MolToSmiles(uncharger().uncharge(part), isomericSmiles=False))


@cache
def uncharger() -> Any:
    """Return rdkit's, which takes charges away by adding and taking protons."""
    from rdkit.Chem.MolStandardize import rdMolStandardize

    return rdMolStandardize.Uncharger()

"""SMILES to one molecule, in one form, and which of its parts are there to make a salt or a crystal of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, reduce
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from .._lazy import import_optional
from .._logging import first_line
from ..errors import check_choice

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
        kept = [part for part in parts if not _is_alkali(part)]
        return Split(kept, [part for part in parts if _is_alkali(part)], False)
    known, most = _known()
    others = [part for part in parts if part.GetNumHeavyAtoms() > most or _plain(part) not in known]
    if not others and len(set(map(_plain, parts))) > 1:
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

    mols = list(map(Chem.MolFromSmiles, (*_IONS, *_SOLVENTS, *_ACIDS, *_BASES)))
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


Salts: TypeAlias = Literal["strip", "largest", "keep"]
Charges: TypeAlias = Literal["keep", "neutralise"]
# Changes whenever the same SMILES may come out otherwise: part of every molecule encoder's fingerprint.
SMILES_VERSION = "smiles-v1"
# rdkit walks along bonds by recursion: from about 20,000 atoms in a chain the process dies. Ring finding takes
# minutes for thousands of rings. The largest among 64,000 structures of ChEBI, ChEMBL and DrugCentral has 1,598
# characters and 69 rings.
MOST_CHARACTERS = 5000
MOST_RINGS = 400

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_RING_MARK = re.compile(r"%\d\d|%\(\d+\)|\d")
_BRACKETS = re.compile(r"\[[^\]]*\]")
# What is often handed in for a SMILES, and what to do about it. rdkit would read some patterns as molecules.
_OTHER_NOTATIONS = (
    (re.compile(r"InChI=", re.IGNORECASE), "an InChI, not a SMILES: rdkit.Chem.MolFromInchi reads it"),
    (re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]$"), "an InChIKey, which holds no structure: look its SMILES up"),
    (re.compile(r"\d{2,7}-\d\d-\d$"), "a CAS number, which holds no structure: look its SMILES up"),
    (re.compile(r"\S*(?<!-)>"), "a reaction, not a molecule: pass one molecule a row"),
    (
        re.compile(r"\S*~|\S*\[[^\]\s]*(?:#\d|[,;!&]|\$\()"),
        "a SMARTS pattern, which stands for many molecules, not a SMILES",
    ),
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9' -]*[A-Za-z]{3}[A-Za-z0-9' -]*$")


class Molecule(NamedTuple):
    """One parsed SMILES."""

    mol: Any  # rdkit molecule, None where the SMILES cannot be read
    canonical: str  # rdkit's canonical isomeric SMILES of what is kept, "" where it cannot be read
    n_fragments: int  # disconnected parts before any was left out
    problem: str  # why it cannot be read, else ""
    left_out: str = ""
    """Canonical SMILES of the parts left out, joined by dots."""
    behind: str = ""
    """What stands behind the SMILES after a blank: a name, or an extension (CXSMILES)."""
    # Whether a part was left out that is neither a counter-ion or solvent nor a copy of what is kept.
    mixture: bool = False


def parse_smiles(texts: Iterable[str], *, salts: Salts = "strip", charges: Charges = "keep") -> list[Molecule]:
    """Read SMILES with rdkit and bring each to its canonical form; one entry a text, in order.

    `salts` and `charges` are as in :func:`scbioverse.pp.molecules`. Stereo centres and double-bond geometry stay as
    given. A text of more than 5,000 characters, or with more than 400 rings, is not given to rdkit, which might not
    come back.
    """
    check_choice("salts", salts, *get_args(Salts))
    check_choice("charges", charges, *get_args(Charges))
    base = import_optional("rdkit.rdBase", extra="molecules", purpose="Reading SMILES")
    # rdkit writes each failure to stderr; here it goes into the result.
    with base.BlockLogs():
        return [_parse(str(text).strip(), salts, charges) for text in texts]


def _parse(text: str, salts: Salts, charges: Charges) -> Molecule:
    from rdkit import Chem

    if problem := _unfit(text):
        return Molecule(None, "", 0, problem)
    try:
        mol = Chem.MolFromSmiles(text)
        if mol is None or mol.GetNumAtoms() == 0:
            return Molecule(None, "", 0, _problem(text))
        parts = Chem.GetMolFrags(mol, asMols=True) if "." in text else (mol,)
        left_out, mixture = "", False
        if len(parts) > 1 and salts != "keep":
            mol, left_out, mixture = _cut(mol, parts, salts)
        if charges == "neutralise":
            mol = uncharger().uncharge(mol)
        behind = "".join(text.split(None, 1)[1:])
        return Molecule(mol, Chem.MolToSmiles(mol), len(parts), "", left_out, behind, mixture)
    # What rdkit raises in place of returning None differs by version and by what is odd.
    except (RuntimeError, ValueError, OverflowError) as error:
        return Molecule(None, "", 0, f"rdkit cannot read it: {first_line(error, 80)}")


def _unfit(text: str) -> str:
    """Why a text must not, or need not, be given to rdkit."""
    if not text:
        return "empty"
    if len(text) > MOST_CHARACTERS:
        return f"{len(text):,} characters, at most {MOST_CHARACTERS:,} are read"
    if (found := _CONTROL.search(text)) is not None:
        return f"holds the control character {found[0]!r} at position {found.start() + 1}"
    if not text.isascii():
        other = next(one for one in text if not one.isascii())
        # A name may follow the SMILES after a blank; rdkit takes bytes and cannot take half a surrogate pair.
        if other in text.split()[0] or "\ud800" <= other <= "\udfff":
            return f"the character {other!r} is in no SMILES"
    for pattern, said in _OTHER_NOTATIONS:
        if pattern.match(text):
            return said
    rings = len(_RING_MARK.findall(_BRACKETS.sub("", text.split()[0]))) // 2
    if rings > MOST_RINGS:
        return f"{rings:,} rings, at most {MOST_RINGS} are read"
    return ""


def _cut(mol: Any, parts: tuple[Any, ...], salts: Salts) -> tuple[Any, str, bool]:
    """Return what is kept of several parts, the SMILES of the rest, and whether the rest is more than counter-ions."""
    from rdkit import Chem

    split = split_parts(parts)
    if salts == "largest":
        best = largest(parts)
        rest = [part for part in parts if part is not best]
        # The complex, or the salt that is the substance, is no longer what it was.
        return best, _joined(rest), split.mixture or any(part is not best for part in split.kept)
    if not split.left_out:
        return mol, "", False
    return reduce(Chem.CombineMols, split.kept), _joined(split.left_out), split.mixture


def _joined(parts: list[Any]) -> str:
    from rdkit import Chem

    return ".".join(sorted(map(Chem.MolToSmiles, parts)))


def _problem(text: str) -> str:
    from rdkit import Chem

    mol = Chem.MolFromSmiles(text, sanitize=False)
    if mol is None or mol.GetNumAtoms() == 0:
        if _NAME.match(text):
            return "not a SMILES: it looks like a name, whose SMILES has to be looked up"
        return "not a SMILES" if Chem.MolFromSmarts(text) is None else "a SMARTS pattern, not a SMILES"
    problems = Chem.DetectChemistryProblems(mol)
    return str(problems[0].Message()) if problems else "cannot be sanitised"

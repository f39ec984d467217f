"""SMILES to one molecule, in one form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from .._optional import import_optional
from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

Salts: TypeAlias = Literal["largest", "keep"]
Charges: TypeAlias = Literal["keep", "neutralise"]
# Changes whenever the same SMILES may come out otherwise: part of every molecule encoder's fingerprint.
SMILES_VERSION = "smiles-v1"


class Molecule(NamedTuple):
    """One parsed SMILES."""

    mol: Any
    """rdkit molecule, None where the SMILES cannot be read."""
    canonical: str
    """rdkit's canonical isomeric SMILES of what is kept, "" where it cannot be read."""
    n_fragments: int
    """Disconnected parts before any was left out."""
    problem: str
    """Why it cannot be read, else ""."""


def parse_smiles(texts: Iterable[str], *, salts: Salts = "largest", charges: Charges = "keep") -> list[Molecule]:
    """Read SMILES with rdkit and bring each to its canonical form.

    Parameters
    ----------
    texts
        SMILES.
    salts
        `"largest"`: of several disconnected parts keep one: one with carbon before one without, then the one with most
        heavy atoms, then the heavier one. `"keep"`: keep all.
    charges
        `"keep"`, or `"neutralise"`: add or take protons where that removes a charge (rdkit's `Uncharger`).

    Returns
    -------
    One entry a text, in order. Stereo centres and double-bond geometry stay as given.

    Raises
    ------
    InputError
        `salts` or `charges` is none of the above.
    OptionalDependencyError
        rdkit is not installed.
    """
    if salts not in ("largest", "keep"):
        raise InputError(f"salts must be 'largest' or 'keep', found {salts!r}")
    if charges not in ("keep", "neutralise"):
        raise InputError(f"charges must be 'keep' or 'neutralise', found {charges!r}")
    base = import_optional("rdkit.rdBase", extra="molecules", purpose="Reading SMILES")
    uncharger = None
    if charges == "neutralise":
        from rdkit.Chem.MolStandardize import rdMolStandardize

        uncharger = rdMolStandardize.Uncharger()
    # rdkit writes each failure to stderr; here it goes into the result.
    block = base.BlockLogs()
    try:
        return [_parse(str(text).strip(), salts, uncharger) for text in texts]
    finally:
        del block


def _parse(text: str, salts: Salts, uncharger: Any) -> Molecule:
    from rdkit import Chem

    if not text:
        return Molecule(None, "", 0, "empty")
    mol = Chem.MolFromSmiles(text)
    if mol is None or mol.GetNumAtoms() == 0:
        return Molecule(None, "", 0, _problem(text))
    parts = Chem.GetMolFrags(mol, asMols=True) if "." in text else (mol,)
    if salts == "largest" and len(parts) > 1:
        mol = max(parts, key=_rank)
    if uncharger is not None:
        mol = uncharger.uncharge(mol)
    return Molecule(mol, Chem.MolToSmiles(mol), len(parts), "")


def _rank(part: Any) -> tuple[bool, int, float, str]:
    from rdkit import Chem
    from rdkit.Chem.Descriptors import MolWt  # type: ignore[attr-defined]

    carbon = any(atom.GetAtomicNum() == 6 for atom in part.GetAtoms())
    # The SMILES last: what is left is decided by neither the order in the text nor by chance.
    return carbon, part.GetNumHeavyAtoms(), MolWt(part), Chem.MolToSmiles(part)


def _problem(text: str) -> str:
    from rdkit import Chem

    mol = Chem.MolFromSmiles(text, sanitize=False)
    if mol is None or mol.GetNumAtoms() == 0:
        return "not a SMILES"
    problems = Chem.DetectChemistryProblems(mol)
    return problems[0].Message() if problems else "cannot be sanitised"

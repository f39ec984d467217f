"""SMILES to one molecule, in one form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from .._logging import first_line
from .._optional import import_optional
from ..errors import InputError
from ._counter_ions import largest, split_parts, uncharger

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    if salts not in ("strip", "largest", "keep"):
        raise InputError(f"salts must be 'strip', 'largest' or 'keep', found {salts!r}")
    if charges not in ("keep", "neutralise"):
        raise InputError(f"charges must be 'keep' or 'neutralise', found {charges!r}")
    base = import_optional("rdkit.rdBase", extra="molecules", purpose="Reading SMILES")
    # rdkit writes each failure to stderr; here it goes into the result.
    block = base.BlockLogs()
    try:
        return [_parse(str(text).strip(), salts, charges) for text in texts]
    finally:
        del block


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
    kept = split.kept[0]
    for part in split.kept[1:]:
        kept = Chem.CombineMols(kept, part)
    return kept, _joined(split.left_out), split.mixture


def _joined(parts: list[Any]) -> str:
    from rdkit import Chem

    return ".".join(sorted(Chem.MolToSmiles(part) for part in parts))


def _problem(text: str) -> str:
    from rdkit import Chem

    mol = Chem.MolFromSmiles(text, sanitize=False)
    if mol is None or mol.GetNumAtoms() == 0:
        if _NAME.match(text):
            return "not a SMILES: it looks like a name, whose SMILES has to be looked up"
        return "not a SMILES" if Chem.MolFromSmarts(text) is None else "a SMARTS pattern, not a SMILES"
    problems = Chem.DetectChemistryProblems(mol)
    return str(problems[0].Message()) if problems else "cannot be sanitised"

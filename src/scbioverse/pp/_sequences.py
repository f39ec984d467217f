"""FASTA files and amino acid sequences, in one form, and properties that follow from a sequence."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from .._logging import shown_name
from ..errors import InputError

# Changes whenever the same sequence may come out otherwise: part of every protein encoder's fingerprint.
SEQUENCE_VERSION = "sequence-v1"
STANDARD = "ACDEFGHIKLMNPQRSTVWY"
AMBIGUOUS = "BJOUXZ"

# The longest known protein has some 40,000 residues; UniProt's reviewed proteins together 200 million.
LONGEST_LINE = 10_000_000
LONGEST_FILE = 4_000_000_000

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_GAPS = re.compile(r"[\s\-.]+")
_OTHER = re.compile(r"[^A-Z]")
_UNIPROT = re.compile(r"(?:sp|tr)\|(?P<accession>[^|\s]+)\|\S*")


class Sequence(NamedTuple):
    """One cleaned sequence."""

    text: str  # upper-case letters only, "" where nothing is left
    n_stops: int  # stops inside the sequence, read as X
    problem: str  # why it cannot be read, else ""


class Record(NamedTuple):
    """One entry of a FASTA file."""

    name: str
    description: str
    sequence: str


def clean_sequence(text: str) -> Sequence:
    """Bring an amino acid sequence to upper-case letters.

    White space and gaps (`-`, `.`) go; lower case (masked residues) becomes upper case; stops (`*`) at the end go,
    those inside become X. The ambiguous residues B, J, O, U, X and Z stay: each encoder says what it makes of them. A
    problem names the first other character and its position.
    """
    letters = _GAPS.sub("", text).upper().rstrip("*")
    n_stops = letters.count("*")
    letters = letters.replace("*", "X")
    wrong = _OTHER.search(letters)
    if wrong is not None:
        return Sequence("", n_stops, f"character {wrong.group()!r} at position {wrong.start() + 1} is no residue")
    return Sequence(letters, n_stops, "" if letters else "empty")


def read_fasta(path: str | Path) -> list[Record]:
    """Read the records of a FASTA file in order; gzip is recognised by its first bytes.

    The name is the header's first word, or the accession of a UniProt header (`>sp|P69905|...`); the description is the
    rest of the header. Sequences are as they stand, lines joined. An :class:`InputError` where there is no such file,
    it holds no record, or text before the first header.
    """
    path = Path(path).expanduser()
    if not _is_file(path):
        raise InputError(f"there is no FASTA file {shown_name(str(path))}. For sequences, pass a list of them.")
    found: list[tuple[str, str, list[str]]] = []
    try:
        with _open(path) as file:
            for number, line in enumerate(_lines(file, path), start=1):
                text = line.strip()
                if text.startswith(">"):
                    found.append((*_header(text[1:].strip(), number, path), []))
                elif text and not text.startswith(";"):
                    if not found:
                        fastq = " This looks like FASTQ, reads of DNA or RNA: amino acid sequences are expected."
                        raise InputError(
                            f"{path}, line {number}: expected a header that starts with '>': {text[:40]!r}."
                            f"{fastq if text.startswith('@') else ''}"
                        )
                    found[-1][2].append(text)
    except (UnicodeError, EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"{path} is not a FASTA text file: {error}. It must be text in UTF-8, gzipped or not."
        ) from error
    if not found:
        raise InputError(f"{path} holds no FASTA record (a line that starts with '>')")
    return [Record(name, description, "".join(parts)) for name, description, parts in found]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a sequence in place of a path: too long for a name, or with a null character
        return False


def _open(path: Path) -> IO[str]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    # A mark of the byte order, as some editors put it before the first header, is no part of it.
    return gzip.open(path, "rt", encoding="utf-8-sig") if packed else path.open(encoding="utf-8-sig")


def _lines(file: IO[str], path: Path) -> Iterator[str]:
    """Lines of a file, bounded: a few megabytes can unpack to more than memory holds."""
    read = 0
    while line := file.readline(LONGEST_LINE + 1):
        read += len(line)
        if len(line) > LONGEST_LINE or read > LONGEST_FILE:
            long = len(line) > LONGEST_LINE
            what = f"a line of more than {LONGEST_LINE:,}" if long else f"more than {LONGEST_FILE:,}"
            raise InputError(f"{path} holds {what} characters: no FASTA file of proteins does. Split it.")
        yield line


def _header(text: str, line: int, path: Path) -> tuple[str, str]:
    """Name and description."""
    if (odd := _CONTROL.search(text)) is not None:
        raise InputError(
            f"{path}, line {line}: the header holds the control character {odd[0]!r}, which is in no text file."
        )
    name, description = [*text.split(None, 1), "", ""][:2]
    match = _UNIPROT.fullmatch(name)
    return match["accession"] if match else name or f"record_{line}", description.strip()


# Standard atomic weights, abridged (IUPAC 2021, Prohaska et al. 2022, doi:10.1515/pac-2019-0603), g/mol.
ATOMIC_WEIGHTS = {"C": 12.011, "H": 1.008, "N": 14.007, "O": 15.999, "S": 32.06, "Se": 78.971}
WATER = 2 * ATOMIC_WEIGHTS["H"] + ATOMIC_WEIGHTS["O"]
# Atoms of each residue: the amino acid less the water that a peptide bond sets free. C, H, N, O, S.
_ATOMS = {
    "A": (3, 5, 1, 1, 0), "C": (3, 5, 1, 1, 1), "D": (4, 5, 1, 3, 0), "E": (5, 7, 1, 3, 0), "F": (9, 9, 1, 1, 0),
    "G": (2, 3, 1, 1, 0), "H": (6, 7, 3, 1, 0), "I": (6, 11, 1, 1, 0), "K": (6, 12, 2, 1, 0), "L": (6, 11, 1, 1, 0),
    "M": (5, 9, 1, 1, 1), "N": (4, 6, 2, 2, 0), "P": (5, 7, 1, 1, 0), "Q": (5, 8, 2, 2, 0), "R": (6, 12, 4, 1, 0),
    "S": (3, 5, 1, 2, 0), "T": (4, 7, 1, 2, 0), "V": (5, 9, 1, 1, 0), "W": (11, 10, 2, 1, 0), "Y": (9, 9, 1, 2, 0),
}  # fmt: skip


def _masses() -> dict[str, float]:
    known = {
        letter: sum(n * ATOMIC_WEIGHTS[atom] for n, atom in zip(atoms, "CHNOS", strict=True))
        for letter, atoms in _ATOMS.items()
    }
    # Selenocysteine has selenium where cysteine has sulphur; pyrrolysine is C12H21N3O3 as an amino acid.
    known["U"] = known["C"] - ATOMIC_WEIGHTS["S"] + ATOMIC_WEIGHTS["Se"]
    known["O"] = sum(n * ATOMIC_WEIGHTS[atom] for n, atom in zip((12, 19, 3, 2), "CHNO", strict=True))
    known["J"] = known["L"]
    known["B"], known["Z"] = (known["D"] + known["N"]) / 2, (known["E"] + known["Q"]) / 2
    known["X"] = sum(known[letter] for letter in STANDARD) / len(STANDARD)
    return known


RESIDUE_MASSES = _masses()


def protein_mass(sequence: str) -> float:
    """Average mass of a protein in Da: its residues' masses and one water.

    Residue masses are sums of IUPAC's standard atomic weights (doi:10.1515/pac-2019-0603). Nothing is cut off, and no
    modification or disulphide bridge counted. B and Z count as the mean of the two that they may be, X as that of the
    twenty. Letters are in upper case; that of bradykinin, `"RPPGFSPFR"`, is 1060.2.
    """
    return WATER + sum(RESIDUE_MASSES[letter] * sequence.count(letter) for letter in sorted(set(sequence)))


# Dissociation constants (pKa) of EMBOSS 6.6 (Rice et al. 2000, doi:10.1016/S0168-9525(00)02024-2): N-terminus and the
# side chains that carry a positive charge, C-terminus and those that carry a negative one.
_POSITIVE = {"H": 6.5, "K": 10.8, "R": 12.5}
_NEGATIVE = {"C": 8.5, "D": 3.9, "E": 4.1, "Y": 10.1}
_N_TERMINUS, _C_TERMINUS = 8.6, 3.6


def net_charge(sequence: str, ph: float) -> float:
    """Mean net charge of an unfolded protein at a pH, elementary charges (Henderson and Hasselbalch's equation).

    Ambiguous residues carry no charge; no disulphide bridge is counted.
    """
    bases = [(1, _N_TERMINUS), *((sequence.count(letter), pka) for letter, pka in _POSITIVE.items())]
    acids = [(1, _C_TERMINUS), *((sequence.count(letter), pka) for letter, pka in _NEGATIVE.items())]
    positive = sum(n / (1 + 10 ** (ph - pka)) for n, pka in bases)
    return positive - sum(n / (1 + 10 ** (pka - ph)) for n, pka in acids)


def isoelectric_point(sequence: str) -> float:
    """PH at which a protein has no net charge, see :func:`net_charge`; NaN of an empty sequence."""
    from scipy.optimize import brentq

    return float(brentq(lambda ph: net_charge(sequence, ph), 0, 14)) if sequence else float("nan")

"""FASTA files and amino acid sequences, in one form."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import InputError

# Changes whenever the same sequence may come out otherwise: part of every protein encoder's fingerprint.
SEQUENCE_VERSION = "sequence-v1"
STANDARD = "ACDEFGHIKLMNPQRSTVWY"
AMBIGUOUS = "BJOUXZ"

_GAPS = re.compile(r"[\s\-.]+")
_OTHER = re.compile(r"[^A-Z]")
_UNIPROT = re.compile(r"(?:sp|tr)\|(?P<accession>[^|\s]+)\|\S*")


class Sequence(NamedTuple):
    """One cleaned sequence."""

    text: str
    """Upper-case letters only, "" where nothing is left."""
    n_stops: int
    """Stops inside the sequence, read as X."""
    problem: str
    """Why it cannot be read, else ""."""


class Record(NamedTuple):
    """One entry of a FASTA file."""

    name: str
    description: str
    sequence: str
    line: int


def clean_sequence(text: str) -> Sequence:
    """Bring an amino acid sequence to upper-case letters.

    White space and gaps (`-`, `.`) go; lower case (masked residues) becomes upper case; stops (`*`) at the end go,
    those inside become X. The ambiguous residues B, J, O, U, X and Z stay: each encoder says what it makes of them.

    Parameters
    ----------
    text
        The sequence.

    Returns
    -------
    The letters, or a problem that names the first other character and its position.
    """
    letters = _GAPS.sub("", text).upper().rstrip("*")
    n_stops = letters.count("*")
    letters = letters.replace("*", "X")
    wrong = _OTHER.search(letters)
    if wrong is not None:
        return Sequence("", n_stops, f"character {wrong.group()!r} at position {wrong.start() + 1} is no residue")
    return Sequence(letters, n_stops, "" if letters else "empty")


def read_fasta(path: str | Path) -> list[Record]:
    """Read a FASTA file.

    Parameters
    ----------
    path
        The file; gzip is recognised by its first bytes.

    Returns
    -------
    Its records in order. The name is the header's first word, or the accession of a UniProt header (`>sp|P69905|...`);
    the description is the rest of the header. Sequences are as they stand, lines joined.

    Raises
    ------
    InputError
        There is no such file, it holds no record, or text before the first header.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"there is no FASTA file {path}. For sequences, pass a list of them.")
    records: list[Record] = []
    parts: list[str] = []
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                text = line.strip()
                if text.startswith(">"):
                    _close(records, parts)
                    records.append(_header(text[1:].strip(), number))
                elif text and not text.startswith(";"):
                    if not records:
                        raise InputError(
                            f"{path}, line {number}: expected a header that starts with '>': {text[:40]!r}"
                        )
                    parts.append(text)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is not a FASTA text file: {error}") from error
    _close(records, parts)
    if not records:
        raise InputError(f"{path} holds no FASTA record (a line that starts with '>')")
    return records


def _open(path: Path) -> IO[str]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8")


def _header(text: str, line: int) -> Record:
    name, _, description = text.partition(" ")
    match = _UNIPROT.fullmatch(name)
    return Record(match["accession"] if match else name or f"record_{line}", description.strip(), "", line)


def _close(records: list[Record], parts: list[str]) -> None:
    if records:
        records[-1] = records[-1]._replace(sequence="".join(parts))
    parts.clear()

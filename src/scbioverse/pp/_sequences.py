"""FASTA files and amino acid sequences, in one form."""

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

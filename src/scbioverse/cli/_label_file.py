"""Candidates as the command line takes them: names in one word, or a text file."""

from __future__ import annotations

import codecs
import csv
import stat
from pathlib import Path

from ..errors import InputError

MOST_BYTES = 5_000_000
_TEXT = (".txt", ".tsv", ".csv")
_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_labels(text: str) -> list[str] | dict[str, str]:
    """Read candidates from a file with one a line, or from names separated by semicolons, or without any by commas.

    Raises an :class:`InputError` where there is none, the file is no text, or a name stands twice with two meanings.
    """
    file = label_file(text)
    lines = _lines(file) if file is not None else text.split(";" if ";" in text else ",")
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError("--labels names no label.")
    commas = file is not None and file.suffix == ".csv" and "\t" not in "".join(lines)
    split = csv.reader(lines) if commas else (line.split("\t") for line in lines)
    rows = [[cell.strip() for cell in row] for row in split]
    if max(map(len, rows)) == 1:
        return [name for (name,) in rows]
    pairs: dict[str, str] = {}
    for name, meaning, *_ in ((*row, "") for row in rows):
        if pairs.setdefault(name, meaning) != meaning:
            raise InputError(f"--labels names {name!r} twice, as {pairs[name]!r} and as {meaning!r}: keep one.")
    return pairs


def label_file(text: str) -> Path | None:
    """Return the file that is meant, or None for names."""
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        # Neither a file nor a path: many names in one word are longer than a path may be.
        return path if path.suffix in _TEXT and "\0" not in text and ";" not in text else None
    return None if stat.S_ISDIR(mode) and path.suffix not in _TEXT else path


def _lines(path: Path) -> list[str]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"the labels file {path} cannot be read: it is no plain file. Write the labels to one.")
        if status.st_size > MOST_BYTES:
            raise InputError(
                f"the labels file {path} has {status.st_size:,} bytes; a list of labels has a line each and at most "
                f"{MOST_BYTES:,}. Is it the right file?"
            )
        content = path.read_bytes()
        # Spreadsheets write UTF-16 when asked for Unicode text.
        text = content.decode("utf-16" if content[:2] in _BOMS else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the labels file {path} cannot be read: byte {error.start} is not UTF-8. Save it as text in UTF-8."
        ) from error
    except OSError as error:
        raise InputError(f"the labels file {path} cannot be read: {error.strerror or error}.") from error
    if "\0" in text:
        raise InputError(f"the labels file {path} cannot be read: it is not text.")
    return text.splitlines()

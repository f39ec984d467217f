"""What the command line is given, looked at before anything is computed: paths to read or replace, candidates."""

from __future__ import annotations

import codecs
import csv
import os
import stat
from pathlib import Path

from .._logging import first_few
from ..errors import InputError

KINDS = (".h5ad", ".zarr")
_WANTED = dict(zip(KINDS, ("file", "folder"), strict=True))
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# First bytes of what people hand over in place of an h5ad file, and what to do about it.
_PACKED = {
    b"\x1f\x8b": "compressed by gzip. Unpack it first: gunzip < {source} > unpacked.h5ad",
    b"PK\x03\x04": "a zip archive. Unpack it first, and give the file in it.",
}
_ZARR_ROOTS = ("zarr.json", ".zgroup")
# What lies in the first level of a stored AnnData, and what file managers leave in every folder.
_STORED = frozenset({"X", "layers", "obs", "obsm", "obsp", "raw", "uns", "var", "varm", "varp"})
_BESIDE = frozenset({".zattrs", ".zmetadata", ".DS_Store", *_ZARR_ROOTS})


def check_source(source: Path) -> None:
    """Refuse an input that is missing, empty, of another kind or not readable, before anything waits for it."""
    kind = _kind(source)
    if kind == "nothing":
        link = f": it is a link to {source.readlink()}, which does not exist" if source.is_symlink() else ""
        raise InputError(f"{source} does not exist{link}.")
    if source.suffix not in KINDS:
        raise InputError(f"{source} is neither .h5ad nor .zarr.")
    if kind != _WANTED[source.suffix]:  # before it is opened: a pipe would never answer
        raise InputError(f"{source} is a {kind}, not a {_WANTED[source.suffix]}. Give the {source.suffix} itself.")
    if source.suffix == ".zarr":
        if not any((source / one).is_file() for one in _ZARR_ROOTS):
            raise InputError(f"{source} is a folder without zarr.json or .zgroup: no zarr store, or a damaged one.")
        return
    with source.open("rb") as file:
        start = file.read(8)
    if not start:
        raise InputError(f"{source} is empty (0 bytes) and cannot be read as an AnnData. Copy or write it again.")
    for sign, said in _PACKED.items():
        if start.startswith(sign):
            raise InputError(f"{source} is {said.format(source=source)}")


def check_paths(source: Path, target: Path, *, force: bool) -> Path:
    """Return where to write `target` (of a link the place that it leads to), or refuse before anything is computed.

    With `force`, an output that exists is replaced if it is an `.h5ad` file or a stored AnnData.
    """
    check_source(source)
    place = _writable_place(target, "the output", KINDS)
    check_apart(target, {"input": source}, "the output")
    if any(_same(one, place) for one in source.resolve().parents):
        raise InputError(f"the output {target} holds the input {source}, which is never changed. Name another place.")
    if place.exists():
        _refuse_unless(force, target)
        _check_replaced(target)
    return place


def check_in_place(source: Path) -> Path:
    """Return the store that results are put into, or refuse before anything is computed."""
    check_source(source)
    if source.suffix != ".zarr":
        raise InputError(f"--in-place is for .zarr; results of {source} go to another file: --output.")
    place = source.resolve()
    written = [one for one in (place / "obs", place / "obsm", place / "uns") if one.is_dir()]
    for folder in (place, place.parent, *written):
        if not os.access(folder, os.W_OK):
            raise InputError(f"{folder} cannot be written to. Ask its owner, or name an --output.")
    return place


def check_table(
    table: Path, others: dict[str, Path], *, force: bool, what: str = "--table",
    kinds: tuple[str, str] = (".csv", ".tsv"),
) -> Path:  # fmt: skip
    """Return where to write a table or a page; `others` are input and output by name, which it must not touch."""
    place = _writable_place(table, what, kinds)
    check_apart(table, others, what)
    kind = _kind(place)
    if kind not in ("file", "nothing"):
        raise InputError(f"{what} {table} is a {kind}, which is never replaced. Name another file.")
    _refuse_unless(force or kind == "nothing", table)
    return place


def check_apart(target: Path, others: dict[str, Path], what: str) -> None:
    """Refuse a place that is one of `others`, which are named, or lies in it."""
    place = target.resolve()
    for name, other in others.items():
        if any(one == other or _same(one, other) for one in (place, *place.parents)):
            raise InputError(
                f"{what} {target} is the {name}, or lies in it, and is never overwritten. Name another place."
            )


def _refuse_unless(may: bool, target: Path) -> None:
    if not may:
        raise InputError(f"{target} exists. Pass --force to replace it, or name another file.")


def _writable_place(target: Path, what: str, kinds: tuple[str, str]) -> Path:
    """Resolve links and return the place to write to, in a folder that takes it."""
    if target.suffix not in kinds:
        raise InputError(f"{what} {target} is neither {kinds[0]} nor {kinds[1]}.")
    if target.is_symlink() and not target.exists():
        raise InputError(
            f"{target} is a link to {target.readlink()}, which does not exist. Remove the link, or name its target."
        )
    place = target.resolve()
    if not place.parent.is_dir():
        raise InputError(f"the folder {place.parent} for {what} does not exist.")
    if not os.access(place.parent, os.W_OK):
        raise InputError(f"the folder {place.parent} for {what} cannot be written to.")
    return place


def _check_replaced(target: Path) -> None:
    """Refuse to replace what is not an h5ad file or a stored AnnData, whatever its name says."""
    kind = _kind(target)
    if kind != _WANTED[target.suffix]:
        raise InputError(f"{target} is a {kind}, which is never replaced. Name another output.")
    if kind == "file":
        with target.open("rb") as file:
            start = file.read(len(_SIGNATURE))
        # HDF5 may begin later, behind a block of the user's own; such a file is not ours to replace.
        if start and start != _SIGNATURE:
            raise InputError(f"{target} is not an HDF5 file and is not replaced. Name another output, or remove it.")
        return
    names = sorted(one.name for one in target.iterdir())
    if names and _encoding(target) != "anndata":
        raise InputError(
            f"{target} is a folder that holds {first_few(names, 4)}, and no stored "
            "AnnData. It is not replaced. Name another output."
        )
    if foreign := [one for one in names if one not in _STORED | _BESIDE]:
        raise InputError(
            f"{target} holds more than an AnnData ({first_few(foreign, 4)}), which "
            "would be lost. It is not replaced. Move that, or name another output."
        )


def _encoding(store: Path) -> object:
    """Return what a zarr store says that it holds; None for what is no store."""
    import zarr

    try:
        return zarr.open_group(store, mode="r").attrs.get("encoding-type")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one place: through links, hard links, mounts, and spelling where case does not count."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "nothing"
    except OSError as error:
        raise InputError(f"{path} cannot be looked at: {error.strerror}.") from error
    named = {stat.S_ISREG: "file", stat.S_ISDIR: "folder", stat.S_ISFIFO: "pipe", stat.S_ISSOCK: "socket"}
    return next((name for test, name in named.items() if test(mode)), "device")


MOST_BYTES = 5_000_000
_TEXT = (".txt", ".tsv", ".csv")
_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


# What `labels=` of annotate takes as one word.
_WHOLE = ("cl", "vocabulary")


def read_labels(text: str) -> list[str] | dict[str, str] | str:
    """Read candidates from a file with one a line, or from names separated by semicolons, or without any by commas.

    `"cl"` and `"vocabulary"` are returned as they are: all terms of the ontology, or all that the model knows.
    Raises an :class:`InputError` where there is none, the file is no text, or a name stands twice with two meanings.
    """
    file, word = label_file(text), text.strip().lower()
    if file is None and word in _WHOLE:
        return word
    lines = text.split(";" if ";" in text else ",") if file is None else _lines(file)
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise InputError("--labels names no label.")
    commas = file is not None and file.suffix == ".csv" and "\t" not in "".join(lines)
    # Names may hold control characters, which csv refuses.
    split = csv.reader(lines) if commas else (line.split("\t") for line in lines)
    rows = [list(map(str.strip, row)) for row in split]
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
    named = path.suffix in _TEXT
    # Neither a file nor a path: many names in one word are longer than a path may be.
    if not os.path.exists(text):  # noqa: PTH110  of what can be no path, it says so and does not raise
        return path if named and "\0" not in text and ";" not in text else None
    return path if named or not path.is_dir() else None


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

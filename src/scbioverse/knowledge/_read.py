"""Reading the tables that travel with the package."""

from __future__ import annotations

import gzip
from importlib.resources import files


def read_table(name: str) -> list[list[str]]:
    """Rows of one bundled tab-separated table (gzipped or plain), without its header."""
    lines = read_text(name).split("\n")
    return [line.split("\t") for line in lines[1:] if line and not line.startswith("#")]


def read_columns(name: str) -> list[list[str]]:
    """Columns of a table that a recipe wrote (no comments, no empty lines), without its header.

    A list for each of tens of thousands of rows costs several times what the columns do.
    """
    header, body = read_text(name).split("\n", 1)
    n_columns = header.count("\t") + 1
    cells = body.removesuffix("\n").replace("\n", "\t").split("\t")
    return [cells[start::n_columns] for start in range(n_columns)]


def read_text(name: str) -> str:
    """Content of one bundled file, gzipped or plain."""
    raw = files("scbioverse.knowledge").joinpath("data").joinpath(name).read_bytes()
    return (gzip.decompress(raw) if name.endswith(".gz") else raw).decode()

"""Reading the tables that travel with the package."""

from __future__ import annotations

import gzip
from importlib.resources import files


def read_table(name: str) -> list[list[str]]:
    """Rows of one bundled tab-separated table (gzipped or plain), without its header."""
    raw = files("scbioverse.knowledge").joinpath("data").joinpath(name).read_bytes()
    if name.endswith(".gz"):
        raw = gzip.decompress(raw)
    lines = raw.decode().split("\n")
    return [line.split("\t") for line in lines[1:] if line and not line.startswith("#")]

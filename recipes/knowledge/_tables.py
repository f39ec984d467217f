"""Reading the source tables and writing bundled ones byte for byte the same each time."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pandas as pd

TARGET = Path(__file__).resolve().parents[2] / "src" / "scbioverse" / "knowledge" / "data"


def source(name: str) -> Path:
    """Path of one source table below `SCBIOVERSE_CACHE_DIR`."""
    root = os.environ.get("SCBIOVERSE_CACHE_DIR")
    if not root:
        raise SystemExit("set SCBIOVERSE_CACHE_DIR to the folder that holds knowledge/ and cells/")
    path = Path(root) / name
    if not path.is_file():
        raise SystemExit(f"{path} is missing; SCBIOVERSE_CACHE_DIR points at a folder without the knowledge tables")
    return path


def read(name: str) -> pd.DataFrame:
    """One source table, every value a string, nothing read as missing."""
    path = source(name)
    return pd.read_csv(
        path, sep="\t" if ".tsv" in path.name else ",", dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )


def split(text: str, sep: str) -> list[str]:
    """Parts of `text`, stripped, without empty ones."""
    return [part for part in (raw.strip() for raw in text.split(sep)) if part]


def write(name: str, header: list[str], rows: list[list[str]]) -> Path:
    """Write a gzipped table without a time stamp or file name in its header."""
    text = "\n".join("\t".join(row) for row in [header, *rows]) + "\n"
    path = TARGET / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=9) as file:
        file.write(text.encode())
    return path

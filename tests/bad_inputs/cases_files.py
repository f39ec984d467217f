"""Files and folders that cannot be read, and places that must not be written to."""

from __future__ import annotations

import gzip
import os
import socket
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

import scbioverse as sb

from . import Given, case, command
from ._inputs import blood

READ = "Files to read"
WRITE = "Places to write to"
LABELS = "Files of labels"


def _file(at: Path, name: str = "in.h5ad") -> Path:
    path = at / name
    blood()[:20, :400].copy().write_h5ad(path)
    return path


def _store(at: Path, name: str = "in.zarr") -> Path:
    path = at / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        blood()[:20, :400].copy().write_zarr(path)
    return path


def _embed(source: Path, output: Path, *words: str) -> Given:
    folder = source.parent if not source.is_relative_to(output.parent) else output.parent
    return Given(lambda: command("embed", source, "-o", output, *words), {"the folder": folder})


# ------------------------------------------------------------------ what is read


@case(READ, "The file is empty", "scbioverse embed in.h5ad -o out.h5ad", says=["in.h5ad is empty (0 bytes)"])
def file_empty(at: Path) -> Given:
    (at / "in.h5ad").touch()
    return _embed(at / "in.h5ad", at / "out.h5ad")


@case(READ, "The download stopped half way", "scbioverse embed in.h5ad -o out.h5ad", says=["in.h5ad cannot be read"])
def file_truncated(at: Path) -> Given:
    path = _file(at)
    os.truncate(path, path.stat().st_size // 2)
    return _embed(path, at / "out.h5ad")


@case(READ, "HDF5, but no AnnData", "scbioverse embed in.h5ad -o out.h5ad", says=["in.h5ad", "AnnData"])
def file_of_other_hdf5(at: Path) -> Given:
    with h5py.File(at / "in.h5ad", "w") as file:
        file["matrix"] = np.ones((3, 3))
    return _embed(at / "in.h5ad", at / "out.h5ad")


@case(
    READ, "A .h5ad.gz that was renamed", "scbioverse embed in.h5ad -o out.h5ad", says=["compressed by gzip", "gunzip"]
)
def file_gzipped(at: Path) -> Given:
    (at / "in.h5ad").write_bytes(gzip.compress(_file(at, "plain.h5ad").read_bytes()))
    return _embed(at / "in.h5ad", at / "out.h5ad")


@case(READ, "A web page saved as .h5ad", "scbioverse embed in.h5ad -o out.h5ad", says=["cannot be read as an AnnData"])
def file_of_text(at: Path) -> Given:
    (at / "in.h5ad").write_text("<html>404 Not Found</html>" * 100)
    return _embed(at / "in.h5ad", at / "out.h5ad")


@case(READ, "A folder called x.h5ad", "scbioverse embed in.h5ad -o out.h5ad", says=["in.h5ad is a folder, not a file"])
def folder_as_file(at: Path) -> Given:
    (at / "in.h5ad").mkdir()
    return _embed(at / "in.h5ad", at / "out.h5ad")


@case(READ, "A named pipe, which would be waited for", "scbioverse embed in.h5ad -o out.h5ad", says=["is a pipe"])
def pipe_as_file(at: Path) -> Given:
    os.mkfifo(at / "in.h5ad")
    return Given(lambda: command("embed", at / "in.h5ad", "-o", at / "out.h5ad"), {"the output": at / "out.h5ad"})


@case(READ, "A socket", "scbioverse embed in.h5ad -o out.h5ad", says=["is a socket"])
def socket_as_file(at: Path) -> Given:
    here = Path.cwd()
    os.chdir(at)  # the path of a socket may have only a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("in.h5ad")
    finally:
        os.chdir(here)
    return Given(lambda: command("embed", at / "in.h5ad", "-o", at / "out.h5ad"), {"the output": at / "out.h5ad"})


@case(READ, "A link to a device without end", "scbioverse embed in.h5ad -o out.h5ad", says=["is a device"])
def device_as_file(at: Path) -> Given:
    (at / "in.h5ad").symlink_to("/dev/zero")
    return _embed(at / "in.h5ad", at / "out.h5ad")


@case(READ, "A link that leads nowhere", "scbioverse embed in.h5ad -o out.h5ad", says=["link", "does not exist"])
def broken_link_as_file(at: Path) -> Given:
    (at / "in.h5ad").symlink_to(at / "moved.h5ad")
    return _embed(at / "in.h5ad", at / "out.h5ad")


@case(READ, "A zarr folder without its metadata", "scbioverse embed in.zarr -o out.zarr", says=["zarr.json or .zgroup"])
def store_without_metadata(at: Path) -> Given:
    store = _store(at)
    for name in (".zgroup", "zarr.json"):
        (store / name).unlink(missing_ok=True)
    return _embed(store, at / "out.zarr")


@case(READ, "A name longer than names may be", "scbioverse embed aaa….h5ad -o out.h5ad", says=["name too long"])
def name_too_long(at: Path) -> Given:
    return _embed(at / f"{'a' * 300}.h5ad", at / "out.h5ad")


# ------------------------------------------------------------------ what is written


@case(WRITE, "The output is the folder of the input", "scbioverse embed x.zarr/in.h5ad -o x.zarr --force",
      says=["holds the input", "Name another place"])  # fmt: skip
def output_holds_input(at: Path) -> Given:
    (at / "x.zarr").mkdir()
    (at / "x.zarr" / "notes.txt").write_text("precious")
    source = _file(at / "x.zarr")
    return _embed(source, at / "x.zarr", "--force")


@case(WRITE, "The output lies in the input", "scbioverse embed in.zarr -o in.zarr/out.h5ad", says=["or lies in it"])
def output_in_input(at: Path) -> Given:
    source = _store(at)
    return Given(lambda: command("embed", source, "-o", source / "out.h5ad"), {"in.zarr": source})


@case(WRITE, "The output is a link to the input", "scbioverse embed in.h5ad -o link.h5ad --force",
      says=["is the input", "never overwritten"])  # fmt: skip
def output_links_to_input(at: Path) -> Given:
    source = _file(at)
    (at / "link.h5ad").symlink_to(source)
    return _embed(source, at / "link.h5ad", "--force")


@case(WRITE, "The output is a folder of other things", "scbioverse embed in.h5ad -o results.zarr --force",
      says=["results.zarr is a folder that holds", "thesis.docx", "not replaced"])  # fmt: skip
def output_is_a_folder(at: Path) -> Given:
    (at / "results.zarr").mkdir()
    (at / "results.zarr" / "thesis.docx").write_text("precious")
    return _embed(_file(at), at / "results.zarr", "--force")


@case(WRITE, "The output is a zarr store of something else", "scbioverse embed in.h5ad -o images.zarr --force",
      says=["no stored AnnData", "not replaced"])  # fmt: skip
def output_is_another_store(at: Path) -> Given:
    (at / "images.zarr").mkdir()
    (at / "images.zarr" / ".zgroup").write_text('{"zarr_format": 2}')
    (at / "images.zarr" / ".zattrs").write_text('{"multiscales": []}')
    return _embed(_file(at), at / "images.zarr", "--force")


@case(WRITE, "Notes lie in the store that is to be replaced", "scbioverse embed in.h5ad -o out.zarr --force",
      says=["holds more than an AnnData (notes.txt)", "would be lost"])  # fmt: skip
def output_holds_notes(at: Path) -> Given:
    (_store(at, "out.zarr") / "notes.txt").write_text("precious")
    return _embed(_file(at), at / "out.zarr", "--force")


@case(WRITE, "The output is no h5ad file", "scbioverse embed in.h5ad -o out.h5ad --force", says=["not an HDF5 file"])
def output_is_another_file(at: Path) -> Given:
    (at / "out.h5ad").write_text("precious")
    return _embed(_file(at), at / "out.h5ad", "--force")


@case(WRITE, "The output is a folder called x.h5ad", "scbioverse embed in.h5ad -o out.h5ad --force",
      says=["out.h5ad is a folder, which is never replaced"])  # fmt: skip
def output_folder_as_file(at: Path) -> Given:
    (at / "out.h5ad").mkdir()
    (at / "out.h5ad" / "data.csv").write_text("precious")
    return _embed(_file(at), at / "out.h5ad", "--force")


@case(WRITE, "The output is a link that leads nowhere", "scbioverse embed in.h5ad -o out.h5ad",
      says=["out.h5ad is a link", "Remove the link"])  # fmt: skip
def output_broken_link(at: Path) -> Given:
    (at / "out.h5ad").symlink_to(at / "unmounted" / "out.h5ad")
    return _embed(_file(at), at / "out.h5ad")


@case(WRITE, "--table names the list of labels", "scbioverse annotate in.h5ad … --labels a.csv --table a.csv --force",
      says=["labels.csv is the labels file"])  # fmt: skip
def table_is_the_labels_file(at: Path) -> Given:
    source, labels = _file(at), at / "labels.csv"
    labels.write_text("B cell\nNK cell\n")
    words = ("annotate", source, "-o", at / "out.h5ad", "--labels", labels, "--table", labels, "--force")
    return Given(lambda: command(*words), {"the folder": at})


@case(WRITE, "--table is a folder", "scbioverse annotate in.h5ad -o out.h5ad --table tables.csv --force",
      says=["tables.csv is a folder, which is never replaced"])  # fmt: skip
def table_is_a_folder(at: Path) -> Given:
    source, table = _file(at), at / "tables.csv"
    table.mkdir()
    words = ("annotate", source, "-o", at / "out.h5ad", "--table", table, "--force")
    return Given(lambda: command(*words), {"the folder": at})


@case(WRITE, "--table lies in a folder that is missing", "scbioverse annotate in.h5ad -o out.h5ad --table no/t.csv",
      says=["the folder", "no for --table does not exist"])  # fmt: skip
def table_without_a_folder(at: Path) -> Given:
    source = _file(at)
    words = ("annotate", source, "-o", at / "out.h5ad", "--table", at / "no" / "t.csv")
    return Given(lambda: command(*words), {"the folder": at})


@case(WRITE, "A model is saved over a folder of other things", "model.save('project', overwrite=True)",
      says=["the folder holds other things"])  # fmt: skip
def model_over_a_folder(at: Path) -> Given:
    (at / "project").mkdir()
    (at / "project" / "config.json").write_text('{"my": "settings"}')
    (at / "project" / "data.csv").write_text("precious")
    model = sb.models.load("bioverse-small")
    return Given(lambda: model.save(at / "project", overwrite=True), {"project": at / "project"})


@case(WRITE, "Notes lie in the model that is to be replaced", "model.save('mine', overwrite=True)",
      says=["the folder also holds notes.txt", "would be lost"])  # fmt: skip
def model_with_notes(at: Path) -> Given:
    model = sb.models.load("bioverse-small")
    model.save(at / "mine")
    (at / "mine" / "notes.txt").write_text("precious")
    return Given(lambda: model.save(at / "mine", overwrite=True), {"mine": at / "mine"})


@case(WRITE, "The state of a run would lie in a folder of other things",
      "sb.tl.tune(adata, text_key='cell_type', state='project')",
      says=["state=", "data.csv", "Name a new folder"])  # fmt: skip
def state_in_a_folder(at: Path) -> Given:
    (at / "project").mkdir()
    (at / "project" / "data.csv").write_text("precious")
    adata = blood()
    return Given(
        lambda: sb.tl.tune(adata, text_key="cell_type", state=at / "project"),
        {"adata": adata, "project": at / "project"},
    )


# ------------------------------------------------------------------ labels


def _annotate(at: Path, labels: Path) -> Given:
    source = _file(at)
    words = ("annotate", source, "-o", at / "out.h5ad", "--labels", labels)
    return Given(lambda: command(*words), {"in.h5ad": source, "the output": at / "out.h5ad"})


@case(LABELS, "A spreadsheet in place of text", "scbioverse annotate in.h5ad -o out.h5ad --labels labels.txt",
      says=["labels.txt cannot be read", "is not UTF-8"])  # fmt: skip
def labels_binary(at: Path) -> Given:
    (at / "labels.txt").write_bytes(b"PK\x03\x04\x14\x00\xff\xfe" + bytes(range(256)))
    return _annotate(at, at / "labels.txt")


@case(LABELS, "A named pipe, which would be waited for", "scbioverse annotate in.h5ad -o out.h5ad --labels labels.txt",
      says=["labels.txt cannot be read", "no plain file"])  # fmt: skip
def labels_pipe(at: Path) -> Given:
    os.mkfifo(at / "labels.txt")
    return _annotate(at, at / "labels.txt")


@case(LABELS, "A table of all cells in place of a list", "scbioverse annotate in.h5ad -o out.h5ad --labels cells.csv",
      says=["cells.csv has", "Is it the right file?"])  # fmt: skip
def labels_huge(at: Path) -> Given:
    pd.DataFrame({"cell": np.arange(900_000)}).to_csv(at / "cells.csv")
    return _annotate(at, at / "cells.csv")

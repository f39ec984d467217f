"""Molecules, proteins and labels that cannot be read as they are."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb

from . import Given, case, command
from ._inputs import blood

MOLECULES, PROTEINS, LABELS = "Molecules", "Proteins and FASTA files", "Labels"
TYPES = ["B cell", "CD14-positive monocyte", "natural killer cell"]


def fasta(at: Path, raw: bytes, name: str = "proteins.fasta") -> Given:
    path = at / name
    path.write_bytes(raw)
    return Given(lambda: sb.pp.proteins(path), {"proteins.fasta": path})


def labelled(labels: Any) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.annotate(adata, labels=labels, method="nearest"), {"adata": adata})


def label_file(at: Path, raw: bytes, name: str = "labels.txt") -> Given:
    path = at / name
    path.write_bytes(raw)
    return with_labels(at, path)


def with_labels(at: Path, path: Path) -> Given:
    source = at / "cells.h5ad"
    blood().write_h5ad(source)
    return Given(
        lambda: command("annotate", source, "-o", at / "out.h5ad", "--labels", path),
        {"cells.h5ad": source, "out.h5ad": at / "out.h5ad"},
    )


# ---------------------------------------------------------------- molecules


@case(
    MOLECULES,
    "A SMILES of 100,000 characters, on which rdkit would end the process",
    'sb.pp.molecules(["C" * 100_000])',
    says=["100,000 characters, at most 5,000 are read"],
)
def smiles_of_100000_characters(_: Path) -> Given:
    texts = ["C" * 100_000]
    return Given(lambda: sb.pp.molecules(texts), {"texts": texts})


@case(
    MOLECULES,
    "A SMILES of 1,000 rings, for which rdkit would take minutes",
    'sb.pp.molecules(["C1CC1" * 1_000])',
    says=["1,000 rings, at most 400 are read"],
)
def smiles_of_many_rings(_: Path) -> Given:
    texts = ["C1CC1" * 1_000]
    return Given(lambda: sb.pp.molecules(texts), {"texts": texts})


@case(
    MOLECULES,
    "A null character in a SMILES",
    "sb.pp.molecules(texts)",
    says=["1 of 2 SMILES cannot be read", "control character '\\x00' at position 2", "valid"],
    outcome="said",
)
def smiles_with_a_null_character(_: Path) -> Given:
    texts = ["C\0C", "CCO"]
    return Given(lambda: sb.pp.molecules(texts), {"texts": texts})


@case(
    MOLECULES,
    "Two drugs in one SMILES",
    "sb.pp.molecules(table)",
    says=["1 of 2 SMILES hold several substances, of which one is kept: 'both'", "salts='keep' keeps all"],
    outcome="said",
)
def two_drugs_in_one_smiles(_: Path) -> Given:
    smiles = ["CC(=O)Oc1ccccc1C(=O)O.Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CCO"]
    table = pd.DataFrame({"smiles": smiles}, index=["both", "ethanol"])
    return Given(lambda: sb.pp.molecules(table), {"table": table})


@case(MOLECULES, "One text in place of a list", 'sb.pp.molecules("CCO")', says=["expected a list", "pass ['CCO']"])
def one_smiles_in_place_of_a_list(_: Path) -> Given:
    return Given(lambda: sb.pp.molecules("CCO"), {})


@case(
    MOLECULES,
    "An AnnData in place of a table",
    "sb.pp.molecules(adata)",
    says=["found AnnData", "Pass adata.obs"],
)
def an_anndata_in_place_of_a_table(_: Path) -> Given:
    adata = ad.AnnData(obs=pd.DataFrame({"smiles": ["CCO"]}, index=["a"]))
    return Given(lambda: sb.pp.molecules(adata), {"adata": adata})  # type: ignore[arg-type]


@case(
    MOLECULES,
    "Two columns of one name",
    "sb.pp.molecules(table)",
    says=["several columns called 'smiles'", "rename or drop"],
)
def two_columns_of_smiles(_: Path) -> Given:
    table = pd.DataFrame([["CCO", "CCN"]], columns=["smiles", "smiles"], index=["a"])
    return Given(lambda: sb.pp.molecules(table), {"table": table})


@case(
    MOLECULES,
    "A further column of texts and numbers mixed, which write_h5ad would refuse later",
    "sb.pp.molecules(table)",
    says=["write_h5ad and write_zarr refuse", "'dose' (float, str)", "astype(str)"],
    outcome="said",
)
def a_mixed_column_beside_smiles(_: Path) -> Given:
    table = pd.DataFrame({"smiles": ["CCO", "CCN"], "dose": ["high", 1.5]}, index=["a", "b"])
    return Given(lambda: sb.pp.molecules(table), {"table": table})


@case(
    MOLECULES,
    "Numbers among the SMILES that are to be embedded",
    'sb.tl.embed(drugs, model="morgan", modality="molecule")',
    says=["2 of 4 rows of adata.obs['smiles'] hold no readable SMILES", "row 'b': '1.5'", "invalid='skip'"],
)
def numbers_among_smiles(_: Path) -> Given:
    held = pd.Series(["CCO", 1.5, None, 3], index=list("abcd"), dtype=object)
    drugs = ad.AnnData(obs=pd.DataFrame({"smiles": held}))
    return Given(lambda: sb.tl.embed(drugs, model="morgan", modality="molecule"), {"drugs": drugs})


@case(
    MOLECULES,
    "A complex for ChemNet, which reads one connected part",
    'sb.tl.embed(drugs, model="chemnet", modality="molecule")',
    says=["ChemNet reads one connected part", "'N.N.Cl[Pt]Cl'", "model='morgan' reads complexes whole"],
    outcome="said",
)
def a_complex_read_by_chemnet(_: Path) -> Given:
    drugs = sb.pp.molecules(pd.Series(["N.N.Cl[Pt]Cl"], index=["cisplatin"]))
    obs = drugs.obs
    return Given(lambda: sb.tl.embed(drugs, model="chemnet", modality="molecule"), {"drugs.obs": obs})


@case(
    MOLECULES,
    "An encoder of molecules for cells",
    'sb.tl.align(adata, text_key="cell_type", model="morgan")',
    says=["'morgan' reads molecules, not cells"],
)
def an_encoder_of_molecules_for_cells(_: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.align(adata, text_key="cell_type", model="morgan"), {"adata": adata})


@case(
    PROTEINS,
    "An encoder where a whole model is needed",
    'sb.tl.annotate(proteins, model="kmer", labels=[...])',
    says=["'kmer' is an encoder of proteins by itself", "scbioverse.tl.align("],
)
def an_encoder_in_place_of_a_model(_: Path) -> Given:
    made = sb.pp.proteins(["MKV", "MKL"])
    return Given(lambda: sb.tl.annotate(made, model="kmer", labels=["kinase", "toxin"]), {"proteins": made})


# ---------------------------------------------------------------- proteins


@case(
    PROTEINS,
    "Reads in place of proteins (FASTQ)",
    'sb.pp.proteins("proteins.fasta")',
    says=["line 1", "looks like FASTQ", "amino acid sequences are expected"],
)
def fastq_in_place_of_fasta(at: Path) -> Given:
    return fasta(at, b"@read1\nACGT\n+\nIIII\n")


@case(
    PROTEINS,
    "Genes in place of proteins (DNA)",
    'sb.pp.proteins("proteins.fasta")',
    says=["1 of 2 sequences hold nucleotide letters alone: 'gene'", "translate them first"],
    outcome="said",
)
def dna_in_place_of_proteins(at: Path) -> Given:
    return fasta(at, b">gene\n" + b"ACGTTGCA" * 10 + b"\n>protein\nMKVLSPADKTNVKAAWGKVGAHAGEYGAEALERMF\n")


@case(
    PROTEINS,
    "Text before the first header",
    'sb.pp.proteins("proteins.fasta")',
    says=["line 1: expected a header that starts with '>'", "MKVL"],
)
def text_before_the_first_header(at: Path) -> Given:
    return fasta(at, b"MKVL\n>a\nMKVL\n")


@case(
    PROTEINS,
    "A header without a sequence",
    'sb.pp.proteins("proteins.fasta")',
    says=["1 of 2 sequences cannot be read: 'a' (empty)", "valid"],
    outcome="said",
)
def a_header_without_a_sequence(at: Path) -> Given:
    return fasta(at, b">a\n\n>b\nMKVL\n")


@case(
    PROTEINS,
    "A gzipped file that was cut off",
    'sb.pp.proteins("proteins.fasta")',
    says=["is not a FASTA text file", "gzipped or not"],
)
def a_gzipped_fasta_cut_off(at: Path) -> Given:
    whole = gzip.compress(b"".join(b">p%d\n%s\n" % (n, os.urandom(40).hex().encode()) for n in range(200)))
    return fasta(at, whole[: len(whole) // 2])


@case(
    PROTEINS,
    "A file of 20 kB that unpacks to one line of 12 million letters",
    'sb.pp.proteins("proteins.fasta")',
    says=["a line of more than 10,000,000 characters"],
)
def a_fasta_that_unpacks_to_one_line(at: Path) -> Given:
    return fasta(at, gzip.compress(b">a\n" + b"M" * 12_000_000))


@case(
    PROTEINS,
    "A file of bytes that are no text",
    'sb.pp.proteins("proteins.fasta")',
    says=["is not a FASTA text file", "UTF-8"],
)
def a_fasta_in_another_encoding(at: Path) -> Given:
    return fasta(at, ">a\nMKVL\n".encode("utf-16"))


@case(
    PROTEINS,
    "A header with characters that act on a terminal",
    'sb.pp.proteins("proteins.fasta")',
    says=["line 1: the header holds the control character '\\x1b'"],
)
def a_header_with_an_escape_sequence(at: Path) -> Given:
    return fasta(at, b">a \x1b[2J\nMKVL\n")


@case(PROTEINS, "A sequence in place of a path", 'sb.pp.proteins("MKVL...")', says=["there is no FASTA file", "a list"])
def a_sequence_in_place_of_a_path(_: Path) -> Given:
    return Given(lambda: sb.pp.proteins("MKVL" * 2000), {})


@case(
    PROTEINS,
    "Digits in a sequence",
    "sb.pp.proteins(table)",
    says=["1 of 2 sequences cannot be read: 'b' (character '1' at position 3 is no residue)"],
    outcome="said",
)
def digits_in_a_sequence(_: Path) -> Given:
    table = pd.DataFrame({"sequence": ["MKV", "MK1V"]}, index=["a", "b"])
    return Given(lambda: sb.pp.proteins(table), {"table": table})


# ---------------------------------------------------------------- labels


@case(LABELS, "No labels", "sb.tl.annotate(adata, labels=[])", says=["labels is empty", "at least two names"])
def no_labels(_: Path) -> Given:
    return labelled([])


@case(LABELS, "One name as text", 'sb.tl.annotate(adata, labels="B cell")', says=["is one string", "a list of names"])
def labels_as_one_string(_: Path) -> Given:
    return labelled("B cell")


@case(
    LABELS,
    "A missing value among the labels, as in a column",
    'sb.tl.annotate(adata, labels=adata.obs["type"])',
    says=["a missing value (None or NaN)", "drop it first"],
)
def a_missing_label(_: Path) -> Given:
    return labelled(pd.Series([*TYPES, np.nan]))


@case(LABELS, "Cluster numbers", "sb.tl.annotate(adata, labels=[0, 1, 2])", says=["all labels are numbers", "groupby="])
def numbers_as_labels(_: Path) -> Given:
    return labelled(range(3))


@case(
    LABELS,
    "A list within the list",
    'sb.tl.annotate(adata, labels=[["B cell"], "T cell"])',
    says=["a value of type list", "Pass a list of names"],
)
def a_list_within_the_labels(_: Path) -> Given:
    return labelled([["B cell"], "T cell"])


@case(
    LABELS,
    "A table in place of a list",
    "sb.tl.annotate(adata, labels=table)",
    says=["labels is of type DataFrame", "pass a list of names"],
)
def a_table_as_labels(_: Path) -> Given:
    return labelled(pd.DataFrame({"label": TYPES}))


@case(
    LABELS,
    "An id that the Cell Ontology does not have",
    'sb.tl.annotate(adata, labels={"mine": "CL:9999999", ...})',
    says=["labels['mine'] = 'CL:9999999' is not a term of the Cell Ontology"],
)
def an_id_that_is_not_there(_: Path) -> Given:
    return labelled({"mine": "CL:9999999", "B cell": ""})


@case(
    LABELS,
    "A name with a null character, which no file takes",
    "sb.tl.annotate(adata, labels=[...])",
    says=["control character '\\x00'", "remove it"],
)
def a_label_with_a_null_character(_: Path) -> Given:
    return labelled(["B\0 cell", "T cell"])


@case(
    LABELS,
    "A name twice in a mapping, with two meanings",
    'sb.tl.annotate(adata, labels={"B": "CL:0000236", "b ": "CL:0000576"})',
    says=["names 'b' twice, with different meanings", "keep one"],
)
def a_label_of_two_meanings(_: Path) -> Given:
    return labelled({"B": "CL:0000236", "b ": "CL:0000576"})


@case(
    LABELS,
    "“unknown” and “nan” among the labels",
    'sb.tl.annotate(adata, labels=[..., "unknown", "nan"])',
    says=["['unknown', 'nan'] name no cell type and are left out", "unknown_threshold="],
    outcome="said",
)
def unknown_as_a_label(_: Path) -> Given:
    adata = blood()

    def check() -> None:
        assert "nan" not in set(adata.obs["bioverse_label"])

    X = adata.X
    labels = [*TYPES, "unknown", "nan"]
    return Given(
        lambda: sb.tl.annotate(adata, labels=labels, method="nearest", unknown_threshold=0), {"adata.X": X}, check
    )


@case(
    LABELS,
    "Names that differ in case and blanks only",
    'sb.tl.annotate(adata, labels=["B cell", " b  Cell", ...])',
    says=["labels repeat and are used once each: ['B cell']"],
    outcome="said",
)
def labels_that_differ_in_case(_: Path) -> Given:
    adata = blood()
    labels = [*TYPES, " b  Cell"]
    return Given(lambda: sb.tl.annotate(adata, labels=labels, method="nearest"), {"adata.X": adata.X})


@case(
    LABELS,
    "A file of labels with characters that act on a terminal",
    "scbioverse annotate cells.h5ad -o out.h5ad --labels labels.txt",
    says=["control character '\\x1b'"],
)
def a_label_file_with_an_escape_sequence(at: Path) -> Given:
    return label_file(at, b"B cell\n\x1b[2J\x1b]0;title\x07T cell\n")


@case(
    LABELS,
    "A file of labels in which a name stands twice",
    "scbioverse annotate cells.h5ad -o out.h5ad --labels labels.txt",
    says=["names 'B' twice, as 'CL:0000236' and as 'CL:0000576'", "keep one"],
)
def a_label_file_with_two_meanings(at: Path) -> Given:
    return label_file(at, b"B\tCL:0000236\nB\tCL:0000576\n")

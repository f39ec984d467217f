"""`sb.pp.proteins`: a FASTA file or sequences to an AnnData whose rows are proteins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .._logging import first_few, logger, shown_name, warn
from .._slots import write_record
from ..errors import InputError
from ._sequences import AMBIGUOUS, clean_sequence, read_fasta
from ._text_column import cell_text, duplicate_of, join_report, text_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData

_SHOWN = 5  # rows that a message names
_NUCLEOTIDES = frozenset("ACGTUN")
_LONG_ENOUGH = 30  # residues from which a text of nucleotide letters alone is no accident
_LONG_ENOUGH_RNA = 12  # so many, where the rarest residue of all, selenocysteine, stands for uracil again and again


def proteins(
    data: str | Path | Iterable[str] | Mapping[str, str] | pd.DataFrame,
    *,
    key: str = "sequence",
) -> AnnData:
    """Read amino acid sequences into an AnnData, one row a protein, and report on each.

    No row is dropped. A sequence that is empty or holds a character that is no residue is named in a warning and
    flagged; :func:`scbioverse.tl.embed` refuses it unless told `invalid="skip"`.

    Lower case becomes upper case, white space and gaps go, stops (`*`) at the end go and those inside become X.
    Ambiguous residues (B, J, O, U, X, Z) stay. Nothing is cut, however long.

    Parameters
    ----------
    data
        Path of a FASTA file (gzip or not); sequences; a series of them, whose index is kept; name → sequence; or a
        table with a column of sequences, whose other columns and index are kept.
    key
        The table's column with sequences.

    Returns
    -------
    AnnData without genes, (n, 0). `obs`: `sequence`, as given where it cannot be read; `description`, the header's text
    after the name; `valid`; `problem`, why it cannot be read; `length` (residues, 0 where it cannot be read);
    `n_ambiguous`; `n_stops`, stops inside; `duplicate_of`, the row name of the first equal sequence. A record in
    `uns["bioverse"]["proteins"]`.

    Raises
    ------
    InputError
        There is no such file or no sequence, or none can be read.
    MissingKeyError
        The table has no such column.

    Warns
    -----
    UserWarning
        Some sequences cannot be read, look like nucleotides, or hold line breaks; the table has columns of its own that
        are called as those found out here, which then begin with `bioverse_`.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.pp.proteins({"bradykinin": "RPPGFSPFR"}).obs["length"].tolist()
    [9]
    """
    import anndata as ad

    table = _table(data, key)
    if table.empty:
        raise InputError("there are no sequences: pass a FASTA file, or a list with at least one sequence")
    cleaned = [clean_sequence(cell_text(text)) for text in table[key]]
    bad = [(name, one.problem) for name, one in zip(table.index, cleaned, strict=True) if one.problem]
    named = first_few((f"{shown_name(name)!r}: {problem}" for name, problem in bad), _SHOWN, "; ")
    if len(bad) == len(table):
        raise InputError(f"none of {len(table)} sequences can be read: {named}.")
    texts = [one.text for one in cleaned]
    report = pd.DataFrame(
        {
            "valid": [not one.problem for one in cleaned],
            "problem": [one.problem for one in cleaned],
            "length": list(map(len, texts)),
            "n_ambiguous": [sum(map(text.count, AMBIGUOUS)) for text in texts],
            "n_stops": [0 if one.problem else one.n_stops for one in cleaned],
            "duplicate_of": duplicate_of(texts, table.index),
        },
        index=table.index,
    )
    given = [one.text or cell_text(text) for one, text in zip(cleaned, table[key], strict=True)]
    obs = join_report(table, report, key, "sequence", given)
    if "description" not in obs:
        obs.insert(1, "description", "")
    adata = ad.AnnData(obs=obs)
    n_duplicates = int((report["duplicate_of"] != "").sum())
    counts = {"n_invalid": len(bad), "n_duplicates": n_duplicates, "n_stops": int(report["n_stops"].sum())}
    write_record(adata, "proteins", **counts)
    lengths = report.loc[report["valid"], "length"]
    ambiguous, stopped = (report[["n_ambiguous", "n_stops"]] > 0).sum()
    said = "%d proteins of %d to %d residues: %d unreadable, %d duplicates, %d with ambiguous residues, %d with stops"
    logger.info(said, len(report), lengths.min(), lengths.max(), len(bad), n_duplicates, ambiguous, stopped)
    if bad:
        kept = "They are kept with obs['valid'] = False."
        warn(f"{len(bad)} of {len(table)} sequences cannot be read: {named}. {kept}")
    nucleotides = table.index[list(map(_is_nucleotides, texts))]
    if len(nucleotides):
        warn(
            f"{len(nucleotides)} of {len(table)} sequences hold nucleotide letters alone (first: "
            f"{shown_name(nucleotides[0])!r}); amino acids are expected: translate them first."
        )
    broken = table.index[["\n" in cell_text(text).strip() for text in table[key]]]
    if len(broken) and not isinstance(data, str | Path):
        warn(
            f"{len(broken)} of {len(table)} sequences hold line breaks (first: {shown_name(broken[0])!r}): their lines "
            "are read as one sequence each."
        )
    return adata


def _is_nucleotides(text: str) -> bool:
    long = len(text) >= _LONG_ENOUGH or (len(text) >= _LONG_ENOUGH_RNA and text.count("U") > 1)
    return long and _NUCLEOTIDES.issuperset(text)


def _table(data: str | Path | Iterable[str] | Mapping[str, str] | pd.DataFrame, key: str) -> pd.DataFrame:
    if isinstance(data, str | Path):
        records = read_fasta(data)
        table = pd.DataFrame(
            {key: [one.sequence for one in records], "description": [one.description for one in records]},
            index=[one.name for one in records],
        )
    elif isinstance(data, bytes):
        raise InputError(f"expected a path, a list of sequences or a table, found bytes: {data[:40]!r}")
    else:
        table = text_table(data, key, noun="sequences")
    table.index = table.index.astype(str)
    if not table.index.is_unique:
        from anndata.utils import make_index_unique

        logger.info("%d row names are repeated: numbers are added to them", int(table.index.duplicated().sum()))
        table.index = make_index_unique(table.index)
    return table

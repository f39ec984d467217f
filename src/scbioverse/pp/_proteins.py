"""`sb.pp.proteins`: a FASTA file or sequences to an AnnData whose rows are proteins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .._logging import logger
from .._slots import write_record
from ..errors import InputError
from ._sequences import AMBIGUOUS, clean_sequence, read_fasta
from ._text_column import cell_text, duplicate_of, join_report, text_table, warn_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData

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
    given = pd.Series(list(map(cell_text, table[key])), index=table.index, dtype=object)
    found = pd.DataFrame(list(map(clean_sequence, given)), index=table.index)
    texts, bad = found["text"], found["problem"] != ""
    if bad.all():
        problem = found["problem"].iloc[0]
        raise InputError(f"none of {len(table)} sequences can be read, the first is {given.iloc[0][:60]!r}: {problem}")
    report = _report(found)
    obs = join_report(table, report, key, "sequence", texts.where(texts != "", given))
    if "description" not in obs:
        obs.insert(1, "description", "")
    adata = ad.AnnData(obs=obs)
    n_duplicates = int((report["duplicate_of"] != "").sum())
    counts = {"n_invalid": int(bad.sum()), "n_duplicates": n_duplicates, "n_stops": int(report["n_stops"].sum())}
    write_record(adata, "proteins", **counts)
    lengths = report.loc[report["valid"], "length"]
    ambiguous, stopped = (report[["n_ambiguous", "n_stops"]] > 0).sum()
    said = "%d proteins of %d to %d residues: %d unreadable, %d duplicates, %d with ambiguous residues, %d with stops"
    logger.info(said, len(report), lengths.min(), lengths.max(), bad.sum(), n_duplicates, ambiguous, stopped)
    problems, translate = found["problem"], "Amino acids are expected: translate them first."
    warn_of_rows(problems[bad], len(table), "sequences cannot be read", "They are kept with obs['valid'] = False.")
    nucleotides, broken = texts.map(_is_nucleotides), given.str.strip().str.contains("\n")
    warn_of_rows(problems[nucleotides], len(table), "sequences hold nucleotide letters alone", translate)
    warn_of_rows(
        problems[broken], len(table), "sequences hold line breaks", "The lines of each are read as one sequence."
    )
    return adata


def _report(found: pd.DataFrame) -> pd.DataFrame:
    """Return what `obs` says of each of the rows of :class:`._sequences.Sequence`."""
    valid, texts = found["problem"] == "", found["text"]
    return pd.DataFrame(
        {
            "valid": valid,
            "problem": found["problem"],
            "length": texts.str.len(),
            "n_ambiguous": texts.str.count(f"[{AMBIGUOUS}]"),
            "n_stops": found["n_stops"].where(valid, 0),
            "duplicate_of": duplicate_of(texts, found.index),
        }
    )


def _is_nucleotides(text: str) -> bool:
    long = len(text) >= _LONG_ENOUGH or (len(text) >= _LONG_ENOUGH_RNA and text.count("U") > 1)
    return long and _NUCLEOTIDES.issuperset(text)


def _table(data: str | Path | Iterable[str] | Mapping[str, str] | pd.DataFrame, key: str) -> pd.DataFrame:
    if isinstance(data, str | Path):
        records = pd.DataFrame(read_fasta(data)).set_index("name")[["sequence", "description"]]
        table = records.rename(columns={"sequence": key}).rename_axis(None)
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

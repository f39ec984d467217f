"""`sb.pp.molecules`: SMILES to an AnnData whose rows are molecules."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._logging import logger, shown_name
from .._slots import write_record
from ..errors import InputError
from ._molecule_properties import molecule_property
from ._smiles import Charges, Salts, parse_smiles
from ._text_column import cell_text, duplicate_of, join_report, text_table, warn_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData

_FILES = (".csv", ".tsv", ".txt", ".smi", ".xlsx", ".sdf", ".parquet")
_COUNTED = ["n_heavy_atoms", "formal_charge", "n_stereo", "n_stereo_unset", "n_isotopes", "n_radical_electrons"]


def molecules(
    data: Iterable[str] | Mapping[str, str] | pd.DataFrame,
    *,
    key: str = "smiles",
    salts: Salts = "strip",
    charges: Charges = "keep",
) -> AnnData:
    """Read SMILES into an AnnData, one row a molecule, and report on each.

    No row is dropped. A SMILES that rdkit cannot read is named in a warning and flagged; :func:`scbioverse.tl.embed`
    refuses it unless told `invalid="skip"`.

    Parameters
    ----------
    data
        SMILES; a series of them, whose index is kept; name → SMILES; or a table with a column of SMILES, whose other
        columns and index are kept.
    key
        The table's column with SMILES.
    salts
        Which of several disconnected parts (salts, solvates, mixtures) the canonical form keeps. `"strip"`: what is
        no usual counter-ion or solvent. A complex of a metal stays whole (cisplatin, ferrocene), but for alkali and
        alkaline earth ions beside it, and so does a salt of nothing but counter-ions (sodium acetate, lithium
        carbonate). Of several other substances the largest is kept, and a warning names the row. `"largest"`: one part
        of whatever kind: one with carbon before one without, then the one with most heavy atoms, then the heavier one.
        `"keep"`: all.
    charges
        `"keep"`, or `"neutralise"`: protons are added or taken where that removes a charge.

    Returns
    -------
    AnnData without genes, (n, 0). `obs`: `smiles` as given; `canonical_smiles`, rdkit's, "" where unreadable; `valid`;
    `problem`, why it is unreadable; `n_fragments`, parts before any was left out; `left_out`, SMILES of these, "" where
    none was; of what is kept `n_heavy_atoms`, `formal_charge` (elementary charges), `n_stereo` (tetrahedral centres and
    double bonds that can have a configuration), `n_stereo_unset` (those whose configuration is not given), `n_isotopes`
    (atoms with a mass number) and `n_radical_electrons`;
    `duplicate_of`, the row name of the first molecule with the same canonical SMILES. A record in
    `uns["bioverse"]["molecules"]`.

    Raises
    ------
    InputError
        There are no SMILES, or none can be read.
    MissingKeyError
        The table has no such column.
    OptionalDependencyError
        rdkit is not installed.

    Warns
    -----
    UserWarning
        Some SMILES cannot be read; a part was left out that is no counter-ion or solvent; atoms lack hydrogens, so
        that they are radicals; an extension behind a SMILES (CXSMILES) is not read; the table has columns of its own
        that are called as those found out here, which then begin with `bioverse_`.

    Examples
    --------
    >>> import scbioverse as sb
    >>> drugs = sb.pp.molecules(["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"])
    >>> drugs.obs["canonical_smiles"].tolist()
    ['CC(=O)Oc1ccccc1C(=O)O', 'Cn1c(=O)c2c(ncn2C)n(C)c1=O']
    """
    import anndata as ad

    table = _table(data, key)
    texts = list(map(cell_text, table[key]))
    if not texts:
        raise InputError("there are no SMILES: pass a list with at least one, or a table with rows")
    parsed = pd.DataFrame(parse_smiles(texts, salts=salts, charges=charges), index=table.index)
    report = _report(parsed)
    bad = report[~report["valid"]]
    if len(bad) == len(report):
        problem = report["problem"].iloc[0]
        raise InputError(f"none of {len(report)} SMILES can be read, the first is {texts[0][:60]!r}: {problem}")
    obs = join_report(table, report, key, "smiles", texts)
    adata = ad.AnnData(obs=obs)
    counts = {
        "n_invalid": len(bad),
        "n_duplicates": int((report["duplicate_of"] != "").sum()),
        "n_mixtures": int((report["n_fragments"] > 1).sum()),
        "n_left_out": int((report["left_out"] != "").sum()),
    }
    write_record(adata, "molecules", salts=salts, charges=charges, **counts)
    charged, unset = (report["formal_charge"] != 0).sum(), (report["n_stereo_unset"] > 0).sum()
    said = (
        "%d molecules: %d unreadable, %d duplicates, %d of several parts (of %d some were left out: numbers are of the "
        "rest), %d charged, %d with stereo not set"
    )
    logger.info(said, len(report), *counts.values(), charged, unset)
    problems, n = report["problem"], len(report)
    warn_of_rows(
        problems[parsed["mixture"]], n, "SMILES hold several substances, of which one is kept",
        "obs['left_out'] holds the others; salts='keep' keeps all.",
    )  # fmt: skip
    unpaired = "SMILES hold unpaired electrons: radicals, or atoms in brackets without their hydrogens"
    warn_of_rows(problems[report["n_radical_electrons"] > 0], n, unpaired)
    extended = parsed["behind"].str.startswith("|")
    warn_of_rows(problems[extended], n, "SMILES have an extension behind them (CXSMILES), which is not read")
    warn_of_rows(problems[~report["valid"]], n, "SMILES cannot be read", "They are kept with obs['valid'] = False.")
    return adata


def _table(data: Iterable[str] | Mapping[str, str] | pd.DataFrame, key: str) -> pd.DataFrame:
    if isinstance(data, os.PathLike) or (isinstance(data, str) and data.lower().endswith(_FILES)):
        raise InputError(
            f"expected a list of SMILES or a table, found the name of a file, {str(data)[-60:]!r}: read it first, as "
            "by pandas.read_csv (sep='\\t' for tabs), and name the column of SMILES with key=."
        )
    if isinstance(data, str | bytes):
        raise InputError(f"expected a list of SMILES or a table, found the text {data[:60]!r}: pass [{data[:30]!r}]")
    table = text_table(data, key, noun="SMILES")
    if not table.index.is_unique:
        repeated = shown_name(table.index[table.index.duplicated()][0])
        raise InputError(f"row names must be unique, {repeated!r} is not: call reset_index() on the table first")
    return table


def _report(parsed: pd.DataFrame) -> pd.DataFrame:
    """Return what `obs` says of each of the rows of :class:`._smiles.Molecule`."""
    said = parsed[["canonical", "problem", "n_fragments", "left_out"]].rename(columns={"canonical": "canonical_smiles"})
    said.insert(1, "valid", parsed["mol"].notna())
    counted = pd.DataFrame(list(map(_counts, parsed["mol"])), columns=_COUNTED, index=parsed.index)
    return said.join(counted).assign(duplicate_of=duplicate_of(parsed["canonical"], parsed.index))


def _counts(mol: Any) -> tuple[int, ...]:
    """Count what :data:`_COUNTED` names; 0 of each in a molecule that was not read."""
    if mol is None:
        return (0,) * len(_COUNTED)
    from rdkit import Chem

    stereo = Chem.FindPotentialStereo(mol)
    unset = sum(item.specified != Chem.StereoSpecified.Specified for item in stereo)
    names = ("heavy_atoms", "charge", "isotopes", "radical_electrons")
    heavy, charge, isotopes, radicals = (int(molecule_property(mol, name)) for name in names)
    return heavy, charge, len(stereo), unset, isotopes, radicals

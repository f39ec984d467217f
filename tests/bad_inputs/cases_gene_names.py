"""Gene names that are not read, or not as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import scbioverse as sb

from . import Given, case
from ._inputs import blood

AREA = "Gene names"


def check_of(names: list[str]) -> Given:
    adata = blood()
    adata.var_names = names
    return Given(lambda: sb.pp.check_cells(adata), {"adata": adata})


@case(
    AREA,
    "symbols in title case, as mouse genes are written (`Cd3d`), but for one in fifty",
    "sb.tl.embed(adata)",
    says=["known human genes", "look like mouse genes", "adata.var_names.str.upper()"],
)
def title_case(at: Path) -> Given:
    adata = blood()
    adata.var_names = [name.capitalize() if i % 50 else name for i, name in enumerate(adata.var_names)]
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(
    AREA,
    "symbols in lower case (`cd3d`)",
    "sb.pp.check_cells(adata)",
    says=["genes match", "adata.var_names.str.upper()"],
)
def lower_case(at: Path) -> Given:
    return check_of([name.lower() for name in blood().var_names])


@case(
    AREA,
    "an Ensembl id glued before most symbols (`ENSG00000167286_CD3D`)",
    "sb.pp.check_cells(adata)",
    says=["known human genes", "would match", "str.split('_'"],
)
def glued_before(at: Path) -> Given:
    return check_of([f"ENSG{i:011d}_{name}" if i % 12 else name for i, name in enumerate(blood().var_names)])


@case(
    AREA,
    "an Ensembl id glued behind the symbol (`CD3D_ENSG00000167286`)",
    "sb.tl.embed(adata)",
    says=["would match", "str.rsplit('_', n=1).str[0]"],
)
def glued_behind(at: Path) -> Given:
    adata = blood()
    adata.var_names = [f"{name}_ENSG{i:011d}" for i, name in enumerate(adata.var_names)]
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(AREA, "a number behind a bar (`CD3D|925`)", "sb.pp.check_cells(adata)", says=["would match", "'|'"])
def number_behind_a_bar(at: Path) -> Given:
    return check_of([f"{name}|{i}" for i, name in enumerate(blood().var_names)])


@case(
    AREA,
    "names written as bytes are (`b'CD3D'`)",
    "sb.pp.check_cells(adata)",
    says=["would match", "b'"],
)
def text_of_bytes(at: Path) -> Given:
    return check_of([f"b'{name}'" for name in blood().var_names])


@case(
    AREA,
    "names that a file left as numbers, with symbols in a column of `var`",
    "sb.tl.embed(adata)",
    says=["numbers", "key='symbol'"],
)
def symbols_in_a_column(at: Path) -> Given:
    adata = blood()
    adata.var["symbol"] = list(adata.var_names)
    adata.var_names = [str(i) for i in range(adata.n_vars)]
    return Given(lambda: sb.tl.embed(adata), {"adata": adata})


@case(
    AREA,
    "a column of names in which two columns have one name",
    "sb.tl.embed(adata, key='symbol')",
    says=["occur more than once", "'CD3D'"],
)
def repeated_in_a_column(at: Path) -> Given:
    adata = blood()
    names = list(adata.var_names)
    names[names.index("CD3E")] = "CD3D"
    adata.var["symbol"] = names
    return Given(lambda: sb.tl.embed(adata, key="symbol"), {"adata": adata})


@case(
    AREA,
    "human genes beside as many of another species",
    "sb.pp.check_cells(adata)",
    says=["only", "known human genes", "Not read, for example: 'mm10___Gene"],
    outcome="said",
)
def two_species(at: Path) -> Given:
    adata = blood()
    adata.var_names = [name if i % 2 else f"mm10___Gene{i}x" for i, name in enumerate(adata.var_names)]
    return Given(lambda: sb.pp.check_cells(adata), {"adata": adata})


@case(
    AREA,
    "no name for some of the genes (NaN in the column)",
    "sb.pp.check_cells(adata, key='symbol')",
    says=["known human genes", "are read"],
    outcome="said",
)
def names_missing_and_unknown(at: Path) -> Given:
    adata = blood()
    names = np.array([name if i % 3 else f"probe {i} of the array" for i, name in enumerate(adata.var_names)], object)
    names[::7] = np.nan
    names[2::3] = [f"spot {i}" for i in range(len(names[2::3]))]
    adata.var["symbol"] = names
    return Given(lambda: sb.pp.check_cells(adata, key="symbol"), {"adata": adata})


@case(
    AREA,
    "every second symbol in lower case, as after joining two tables",
    "sb.tl.embed(adata)",
    outcome="said",
    says=["known human genes", "would match", "adata.var_names.str.upper()"],
)
def half_lower_case(at: Path) -> Given:
    adata = blood()
    adata.var_names = [name.lower() if i % 2 else name for i, name in enumerate(adata.var_names)]
    return Given(lambda: sb.tl.embed(adata), {})


@case(
    AREA,
    "a selection of seventeen marker genes",
    "sb.tl.annotate(adata)",
    says=["17 of 17 genes", "the names are right", "too few", "layer='raw'"],
)
def only_markers(at: Path) -> Given:
    chosen = ["CD3D", "CD3E", "MS4A1", "CD79A", "NKG7", "GNLY", "CD14", "LYZ", "FCGR3A", "PPBP", "CD8A", "CD8B"]
    chosen += ["IL7R", "CCR7", "S100A4", "FCER1A", "CST3"]
    adata = blood()[:, chosen].copy()
    return Given(lambda: sb.tl.annotate(adata), {"adata": adata})

"""`sb.get.celltypist`: the tables that CellTypist writes, of our labels."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._lazy import import_optional
from .._whole import written_whole
from ..errors import InputError
from ._labelled import Labelled, annotation, scores, texts

if TYPE_CHECKING:
    from anndata import AnnData

# What a sheet of Excel holds, its head among them.
_MOST_ROWS, _MOST_COLUMNS = 1_048_576, 16_384


def celltypist(
    adata: AnnData, *, key: str = "bioverse", path: str | Path | None = None, force: bool = False
) -> dict[str, pd.DataFrame]:
    """Return labels and probabilities as the tables that CellTypist writes, for what reads those.

    Names of tables and columns are CellTypist's (`AnnotationResult.to_table`). The numbers are ours: probabilities of
    the candidates, which sum to 1 over a row, where CellTypist's of each type are apart from those of the others.

    Parameters
    ----------
    adata, key
        Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.
    path
        Write the tables, too: a folder, for three files `.csv`, or a name that ends in `.xlsx`, for three sheets.
    force
        Replace files that exist.

    Returns
    -------
    `"predicted_labels"`: `predicted_labels`, and where groups were labelled `over_clustering` (the group) and
    `majority_voting` (its label), while `predicted_labels` is then the group's most probable candidate, whether or not
    that became its label: of the cells of a group nothing of their own is kept; `conf_score`, the probability of
    `predicted_labels`, missing where it was set by hand. `"decision_matrix"`: log-probability of each candidate
    (natural logarithm); `"probability_matrix"`: its exponential.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem.
    InputError
        A file exists, the folder is not there, or the tables are larger than a sheet.
    OptionalDependencyError
        `path` ends in `.xlsx`, and openpyxl is not installed.

    Examples
    --------
    >>> sb.get.celltypist(adata)["predicted_labels"]
    >>> sb.get.celltypist(adata, path="labels.xlsx")
    """
    labelled = Labelled.of(adata, key)
    adata, groupby = labelled.adata, labelled.noted("groupby")
    logs, found = scores(adata, key=key), annotation(adata, key=key)
    shares = pd.DataFrame(np.exp(logs.to_numpy()), index=logs.index, columns=logs.columns)
    labels = found["label"].astype(object).to_numpy()
    # Of a label that stands for several candidates, or was set by hand, the highest probability is another's.
    own = pd.DataFrame({"predicted_labels": labels, "conf_score": found["confidence"]}, index=adata.obs_names)
    if groupby in adata.obs:
        best = logs.columns.to_numpy()[logs.to_numpy().argmax(axis=1)]
        columns = {
            "predicted_labels": best,
            "over_clustering": texts(adata.obs[groupby]).to_numpy(),
            "majority_voting": labels,
        }
        own = pd.DataFrame(columns, index=adata.obs_names).assign(conf_score=shares.max(axis=1))
    tables: dict[str, pd.DataFrame] = {"predicted_labels": own, "decision_matrix": logs, "probability_matrix": shares}
    if path is not None:
        _write(tables, Path(path), force=force)
    return tables


def _write(tables: dict[str, pd.DataFrame], path: Path, *, force: bool) -> None:
    """Write all tables or none."""
    excel = path.suffix.lower() == ".xlsx"
    folder = path.parent if excel else path
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: make it first, or name a file that ends in .xlsx.")
    places = [path] if excel else [path / f"{name}.csv" for name in tables]
    for place in places:
        if place.exists() and not (force and place.is_file()):
            raise InputError(f"{place} exists. Pass force=True to replace it, or name another place.")
    with ExitStack() as stack:
        fresh = [stack.enter_context(written_whole(place)) for place in places]  # beside, until all are written
        if excel:
            _write_excel(tables, fresh[0])
        else:
            for table, place in zip(tables.values(), fresh, strict=True):
                table.to_csv(place, index_label="cell")


def _write_excel(tables: dict[str, pd.DataFrame], place: Path) -> None:
    openpyxl = import_optional("openpyxl", extra="excel", purpose="a table of Excel")
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = openpyxl.Workbook(write_only=True)
    for name, table in tables.items():
        if len(table) >= _MOST_ROWS or table.shape[1] >= _MOST_COLUMNS:
            raise InputError(
                f"{name} has {len(table)} rows, more than a sheet of Excel: name a folder, for .csv files."
            )
        sheet = book.create_sheet(name)

        def cell(value: object, sheet: object = sheet) -> object:
            if isinstance(value, float | np.floating):
                return float(value) if np.isfinite(value) else None
            if value is None or value is pd.NA:
                return None
            # As text: a label that begins with "=" is no formula.
            made = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", str(value)))
            made.data_type = "s"
            return made

        for row in itertools.chain([("cell", *table.columns)], table.itertuples(name=None)):
            sheet.append(list(map(cell, row)))
    with place.open("wb") as file:
        book.save(file)

"""A column of texts as people have it: a list, a series, a mapping or a table, with numbers, bytes or gaps in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from .._logging import first_few, shown_name, warn
from ..errors import InputError, MissingKeyError

_SHOWN = 5


def cell_text(value: Any) -> str:
    """Text of one cell of a table: `""` where it is missing, bytes decoded, anything else as it is written."""
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", errors="replace")
    return "" if is_missing(value) else str(value)


def is_missing(value: Any) -> bool:
    """Whether something is None, NaN or NA."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def storable(text: str) -> str:
    r"""Return the text as files can hold it: a null character as `\x00`, half a surrogate pair as `\ud800`."""
    return text.replace("\0", "\\x00").encode("utf-8", errors="backslashreplace").decode("utf-8")


def text_table(data: Any, key: str, *, noun: str) -> pd.DataFrame:
    """Bring texts, a series or mapping of them with names, or a table into a table with the column `key`.

    The index holds the names. `noun` is what a text is, for messages.
    """
    if isinstance(data, pd.DataFrame):
        table = data.copy()
        table.columns = table.columns.map(str)
        if key not in table.columns:
            like = next((one for one in table.columns if one.strip().casefold() == key.casefold()), None)
            way = f" Pass key={like!r}." if like else " Name it with key=."
            raise MissingKeyError(f"the table has no column {key!r} (found: {list(table.columns)}).{way}")
        twice = table.columns[table.columns.duplicated()]
        if len(twice):
            raise InputError(f"the table has several columns called {twice[0]!r}: rename or drop all but one.")
        # anndata writes pandas' own strings only where it is told to.
        table = table.astype(dict.fromkeys(table.select_dtypes("string"), object))
    elif isinstance(data, pd.Series | Mapping):
        series = data if isinstance(data, pd.Series) else pd.Series(dict(data), dtype=object)
        table = series.astype(object).to_frame(key)
    elif isinstance(data, Iterable) and not hasattr(data, "obsm") and getattr(data, "ndim", 1) == 1:
        # The order of a set changes from one run to the next.
        ordered = sorted(data, key=str) if isinstance(data, set | frozenset) else list(data)
        table = pd.DataFrame({key: ordered}, dtype=object)
    else:
        hint = " Pass adata.obs, or a column of it." if hasattr(data, "obsm") else ""
        raise InputError(f"expected a list of {noun}, a series or a table of them, found {type(data).__name__}.{hint}")
    table.index = table.index.astype(str)
    return table


def duplicate_of(texts: Iterable[str], names: pd.Index) -> list[str]:
    """Name of the first row with each row's text; `""` for that row itself, and for rows without a text."""
    rows = pd.DataFrame({"text": list(texts), "name": names.astype(str)})
    first = rows.groupby("text")["name"].transform("first")
    return first.where((rows["text"] != "") & (first != rows["name"]), "").tolist()


def warn_of_rows(problems: pd.Series, n: int, what: str, advice: str = "") -> None:
    """Warn of some of `n` rows, if there are any; name a few, with the problem of each, `""` for none."""
    if len(problems):
        said = problems.map(lambda problem: problem and f" ({problem})")
        named = first_few((f"{shown_name(str(name))!r}{problem}" for name, problem in said.items()), _SHOWN)
        warn(f"{len(problems)} of {n} {what}: {named}. {advice}".rstrip())


def join_report(table: pd.DataFrame, report: pd.DataFrame, key: str, own: str, texts: Iterable[str]) -> pd.DataFrame:
    """Put texts and what was found out about them before the table's other columns.

    No column of the table is changed: what is found out under a name that it has, too, goes into one whose name begins
    with `bioverse_`, unless it is the same, and a warning says so. Another names columns that no file takes. An
    :class:`InputError` where the table has a column `own` that is not the one to read.
    """
    if key != own and own in table.columns:
        raise InputError(
            f"the table has a column {own!r} beside the one to read, {key!r}, which would take its name: rename one, "
            f"table.rename(columns={{{own!r}: {own + '_given'!r}}})."
        )
    clash = [one for one in map(str, report) if one in table and one != key and list(table[one]) != list(report[one])]
    if clash:
        warn(
            f"the table has columns of its own called {', '.join(clash)}: they are kept, and what was found out now is "
            f"in {', '.join(f'bioverse_{name}' for name in clash)}."
        )
    report = report.rename(columns={name: f"bioverse_{name}" for name in clash})
    obs = pd.concat([table.drop(columns=table.columns.intersection([key, *report])), report], axis=1)
    obs.insert(0, own, list(map(storable, texts)))
    odd = {name: kinds for name in obs.columns if (kinds := _kinds(obs[name]))}
    if odd:
        named = "; ".join(f"{shown_name(name)!r} ({kinds})" for name, kinds in list(odd.items())[:_SHOWN])
        warn(
            f"write_h5ad and write_zarr refuse columns of anything but texts or numbers: {named}. They are kept. "
            "To make one text: adata.obs[name] = adata.obs[name].astype(str)."
        )
    return obs


def _kinds(column: pd.Series) -> str:
    """Kinds of values of a column that no file takes, `""` for a column that can be written."""
    held = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    if held.dtype != object:
        return str(held.dtype) if held.dtype.kind in "mM" or isinstance(held.dtype, pd.PeriodDtype) else ""
    kinds = {type(one).__name__ for one in held if not is_missing(one)}
    return "" if kinds <= {"str"} or kinds == {"bytes"} else ", ".join(sorted(kinds))

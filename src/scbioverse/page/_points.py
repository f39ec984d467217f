"""The map of a page: places and colours of cells, packed for a browser."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._device import Rng, as_seed
from .._logging import shown_name
from ..get._labelled import Labelled
from ..pl._layout import map_of
from ..pl._style import palette

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from .._slots import Slots

MOST_CATEGORIES = 60  # more colours than that nobody tells apart
_NO_VALUE = 65535


def pack(values: NDArray) -> str:
    """Return an array of whole numbers below 65,536 as base64 of its little-endian bytes."""
    return base64.b64encode(np.ascontiguousarray(values, "<u2").tobytes()).decode("ascii")


def places(flat: NDArray[np.floating]) -> dict[str, Any]:
    """Pack a map: whole numbers from 0 to 65,534 on each axis, in the map's own proportions."""
    flat = np.nan_to_num(np.asarray(flat, np.float64))
    low, span = flat.min(axis=0), max(float(np.ptp(flat, axis=0).max()), 1e-9)
    whole = np.round((flat - low) / span * (_NO_VALUE - 1))
    return {"x": pack(whole[:, 0]), "y": pack(whole[:, 1])}


def categories(adata: AnnData, rows: NDArray[np.intp], column: str, name: str) -> dict[str, Any]:
    """Pack a column of names: codes of `rows`, the names with their colours, and how many of all rows each has."""
    whole = adata.obs[column].astype("category")
    values = whole.iloc[rows].cat.remove_unused_categories()
    names = list(map(str, values.cat.categories))
    codes = values.cat.codes.to_numpy().astype(np.int64)
    hues = palette(adata, column, names)
    counts = whole.value_counts()[values.cat.categories]
    return {
        "name": name,
        "kind": "names",
        "codes": pack(np.where(codes < 0, _NO_VALUE, codes)),
        "names": list(map(shown_name, names)),
        "hues": [hues[one] for one in names],
        "counts": counts.tolist(),
    }


def shares(values: NDArray[np.floating], name: str) -> dict[str, Any]:
    """Pack numbers from 0 to 1 as whole numbers from 0 to 1,000."""
    values = np.asarray(values, np.float64)
    codes = np.where(np.isfinite(values), np.round(1000 * np.clip(np.nan_to_num(values), 0, 1)), _NO_VALUE)
    return {"name": name, "kind": "numbers", "codes": pack(codes), "low": 0.0, "high": 1.0}


def colourings(adata: AnnData, slots: Slots, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Return what a map of some rows can be coloured by: label, confidence, and the other columns of few names."""
    part = adata.obs.iloc[rows]
    known = {slots.label: "Label", slots.confidence: "Confidence", slots.group: "Group found", "cell_type": "Cell type"}
    out = [categories(adata, rows, slots.label, "Label")]
    if slots.confidence in part:
        out.append(shares(part[slots.confidence].to_numpy(), "Confidence"))
    for column in part.columns:
        own = column.startswith(f"{slots.key}_") and column not in (slots.group, slots.rollup)
        named = isinstance(part[column].dtype, pd.CategoricalDtype)
        if named and not own and 1 < int(part[column].nunique()) <= MOST_CATEGORIES:
            out.append(categories(adata, rows, column, known.get(column, shown_name(str(column)))))
    return out


def sampled_map(
    adata: AnnData, slots: Slots, *, basis: str | None, most: int, rng: Rng
) -> tuple[NDArray[np.intp], NDArray[np.float32], str]:
    """Return rows to show (all, or a seeded sample of `most`), their places, and what the axes are called."""
    rows = np.arange(adata.n_obs)
    if adata.n_obs > most:
        rows = np.sort(np.random.default_rng(as_seed(rng)).choice(adata.n_obs, most, replace=False))
    flat, axis_name = map_of(adata, basis=basis, embedding=Labelled(adata, slots).embedding, rng=rng)
    return rows, flat[rows], axis_name

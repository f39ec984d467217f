"""Which matrix of an AnnData is meant, and what its columns are called. Nothing here reads values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData


def matrix_of(adata: AnnData, layer: str | None = None) -> Any:
    """Return the matrix that `layer` names, without reading it; of a view in memory it would be a copy of its part.

    `X` if None; `adata.raw.X` for `"raw"` unless a layer has that name; a `MissingKeyError` where there is none.
    """
    check_one_name("layer", layer)
    if layer in adata.layers and layer is not None:
        return adata.layers[layer]
    if layer == "raw" and adata.raw is not None:
        return adata.raw.X
    if layer is None and (X := adata.X) is not None:
        return X
    found = f"found: {layer_names(adata) or 'none'}"
    if layer is None:
        raise MissingKeyError(f"adata.X is empty (None). Layers {found}. Pass one as layer=.")
    if layer == "raw":
        raise MissingKeyError(
            f"adata.raw is not set, and no layer is called 'raw' ({found}). Leave layer out to read adata.X."
        )
    raw = "" if adata.raw is None else "; adata.raw is set: layer='raw'"
    raise MissingKeyError(f"layer {layer!r} is not in adata.layers ({found}{raw})")


def parent_of(adata: AnnData) -> AnnData:
    """Return what a view was cut out of, and anything else as it is: asking a view for its matrix copies it."""
    return adata._adata_ref if adata.is_view and not adata.isbacked else adata


def check_layer(adata: AnnData, layer: str | None) -> None:
    """Raise what :func:`matrix_of` raises, without the copy of its part that a view would make."""
    matrix_of(parent_of(adata), layer)


def check_one_name(option: str, name: object) -> None:
    """Raise an :class:`InputError` where an option that names one column or layer was given several."""
    if not isinstance(name, Hashable):
        raise InputError(f"{option}= takes one name, found {type(name).__name__}: {name!r:.80}.")


def layer_names(adata: AnnData) -> list[str]:
    """Return the names of the layers, sorted, without None: the key under which anndata 0.13 also holds `X` there."""
    return sorted(str(name) for name in adata.layers if name is not None)


def matrix_name(layer: str | None) -> str:
    """Return what messages call the matrix of `layer`."""
    return "adata.X" if layer is None else f"layer {layer!r}"


def is_raw(adata: AnnData, layer: str | None) -> bool:
    """Whether `layer` means `adata.raw`, which has genes of its own."""
    return layer == "raw" and layer not in adata.layers and adata.raw is not None


def var_of(adata: AnnData, layer: str | None = None) -> pd.DataFrame:
    """Return the gene table that belongs to the matrix of `layer`."""
    return adata.raw.var if is_raw(adata, layer) else adata.var


def gene_names(adata: AnnData, *, key: str | None = None, layer: str | None = None) -> list[str]:
    """Return the names of the columns of the matrix of `layer`, without spaces around them; `""` for NaN and None.

    `key` is a column of `var`, its index if None; a `MissingKeyError` where there is none.
    """
    check_one_name("layer", layer)
    check_one_name("key", key)
    var = var_of(adata, layer)
    if key is not None and key not in var.columns:
        raise MissingKeyError(f"{key!r} is not a column of adata.var (found: {list(map(str, var.columns)) or 'none'})")
    return names_in(var.index if key is None else var[key])


def names_in(values: Iterable[Any]) -> list[str]:
    """Read names of any type: text, bytes as some files hold them, numbers; `""` for what is missing."""
    return [_name(one) for one in values]


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip()


def is_anndata(data: Any) -> bool:
    """Whether `data` is an AnnData, or behaves like one."""
    return hasattr(data, "obs_names") and hasattr(data, "layers")

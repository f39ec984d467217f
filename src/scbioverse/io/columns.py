"""A column of `obs` that a user named, checked as such."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData


def obs_column(adata: AnnData, name: Any, argument: str, *, advice: str = "") -> pd.Series:
    """Return the column of `obs` that a user named as some argument; `advice` ends the error where there is none.

    An :class:`InputError` where it is no name or two columns have it, a :class:`MissingKeyError` where none has.
    """
    found = f"(found: {list(map(str, adata.obs.columns)) or 'none'})"
    if isinstance(name, list | tuple | set | frozenset) or hasattr(name, "shape"):
        raise InputError(
            f"{argument} takes the name of one column of adata.obs; found a {type(name).__name__}: {name!s:.80}. "
            f"Pass one {found}, or join several first: adata.obs['both'] = adata.obs['a'].astype(str) + ' ' + "
            "adata.obs['b'].astype(str)."
        )
    if name not in adata.obs:
        raise MissingKeyError(f"{argument}={name!r} is not a column of adata.obs {found}. {advice}".rstrip())
    column = adata.obs[name]
    if column.ndim != 1:
        raise InputError(
            f"adata.obs has {column.shape[1]} columns called {name!r}: rename one, so that it is clear which is meant."
        )
    return column


def as_categories(column: pd.Series, argument: str) -> pd.Series:
    """Return a column as texts that some row has, 1 and "1" one category; an `InputError` where values name none."""
    try:
        held = column.astype("category").cat.remove_unused_categories()
    except TypeError as error:  # of values without a hash
        kinds = sorted({type(one).__name__ for one in column if getattr(one, "__hash__", None) is None})
        raise InputError(
            f"{argument}={column.name!r} is a column with values of type {', '.join(kinds)}; expected one name a row. "
            f"Join the values of each first: adata.obs[{column.name!r}].map(' | '.join)."
        ) from error
    of_name, names = pd.factorize(pd.Index([str(one) for one in held.cat.categories], dtype=object))
    codes = np.append(of_name, -1)[held.cat.codes]  # -1, missing, takes the last
    return pd.Series(pd.Categorical.from_codes(codes, names), index=column.index, name=column.name)

"""The one way in which results come into an AnnData: checked first, then all of them."""

from __future__ import annotations

import itertools
import re
import unicodedata
import warnings
from typing import TYPE_CHECKING, Any

from ._keys import UNS_ROOT
from ._logging import log_added
from ._record import as_json, records_of
from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData

_MOST_BYTES = 200


def check_target(adata: Any) -> None:
    """Refuse, before anything is computed, what could not take the results: no AnnData, or foreign records."""
    if not hasattr(adata, "obsm") or not hasattr(adata, "uns"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}.")
    records_of(adata)


def write_results(
    adata: AnnData,
    verb: str,
    *,
    obs: Mapping[str, Any] | None = None,
    obsm: Mapping[str, Any] | None = None,
    records: Mapping[str, Mapping[str, Any]],
    drop: Iterable[str] = (),
) -> None:
    """Fill slots, and say so in the log. What can fail is done before the first slot is touched.

    Parameters
    ----------
    adata
        Changed in place. A view becomes an AnnData of its own, with a warning: its parent gets no results.
    verb
        Name of what made them, for the log.
    obs, obsm
        Values by slot, in the order to be written.
    records
        Fields by step.
    drop
        Columns of `obs` that an earlier run left and this one has no values for.

    Raises
    ------
    InputError
        See :func:`check_target`.
    """
    check_target(adata)
    # What can fail comes first, before a slot is touched.
    texts = {step: as_json(fields) for step, fields in records.items()}
    columns, arrays = dict(obs or {}), dict(obsm or {})
    if adata.is_view:
        _make_actual(adata)
    for slot, values in arrays.items():
        adata.obsm[slot] = values
    for slot, values in columns.items():
        adata.obs[slot] = values
    for slot in drop:
        if slot in adata.obs:
            del adata.obs[slot]
    adata.uns[UNS_ROOT] = {**records_of(adata), **texts}
    log_added(
        verb,
        [
            *(f"adata.obsm[{slot!r}]" for slot in arrays),
            *(f"adata.obs[{slot!r}]" for slot in columns),
            *(f"adata.uns[{UNS_ROOT!r}][{step!r}]" for step in texts),
        ],
    )


def columns_of(names: list[str]) -> list[str]:
    """Column names for a table of scores, such as files take.

    Slashes become "|", characters without a shape are left out, a name of dots alone gets one in front, a long one
    is cut; what then repeats or is reserved gets a number.
    """
    taken, out = {"_index"}, list[str]()
    for name in names:
        kept = "".join(sign for sign in re.sub(r"[/\\]", "|", name) if unicodedata.category(sign) not in ("Cc", "Cs"))
        # A store of zarr is a folder, which takes 255 bytes a name, and none that is all dots.
        stem = kept.encode()[:_MOST_BYTES].decode(errors="ignore").strip()
        stem = f"|{stem}" if set(stem) <= {"."} else stem
        numbered = (f"{stem} ({number})" for number in itertools.count(2))
        out.append(next(one for one in itertools.chain([stem], numbered) if one not in taken))
        taken.add(out[-1])
    return out


def own_copy(adata: AnnData) -> AnnData:
    """Return a copy in memory, for `copy=True`."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def _make_actual(adata: AnnData) -> None:
    from anndata import ImplicitModificationWarning

    warnings.warn(
        "adata is a view of another AnnData. It becomes one of its own now, which holds the results; the one that it "
        "is a view of gets none. Pass a copy, adata[...].copy(), to say that this is meant.",
        ImplicitModificationWarning,
        stacklevel=4,
    )
    # What anndata itself does at the first write, but also where the matrix lies in a file.
    adata._init_as_actual(own_copy(adata))

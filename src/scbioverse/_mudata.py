"""Which part of a MuData a function works on. The package `mudata` itself is not needed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

Result = TypeVar("Result")

# Usual names of the parts (scvi-tools, muon, 10x readers), by what scbioverse calls the modality.
_PARTS = {
    "cell": ("rna", "gex", "cell"),
    "protein": ("prot", "protein", "proteins", "adt", "cite"),
    "molecule": ("molecule", "molecules", "drug", "drugs", "rna"),
}


def is_mudata(data: Any) -> bool:
    """Whether `data` is a MuData, without importing its package."""
    return hasattr(data, "mod") and hasattr(data, "obsmap")


def part_of(data: Any, modality: str) -> AnnData:
    """Return the AnnData of a MuData that holds `modality`; an :class:`InputError` where none has a usual name."""
    known = {str(name).lower(): part for name, part in data.mod.items()}
    wanted = _PARTS.get(modality, (modality,))
    for name in wanted:
        if name in known:
            return known[name]
    raise InputError(
        f"the MuData has no part for modality {modality!r}: expected one of {list(wanted)}, found {sorted(data.mod)}. "
        "Pass the AnnData itself: mdata.mod[...]."
    )


def anndata_of(data: Any, modality: str = "cell", *, holds: str | None = None) -> Any:
    """Return the part of a MuData for `modality`, and anything else as it is.

    Where one part alone has the column `holds` in its `obs`, that part is meant.
    """
    if not is_mudata(data):
        return data
    # A column that one part alone has says which is meant, whatever the part is called.
    having = [part for part in data.mod.values() if holds is not None and holds in part.obs]
    return having[0] if len(having) == 1 else part_of(data, modality)


def on_part(verb: Callable[..., Result], arguments: dict[str, Any]) -> Result:
    """Run a verb on the part of a MuData that it is about, and return what it returns; of `copy=True` the whole copy.

    `arguments` are its arguments by name, the MuData as `"adata"`: `locals()` at its beginning.
    """
    given = dict(arguments)
    modality = str(given.get("modality", "cell"))
    for name in ("reference", "query"):
        if is_mudata(given.get(name)):
            given[name] = part_of(given[name], str(given.get("query_modality") or modality))
    whole = given.pop("adata")
    copied = bool(given.pop("copy", False))
    if copied:
        whole = whole.copy()
    found = verb(part_of(whole, modality), **given)
    return whole if copied else found

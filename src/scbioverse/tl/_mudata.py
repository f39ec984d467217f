"""Which part of a MuData a verb works on. The package `mudata` itself is not needed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

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
    """Return the AnnData of a MuData that holds `modality`.

    Raises
    ------
    InputError
        None has a usual name.
    """
    known = {str(name).lower(): part for name, part in data.mod.items()}
    wanted = _PARTS.get(modality, (modality,))
    for name in wanted:
        if name in known:
            return known[name]
    raise InputError(
        f"the MuData has no part for modality {modality!r}: expected one of {list(wanted)}, found {sorted(data.mod)}. "
        "Pass the AnnData itself: mdata.mod[...]."
    )

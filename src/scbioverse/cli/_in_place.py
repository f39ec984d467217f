"""Results put into a zarr store, whole or not at all; nothing else of the store is touched.

What is new is written beside the store, then a list of what goes where, then everything is renamed into its place. Who
is killed before the list is there has changed nothing. After that the next command in the same folder finishes what
the list says (:func:`scbioverse._whole.clear_leftovers`), so that the store is never left with a part of the results;
unless another store has taken its place, known by the names of its rows and columns and by how its values lie.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._slots import UNS_ROOT
from .._whole import moved_whole
from ..errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData


_CONSOLIDATED = {2: ".zmetadata", 3: "zarr.json"}


@dataclass(frozen=True, eq=False)
class Before:
    """What there was before a verb ran."""

    obs: pd.DataFrame
    obsm: dict[str, Any]

    @classmethod
    def of(cls, adata: AnnData) -> Before:
        """Remember what an AnnData holds."""
        return cls(adata.obs.copy(deep=False), dict(adata.obsm))


def write_in_place(adata: AnnData, store: Path, before: Before) -> None:
    """Put what a verb changed into the store that `adata` was opened from; `before` is what it held then.

    Nobody locks the store: two commands that write to it at once are not told of each other. A `MismatchError` where it
    has other rows by now, or in another order.
    """
    import zarr
    from anndata.io import read_elem, write_elem

    old: Any = zarr.open_group(store, mode="r")
    table = old["obs"]
    rows = read_elem(table[table.attrs["_index"]])
    if list(map(str, rows)) != list(map(str, adata.obs_names)):
        raise MismatchError(
            f"{store} has other rows than when it was read, or in another order ({len(rows)} now, {adata.n_obs} then), "
            "so that the results are not of these. It was left as it is now; run the same again."
        )
    # Columns that others put there meanwhile stay.
    added = [name for name in table.attrs["column-order"] if name not in before.obs and name not in adata.obs]
    version, was_consolidated = old.metadata.zarr_format, old.metadata.consolidated_metadata is not None
    meta = {2: ".zattrs", 3: "zarr.json"}[version]
    known_by = [f"{name}/{old[name].attrs['_index']}" for name in ("obs", "var")]
    known_by += [f"X/{file}" for file in ("indptr", meta, ".zarray")]
    with moved_whole(store, known_by) as (fresh, moves):
        root: Any = zarr.open_group(fresh, mode="w", zarr_format=version)
        obs = adata.obs[[name for name in adata.obs if not adata.obs[name].equals(before.obs.get(name))]]
        new = {
            "obs": obs.astype(dict.fromkeys(obs.select_dtypes(object), "category")),
            "obsm": {name: one for name, one in adata.obsm.items() if before.obsm.get(name) is not one},
            "uns": {UNS_ROOT: dict(adata.uns[UNS_ROOT])},  # last: records say of which run the rest is
        }
        for group, parts in new.items():
            write_elem(root, group, parts)
            put = [f"{group}/{name}" for name in parts] if group in old else [group]
            moves.update(zip(put, put, strict=True))
            if group == "obs":
                moves |= dict.fromkeys(f"obs/{name}" for name in before.obs.columns.difference(adata.obs.columns))
                # The order of the columns is in the attributes of their group; it comes after what it names.
                order = [*map(str, adata.obs.columns), *added]
                root["obs"].attrs.update({**dict(table.attrs), "column-order": order})
                moves |= {f"obs/{meta}": f"obs/{meta}"}
        if was_consolidated:
            file = _CONSOLIDATED[version]
            zarr.consolidate_metadata(root.store)
            was, made = (json.loads((at / file).read_text(encoding="utf-8")) for at in (store, fresh))
            text = json.dumps(_consolidated(was, made, moves))
            # What readers go by: before it is replaced they see the store as it was, but for tables that were replaced.
            (fresh / "consolidated").write_text(text, encoding="utf-8")
            moves[file] = "consolidated"


def _consolidated(root: dict[str, Any], new: dict[str, Any], moves: Iterable[str]) -> dict[str, Any]:
    """Return the metadata that a store keeps of all its parts, as they are after the moves from a `new` one."""
    held, made = (one.get("consolidated_metadata", one)["metadata"] for one in (root, new))
    for target in moves:
        inside = f"{target}/"
        group = target.removesuffix("/zarr.json")  # of a group of version 3 the file with its attributes alone
        for key in [one for one in held if one == target or one.startswith(inside)]:
            del held[key]
        held |= {one: node for one, node in made.items() if one in (target, group) or one.startswith(inside)}
    # zarr reads what is outside before what is in it.
    ordered = dict(sorted(held.items(), key=lambda one: (one[0].count("/"), one[0])))
    held.clear()
    held.update(ordered)
    return root

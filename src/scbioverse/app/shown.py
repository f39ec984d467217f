"""What the page shows, read from the data once and the same for every visitor."""

from __future__ import annotations

import threading
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

from .._logging import logger
from .._slots import Slots, anndata_of, correction_step, own_copy, read_record, records_of
from ..errors import BioverseError, InputError, MissingKeyError
from ..get._labelled import Labelled, texts
from ..io import Cells
from ..io.columns import obs_column
from ..knowledge import load_ontology, resolve_label
from ..page._findings import labels_found
from ..pl._layout import map_of, map_slot, stored_map
from ..pl._style import palette

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

# A column with more values names rows, not groups: no legend could show it.
MOST_VALUES = 200
_DEPTH = 1e4
# What columns that `annotate` wrote are called, by their slot.
_SLOTS_SAID = {
    "confidence": "Confidence", "margin": "Margin to the second label", "entropy": "Entropy",
    "elsewhere": "Nearer to another type", "cl_id": "Cell Ontology id", "group": "Group that was found",
}  # fmt: skip


class Shown:
    """A data set on the page; never changed.

    `label_key` is the column of `obs` with the labels, what `annotate` wrote if None; `basis` the slot of `obsm` with
    the map, the :func:`~scbioverse.pl._layout.stored_map` if None, else one is made. The other options are those of
    :func:`scbioverse.tl.ask`. `points` (n, 2) and `axes` are the map and what its axes are called; `earlier` the
    corrections of earlier visits to this file; `made` the slot that a map which was made here is to be kept in, or
    `""`.
    """

    def __init__(
        self,
        adata: AnnData,
        *,
        key_added: str = "bioverse",
        label_key: str | None = None,
        basis: str | None = None,
        groupby: str | None = None,
        layer: str | None = None,
        key: str | None = None,
        model: Any = "bioverse-small",
        title: str = "",
    ) -> None:
        adata = anndata_of(adata)
        # Of a view, or of a file, every look at the matrix would be a copy. Else its tables are copied: the caller may
        # go on with the data while the page is open.
        self.adata = own_copy(adata) if adata.isbacked or adata.is_view else light_copy(adata)
        self.slots = Slots(key_added)
        self.label_key = self.slots.label if label_key is None else label_key
        self.own = self.label_key == self.slots.label
        self.labels = self._labels()
        self.earlier = self._earlier()
        self.groupby = self.label_key if groupby is None and not self.own else groupby
        self.cells, self.model, self.title = Cells.of(self.adata, layer, key), model, title
        self.n = int(self.adata.n_obs)
        self.made, (self.points, self.axes) = self._map(basis)
        self._lock = threading.Lock()
        self.expression = lru_cache(maxsize=32)(self._expression)

    def _labels(self) -> pd.Series:
        advice = "Run scbioverse.tl.annotate(adata) first, or name a column of labels with label_key=."
        return texts(obs_column(self.adata, self.label_key, "label_key", advice=advice))

    @property
    def step(self) -> str:
        """Name of the record of corrections in `uns["bioverse"]`."""
        return correction_step(self.label_key)

    def _earlier(self) -> list[dict[str, Any]]:
        """Return the corrections of an earlier visit to this file; columns of the user's are in nobody's way."""
        if self.step in records_of(self.adata):
            return list(read_record(self.adata, self.step).get("steps") or [])
        for name in (f"{self.label_key}_before", f"{self.label_key}_corrected"):
            if name in self.adata.obs:
                raise InputError(
                    f"adata.obs has a column {name!r} of yours, and corrections are kept under this name. Rename it: "
                    f"adata.obs = adata.obs.rename(columns={{{name!r}: 'my_{name}'}})."
                )
        return []

    def _map(self, basis: str | None) -> tuple[str, tuple[NDArray[np.float32], str]]:
        """Return the slot that a map is to be kept in if it was made, `""` if it is the data's, and the map."""
        embedding = Labelled(self.adata, self.slots).embedding
        kept = basis or stored_map(self.adata, embedding)
        if kept is None:
            logger.info("no map in obsm: one is made of obsm[%r], which takes a while", embedding)
        points, axes = map_of(self.adata, basis=kept, embedding=embedding, rng=0)
        if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points).all():
            raise InputError(
                f"adata.obsm[{(kept or embedding)!r}] is no map: two columns of finite numbers are needed."
            )
        return "" if kept else map_slot(embedding), (np.ascontiguousarray(points, np.float32), axes)

    @property
    def columns(self) -> list[dict[str, str]]:
        """Columns of `obs` that the map can be coloured by: `by`, `name` and `kind` of each."""
        obs = self.adata.obs.drop(columns=self.label_key)
        obs = obs.loc[:, ~obs.columns.duplicated(keep=False)]
        groups = obs.select_dtypes(["category", "bool", "boolean"])
        held = dict.fromkeys(groups.columns[groups.nunique() <= MOST_VALUES], "group")
        held |= dict.fromkeys(obs.select_dtypes("number", exclude="timedelta"), "number")
        return [
            {"by": f"obs:{name}", "name": self._said(name), "kind": held[name]} for name in obs.columns if name in held
        ]

    def _said(self, name: str) -> str:
        return next((said for slot, said in _SLOTS_SAID.items() if getattr(self.slots, slot) == name), name)

    @cached_property
    def ids(self) -> dict[str, str]:
        """Cell Ontology id of each label, as `annotate` resolved it; of labels that have one."""
        return Labelled(self.adata, self.slots).ids() if self.own else {}

    def id_of(self, label: str) -> str:
        """Cell Ontology id of a label: as `annotate` resolved it, else as it is read by itself; `""` for none."""
        return self.ids.get(label) or resolve_label(label).cl_id or ""

    def term_of(self, label: str) -> str:
        """Say which term a label is read as, such as `"CL:0000236, B cell"`; `""` for none."""
        cl_id = self.id_of(label) if self.own else ""
        return f"{cl_id}, {load_ontology().term(cl_id).label}" if cl_id in load_ontology() else cl_id

    @cached_property
    def found(self) -> dict[str, dict[str, Any]]:
        """What `annotate` recorded of each label that it gave: term, reason, evidence, alternatives."""
        try:
            labels, _ = labels_found(self.adata, self.slots) if self.own else ([], [])
        except BioverseError:  # the record went lost, as after joining data
            labels = []
        return {one["name"]: one for one in labels}

    @property
    def genes(self) -> dict[str, int]:
        """Column of each gene, by its approved symbol and by its name in the data."""
        return self.cells.once(_genes_of)

    def suggest(self, start: str, most: int = 12) -> list[str]:
        """Genes whose names begin with some letters, the shortest first."""
        start = start.strip().upper()
        found = [name for name in self.genes if name.upper().startswith(start)] if start else []
        return sorted(found, key=lambda name: (len(name), name))[:most]

    def colours(self, names: list[str], column: str = "") -> list[str]:
        """Colour of each name, `"#rrggbb"`; the data's own where `uns` holds them."""
        return list(palette(self.adata, column or self.label_key, names).values())

    def values(self, by: str, obs: pd.DataFrame) -> tuple[dict[str, Any], NDArray[Any]]:
        """Read what the map is coloured by, `"gene:CD3E"` or `"obs:donor"`: what a legend says, with a value a row.

        Numbers are float32 with NaN for missing; groups int32 codes with -1 for missing. `obs` are the columns as a
        visitor has them.
        """
        kind, _, name = by.partition(":")
        if kind == "gene":
            return self.expression(name)
        if kind != "obs" or name not in obs:
            raise MissingKeyError(f"there is nothing called {name!r} to colour by.")
        column = obs[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            said: dict[str, Any] = {"kind": "number", "name": self._said(name), "unit": ""}
            return said, column.to_numpy(np.float32, na_value=np.nan)
        held = column.astype("category")
        if len(held.cat.categories) > MOST_VALUES:
            raise InputError(f"obs[{name!r}] has {len(held.cat.categories)} values, more than {MOST_VALUES}.")
        names = list(map(str, held.cat.categories))
        said = {"kind": "group", "name": self._said(name), "names": names, "colours": self.colours(names, name)}
        return said, held.cat.codes.to_numpy(np.int32)

    def _expression(self, name: str) -> tuple[dict[str, Any], NDArray[np.float32]]:
        genes = self.genes
        found = name if name in genes else next((one for one in genes if one.upper() == name.upper()), None)
        if found is None:
            near = self.suggest(name[:3], 4)
            others = f"; there are {', '.join(near)}" if near else ""
            raise MissingKeyError(f"no gene is called {name!r} here{others}.")
        with self._lock:  # blocks of a file are read by one at a time
            values = np.concatenate([block.toarray().ravel() for _, block in self.cells.blocks([genes[found]])])
            counts = self.cells.info.log_base is None
            if counts:
                values = np.log1p(values * (_DEPTH / np.maximum(self.cells.once(_totals), 1e-9)))
        unit = "ln(1 + expression per 10,000)" if counts else "as in the file (logarithms)"
        unit = "made from its rank in a list of genes" if self.cells.unlisted else unit
        return {"kind": "number", "name": found, "unit": unit, "gene": True}, values.astype(np.float32)


def _genes_of(cells: Cells) -> dict[str, int]:
    try:
        found = cells.gene_columns(min_genes=0)
    except InputError as error:
        raise InputError(f"genes cannot be shown: {error}") from error
    return {name: i for i, name in reversed(list(enumerate(cells.names))) if name} | found


def _totals(cells: Cells) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(block.sum(axis=1), np.float64).ravel() for _, block in cells.blocks()])


def light_copy(adata: AnnData) -> AnnData:
    """Return an AnnData with tables of its own and the matrices of another."""
    held = {slot: dict(getattr(adata, slot)) for slot in ("uns", "obsm", "varm", "layers", "obsp", "varp")}
    light = ad.AnnData(X=adata.X, obs=adata.obs.copy(), var=adata.var.copy(), **held)
    if (raw := adata.raw) is not None:
        light._raw = ad.Raw(light, X=raw.X, var=raw.var.copy(), varm=dict(raw.varm))
    return light

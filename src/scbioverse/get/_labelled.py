"""Annotated data: what was recorded, and what `obs` holds now, since rows may have been cut, joined or renamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pandas as pd

from .._logging import and_more, shown_name, warn
from .._slots import Slots, anndata_of, read_record, records_of
from ..errors import MissingKeyError, check_columns
from ..io import Cells, var_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

_SHOWN = 5


class Labelled(NamedTuple):
    """Data that :func:`scbioverse.tl.annotate` wrote to, and the names of the slots it filled."""

    adata: AnnData
    slots: Slots

    @classmethod
    def of(cls, data: Any, key: str | None, *needed: str) -> Self:
        """Return an AnnData, or the part of a MuData with the labels, and the slots of a stem, the usual one if None.

        A :class:`MissingKeyError` where one of the slots `needed`, by name, is not in `obs`.
        """
        slots = Slots() if key is None else Slots(key)
        adata = anndata_of(data, holds=slots.label)
        advice = f"Run scbioverse.tl.annotate(adata, key_added={slots.key!r}) first."
        check_columns(adata.obs, [getattr(slots, name) for name in needed], advice)
        return cls(adata, slots)

    @property
    def step(self) -> str:
        """Name of the record of `annotate`."""
        return self.slots.step("annotate")

    def record(self) -> dict[str, Any]:
        """Return the record of `annotate`; where it went lost but labels are there, say how."""
        if self.step not in records_of(self.adata) and self.slots.label in self.adata.obs:
            raise MissingKeyError(
                f"adata.obs[{self.slots.label!r}] holds labels, but their record in adata.uns is gone, as after "
                "anndata.concat, which drops uns. Join with uns_merge='first' or 'unique', or annotate again. "
                "scbioverse.get.labels and scbioverse.get.annotation read obs alone."
            )
        return read_record(self.adata, self.step)

    def noted(self, field: str) -> Any:
        """Return a field of the record of `annotate`; None where there is none."""
        return read_record(self.adata, self.step).get(field) if self.step in records_of(self.adata) else None

    @property
    def embedding(self) -> str:
        """Slot of `obsm` with the embedding that `annotate` read, which may bear another stem."""
        return self.noted("embedding") or self.slots.embedding()

    def cells(self, layer: str | None, key: str | None) -> Cells:
        """Return the cells as they are in a layer, with names of genes from a column of `var`.

        Where neither is named, as `annotate` read them, if what it read is still there.
        """
        if layer is None and key is None:
            layer, key = self.noted("layer"), self.noted("key")
            raw = ["raw"] * (self.adata.raw is not None)
            layer = layer if layer in [*self.adata.layers, *raw] else None
            key = key if key in var_of(self.adata, layer) else None
        return Cells.of(self.adata, layer, key)

    @property
    def n_corrected(self) -> int:
        """Rows whose label was set by hand, on the page of :func:`scbioverse.serve`."""
        set_by_hand = self.adata.obs.get(f"{self.slots.label}_corrected", pd.Series(dtype=bool))
        return int((set_by_hand == True).sum())  # noqa: E712  missing values are not

    def labels(self) -> pd.Series:
        """Label of every row as text, NaN where there is none."""
        return texts(self.of(self.adata, self.slots.key, "label").adata.obs[self.slots.label])

    def ids(self) -> dict[str, str]:
        """Cell Ontology id of each label that has one."""
        ids = self.adata.obs.get(self.slots.cl_id, pd.Series("", index=self.adata.obs.index)).astype(object)
        pairs = pd.DataFrame({"name": self.labels().to_numpy(), "id": ids.to_numpy()}).dropna()
        return {name: str(cl_id) for name, cl_id in pairs.drop_duplicates("name").to_numpy() if cl_id}

    def counts(self) -> dict[str, int]:
        """Rows of each label, the most frequent first."""
        return {str(name): int(n) for name, n in self.labels().dropna().value_counts().items()}

    def warn_of_changes(self, what: str) -> None:
        """Warn where the labels in `obs` are not those that were recorded, since `what` is of the recorded ones."""
        then = self.noted("n_labelled")
        if then is None or self.slots.label not in self.adata.obs:
            return  # nothing says what the labels were
        now = self.counts()
        if now == then:
            return
        gone, new = [name for name in then if name not in now], [name for name in now if name not in then]
        warn(
            f"adata.obs[{self.slots.label!r}] has changed since scbioverse.tl.annotate wrote it "
            f"({sum(now.values())} labelled rows now, {sum(then.values())} then; names that no row has any more: "
            f"{named(gone)}; new names: {named(new)}): {what} is of the rows and names at that time. Annotate again to "
            "have it of those here."
        )

    def groups(self, record: dict[str, Any], then: pd.DataFrame) -> pd.DataFrame:
        """Return the recorded groups as their rows are now: one row for each label that a group holds."""
        obs, groupby = self.adata.obs, record.get("groupby")
        if groupby not in obs:
            raise MissingKeyError(
                f"adata.obs has no column {groupby!r} any more, whose groups were labelled. What was found then is in "
                f"scbioverse.get.records(adata)[{self.step!r}]['groups']."
            )
        # By position: names of rows may repeat.
        rows = pd.DataFrame({"group": _group_names(obs, record), "label": self.labels().to_numpy()})
        rows["confidence"] = obs[self.slots.confidence].to_numpy() if self.slots.confidence in obs else np.nan
        held = rows.dropna(subset=["group", "label"]).groupby(["group", "label"], sort=False)["confidence"]
        now = held.agg(n="size", confidence="mean").reset_index()
        now["confidence"] = now["confidence"].astype(float).round(6)
        # As it was: still one label, of as many rows. What else is known of the group then still holds.
        single = now[~now["group"].duplicated(keep=False)]
        same = set(single.merge(then, on=["group", "n", "label"])["group"])
        order = {name: at for at, name in enumerate(dict.fromkeys([*then["group"], *now["group"]]))}
        if changed := [name for name in order if name not in same]:
            warn(
                f"groups of adata.obs[{groupby!r}] are not as scbioverse.tl.annotate left them ({named(changed)}): n, "
                "label and confidence are those in obs now, and the agreement is "
                "not known. Annotate again to have it."
            )
        # An empty table would turn numbers into objects.
        parts = [one for one in (then[then["group"].isin(same)], now[~now["group"].isin(same)]) if len(one)]
        table = pd.concat(parts or [then.head(0)]).reindex(columns=then.columns)
        return table.sort_values("group", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def texts(column: pd.Series) -> pd.Series:
    """Values of a column as text, NaN where there is none."""
    return column.astype(object).map(str, na_action="ignore")


def named(names: Iterable[str]) -> str:
    """Name a few, or say that there is none."""
    return and_more([repr(shown_name(name)) for name in names], _SHOWN) or "none"


def _group_names(obs: pd.DataFrame, record: dict[str, Any]) -> pd.Series:
    """Each row's group as :func:`scbioverse.tl.annotate` names it; NaN for rows without one."""
    groups = texts(obs[record["groupby"]]).reset_index(drop=True)
    split = [(one["group"], one["sample"]) for one in record.get("samples") or () if not one["harmonised"]]
    sample_key = record.get("sample_key")
    if not split or sample_key not in obs:
        return groups
    samples = texts(obs[sample_key]).fillna("no sample").reset_index(drop=True)
    alone = pd.MultiIndex.from_arrays([groups, samples]).isin(split)
    return groups.where(~alone, groups + " [" + samples + "]")

"""What `obs` holds now beside what was recorded: rows may have been cut, joined or renamed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._shown import shown_name
from .._slots import read_record, records_of
from .._warn import warn
from ..errors import MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData

    from .._slots import Slots

_SHOWN = 5


def annotate_record(adata: AnnData, slots: Slots) -> dict[str, Any]:
    """Return the record of :func:`scbioverse.tl.annotate`; where it went lost but labels are there, say how."""
    try:
        return read_record(adata, slots.step("annotate"))
    except MissingKeyError as error:
        if slots.label not in adata.obs:
            raise
        raise MissingKeyError(
            f"adata.obs[{slots.label!r}] holds labels, but their record in adata.uns is gone, as after anndata.concat, "
            "which drops uns. Join with uns_merge='first' or 'unique', or annotate again. "
            f"scbioverse.get.labels and scbioverse.get.annotation read obs alone. ({error})"
        ) from error


def labels_now(adata: AnnData, slots: Slots) -> pd.Series:
    """Label of every row as text, NaN where there is none."""
    if slots.label not in adata.obs:
        raise MissingKeyError(
            f"adata.obs has no {slots.label!r}. Run scbioverse.tl.annotate(adata, key_added={slots.key!r}) first."
        )
    return adata.obs[slots.label].astype(object).map(str, na_action="ignore")


def counts_of(labels: pd.Series) -> dict[str, int]:
    """Rows of each label, the most frequent first."""
    return {str(name): int(n) for name, n in labels.dropna().value_counts().items()}


def warn_of_changes(adata: AnnData, slots: Slots, what: str) -> None:
    """Warn where the labels in `obs` are not those that were recorded, since `what` is of the recorded ones."""
    step = slots.step("annotate")
    then = read_record(adata, step).get("n_labelled") if step in records_of(adata) else None
    if then is None or slots.label not in adata.obs:
        return  # nothing says what the labels were
    now = counts_of(labels_now(adata, slots))
    if now == then:
        return
    gone, new = _apart(then, now)
    parts = [f"{sum(now.values())} labelled rows now, {sum(then.values())} then"]
    parts += [f"no row is called {named(gone)} any more"] if gone else []
    parts += [f"{named(new)} {'was' if len(new) == 1 else 'were'} not there"] if new else []
    warn(
        f"adata.obs[{slots.label!r}] has changed since scbioverse.tl.annotate wrote it ({'; '.join(parts)}): {what} is "
        "of the rows and names at that time. Annotate again to have it of those here."
    )


def groups_now(adata: AnnData, slots: Slots, record: dict[str, Any], then: pd.DataFrame) -> pd.DataFrame:
    """Return the recorded groups as their rows are now: one row for each label that a group holds."""
    labels, groupby = labels_now(adata, slots), record.get("groupby")
    if groupby not in adata.obs:
        raise MissingKeyError(
            f"adata.obs has no column {groupby!r} any more, whose groups were labelled. What was found then is in "
            f"scbioverse.get.records(adata)[{slots.step('annotate')!r}]['groups']."
        )
    # By position: names of rows may repeat.
    rows = pd.DataFrame({"group": _group_names(adata, record), "label": labels.to_numpy()})
    rows["confidence"] = adata.obs[slots.confidence].to_numpy() if slots.confidence in adata.obs else np.nan
    held = rows.dropna(subset=["group", "label"]).groupby(["group", "label"], sort=False)["confidence"]
    now = held.agg(n="size", confidence="mean").reset_index()
    now["confidence"] = now["confidence"].astype(float).round(6)
    # As it was: still one label, of as many rows. What else is known of the group then still holds.
    single = now[~now["group"].duplicated(keep=False)]
    same = set(single.merge(then, on=["group", "n", "label"])["group"])
    order = {name: at for at, name in enumerate(dict.fromkeys([*then["group"], *now["group"]]))}
    changed = [name for name in order if name not in same]
    if changed:
        warn(
            f"group {named(changed)} of adata.obs[{groupby!r}] {'is' if len(changed) == 1 else 'are'} not as "
            "scbioverse.tl.annotate left them: n, label and confidence are those in obs now, and the agreement is not "
            "known. Annotate again to have it."
        )
    # An empty table would turn numbers into objects.
    parts = [one for one in (then[then["group"].isin(same)], now[~now["group"].isin(same)]) if len(one)]
    table = pd.concat(parts or [then.head(0)]).reindex(columns=then.columns)
    return table.sort_values("group", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def named(names: Iterable[str]) -> str:
    """Name a few."""
    held = list(names)
    shown = ", ".join(repr(shown_name(name)) for name in held[:_SHOWN])
    return shown if len(held) <= _SHOWN else f"{shown} and {len(held) - _SHOWN} more"


def _apart(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names that went, and names that came."""
    return [name for name in then if name not in now], [name for name in now if name not in then]


def _group_names(adata: AnnData, record: dict[str, Any]) -> pd.Series:
    """Each row's group as :func:`scbioverse.tl.annotate` names it; NaN for rows without one."""
    groups = adata.obs[record["groupby"]].astype(object).map(str, na_action="ignore").reset_index(drop=True)
    split = [(one["group"], one["sample"]) for one in record.get("samples") or () if not one["harmonised"]]
    sample_key = record.get("sample_key")
    if not split or sample_key not in adata.obs:
        return groups
    samples = adata.obs[sample_key].astype(object).map(str, na_action="ignore").fillna("no sample")
    samples = samples.reset_index(drop=True)
    alone = pd.MultiIndex.from_arrays([groups, samples]).isin(split)
    return groups.where(~alone, groups + " [" + samples + "]")

"""What `obs` holds now beside what was recorded: rows may have been cut, joined or renamed since."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._keys import Slots
from .._record import read_record
from .._shown import shown_name
from ..errors import MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

_SHOWN = 5
NOT_RECORDED = "not recorded"


def annotate_step(slots: Slots) -> str:
    """Name of the record of :func:`scbioverse.tl.annotate`."""
    return "annotate" if slots.key == Slots().key else f"annotate_{slots.key}"


def annotate_record(adata: AnnData, slots: Slots) -> dict[str, Any]:
    """Return the record of :func:`scbioverse.tl.annotate`; where it went lost but labels are there, say how.

    Raises
    ------
    MissingKeyError
        There is none.
    """
    try:
        return read_record(adata, annotate_step(slots))
    except MissingKeyError as error:
        if slots.label not in adata.obs:
            raise
        raise MissingKeyError(
            f"adata.obs[{slots.label!r}] holds labels, but their record in adata.uns is gone, as after anndata.concat, "
            "which drops uns. Join with uns_merge='first' or 'unique', or annotate again. "
            f"scbioverse.get.labels and scbioverse.get.annotation read obs alone. ({error})"
        ) from error


def counts_now(adata: AnnData, slots: Slots) -> dict[str, int]:
    """Rows of each label in `obs`, the most frequent first.

    Raises
    ------
    MissingKeyError
        There are no labels.
    """
    if slots.label not in adata.obs:
        raise MissingKeyError(
            f"adata.obs has no {slots.label!r}. Run scbioverse.tl.annotate(adata, key_added={slots.key!r}) first."
        )
    counts = adata.obs[slots.label].astype(object).dropna().map(str).value_counts()
    return {str(name): int(n) for name, n in counts.items()}


def warn_of_changes(adata: AnnData, slots: Slots, record: dict[str, Any], what: str) -> None:
    """Warn where the labels in `obs` are not those that were recorded, since `what` is of the recorded ones."""
    then = record.get("n_labelled")
    if then is None or slots.label not in adata.obs:
        return
    now = counts_now(adata, slots)
    if now == then:
        return
    gone, new = [name for name in then if name not in now], [name for name in now if name not in then]
    parts = [f"{sum(now.values())} labelled rows now, {sum(then.values())} then"]
    parts += [f"no row is called {named(gone)} any more"] if gone else []
    parts += [f"{named(new)} {'was' if len(new) == 1 else 'were'} not there"] if new else []
    warnings.warn(
        f"adata.obs[{slots.label!r}] has changed since scbioverse.tl.annotate wrote it ({'; '.join(parts)}): {what} is "
        "of the rows and names at that time. Annotate again to have it of those here.",
        UserWarning,
        stacklevel=3,
    )


def groups_now(adata: AnnData, slots: Slots, record: dict[str, Any], found: pd.DataFrame) -> pd.DataFrame:
    """Return the recorded groups as their rows are now: one row for each label that a group holds.

    Raises
    ------
    MissingKeyError
        The column of groups or of labels is gone.
    """
    counts_now(adata, slots)
    groupby, step = record.get("groupby"), annotate_step(slots)
    if groupby not in adata.obs:
        raise MissingKeyError(
            f"adata.obs has no column {groupby!r} any more, whose groups were labelled. What was found then is in "
            f"scbioverse.get.records(adata)[{step!r}]['groups']."
        )
    label = adata.obs[slots.label].astype(object).to_numpy()
    rows = pd.DataFrame({"group": _group_names(adata, record), "label": label})
    rows["confidence"] = adata.obs[slots.confidence].to_numpy() if slots.confidence in adata.obs else float("nan")
    rows = rows.dropna(subset=["group", "label"])
    rows["label"] = rows["label"].map(str)
    held = rows.groupby(["group", "label"], sort=False)["confidence"].agg(["size", "mean"])
    recorded = {str(row["group"]): row for row in found.to_dict("records")}
    order = [*recorded, *(name for name in dict.fromkeys(rows["group"]) if name not in recorded)]
    parts: dict[str, list[dict[str, Any]]] = {}
    for (group, label), (n, confidence) in zip(held.index, held.to_numpy(), strict=True):
        parts.setdefault(group, []).append(
            {"group": group, "n": int(n), "label": label, "confidence": round(float(confidence), 6)}
        )
    out: list[Any] = []
    changed: list[str] = []
    for group in order:
        then, now = recorded.get(group), parts.get(group, [])
        if then is not None and len(now) == 1 and (now[0]["n"], now[0]["label"]) == (then["n"], then["label"]):
            out.append(then)
            continue
        out.extend(now)  # of groups without rows nothing
        changed.append(group)
    if changed:
        warnings.warn(
            f"group {named(changed)} of adata.obs[{groupby!r}] {'is' if len(changed) == 1 else 'are'} not as "
            "scbioverse.tl.annotate left them: n, label and confidence are those in obs now, and the agreement is not "
            "known. Annotate again to have it.",
            UserWarning,
            stacklevel=3,
        )
    return pd.DataFrame(out, columns=list(found.columns))


def named(names: Iterable[str]) -> str:
    """Name a few."""
    held = list(names)
    shown = ", ".join(repr(shown_name(name)) for name in held[:_SHOWN])
    return shown if len(held) <= _SHOWN else f"{shown} and {len(held) - _SHOWN} more"


def _group_names(adata: AnnData, record: dict[str, Any]) -> list[Any]:
    """Each row's group as :func:`scbioverse.tl.annotate` names it; None for rows without one."""
    groups = [None if pd.isna(one) else str(one) for one in adata.obs[record["groupby"]].astype(object)]
    split = {(one["group"], one["sample"]) for one in record.get("samples") or [] if not one["harmonised"]}
    sample_key = record.get("sample_key")
    if not split or sample_key not in adata.obs:
        return groups
    samples = ["no sample" if pd.isna(one) else str(one) for one in adata.obs[sample_key].astype(object)]
    return [
        f"{group} [{sample}]" if (group, sample) in split else group
        for group, sample in zip(groups, samples, strict=True)
    ]

"""What a report says of labels: reasons, evidence, alternatives, and what a reader should be warned of."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get
from .._logging import shown_name
from .._slots import without_nan
from ..errors import InputError, MissingKeyError
from ..get._labelled import texts

if TYPE_CHECKING:
    from anndata import AnnData

    from .._slots import Slots

# A second label with less than this mean probability is no alternative.
_LEAST = 0.02
_ALTERNATIVES = 3
_UNSURE = 0.5
_MIXED = 0.7
# A gene that sets a label apart fourfold and is yet found in half of all other cells may float in all droplets.
_EVERYWHERE, _FOLD = 0.5, 2.0  # share of the others; log2
_EVIDENCE = [
    "gene", "direction", "against", "fraction_in", "fraction_out", "log_fold_change", "p", "verdict", "kind", "source",
]  # fmt: skip


def labels_found(adata: AnnData, slots: Slots) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one entry a label, the most frequent first, and what was warned of while the tables were read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # Of a label that was not recorded, such as one set by hand, id and term may be missing.
        table = get.labels(adata, key=slots.key).fillna({"cl_id": "", "term": "", "how": ""})
        claims = _table(get.evidence, adata, slots)
        scores = _table(get.scores, adata, slots)
    table = table[table["n"] > 0].sort_values("n", ascending=False, kind="stable")
    claims = pd.DataFrame(columns=["label"]) if claims is None else claims
    plain = without_nan(claims[pd.Index(_EVIDENCE).intersection(claims.columns, sort=False)])
    label, out = texts(adata.obs[slots.label]), []
    row: Any
    for row in table.itertuples():
        mine = (label == row.name).to_numpy()
        known = _known(adata, slots.confidence, mine)
        out.append(
            {
                "name": shown_name(row.name),
                "cl_id": row.cl_id,
                "term": row.term,
                "how": row.how,
                "n": int(row.n),
                "share": round(float(row.n) / max(adata.n_obs, 1), 6),
                "confidence": round(float(known.mean()), 4) if known.size else None,
                "unsure": round(float((known < _UNSURE).mean()), 4) if known.size else None,
                "reason": _reason(adata, slots, mine),
                "alternatives": _alternatives(scores, mine, row.name),
                "evidence": plain[claims["label"] == row.name].to_dict("records"),
            }
        )
    return out, list(dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning))


def cautions(adata: AnnData, slots: Slots, labels: list[dict[str, Any]]) -> list[str]:
    """Return what the data say against taking every label at its word, one sentence each."""
    obs, n = adata.obs, max(adata.n_obs, 1)
    few = [one["name"] for one in labels if one["n"] < 10]

    def some(which: Any, what: str) -> list[str]:
        part = int(np.sum(which))
        return [f"{part:,} of {n:,} cells ({100 * part / n:.1f} %) {what}"] if part else []

    def numbers(slot: str) -> np.ndarray:
        return obs.get(slot, pd.Series(np.nan, index=obs.index)).to_numpy(float)

    doubled = obs.get("predicted_doublet", pd.Series(dtype=object)).astype(object).map(str).str.lower()
    return [
        *some(obs[slots.label].isna(), "have no label: they are in no group."),
        *some(
            [one["n"] for one in labels if one["how"] == "unknown"],
            "are called unknown: no candidate is likely enough.",
        ),
        *some(
            numbers(slots.elsewhere) > _UNSURE,
            "are more like a type that is not among the candidates (open set). Their label is the nearest candidate; "
            "check whether a type is missing from the list.",
        ),
        *some(
            numbers(slots.confidence) < _UNSURE,
            f"have a confidence below {_UNSURE}: another label may be as likely.",
        ),
        *_mixed(_table(get.groups, adata, slots)),
        *some(doubled == "true", "are predicted doublets in obs['predicted_doublet'], and labelled all the same."),
        *_ambient(labels),
        *([f"Fewer than 10 cells each: {', '.join(few)}. Reasons of so few cells rest on little."] if few else []),
    ]


def _mixed(groups: pd.DataFrame | None) -> list[str]:
    """Say which groups may be mixtures."""
    if groups is None or "agreement" not in groups:
        return []
    mixed = groups[groups["agreement"].astype(float) < _MIXED]
    named = "; ".join(
        f"{shown_name(str(name))} ({n} cells, {100 * share:.0f} % alike)"
        for name, n, share in mixed[["group", "n", "agreement"]].head(8).to_numpy(object)
    )
    said = (
        f"Groups that may be mixtures of types, since fewer than {100 * _MIXED:.0f} % of their cells agree on a label: "
        f"{named}{' …' if len(mixed) > 8 else ''}."
    )
    return [said] if len(mixed) else []


def _ambient(labels: list[dict[str, Any]]) -> list[str]:
    """Say which genes of the reasons look as if their RNA lay in the droplets of other cells, too."""
    seen = [
        f"{claim['gene']} (marks {one['name']}, found in {100 * claim['fraction_out']:.0f} % of all other cells)"
        for one in labels
        for claim in one["evidence"]
        if (claim["direction"], claim.get("kind"), claim.get("against") or "") == ("high", "self", "")
        and (claim["fraction_out"] or 0) >= _EVERYWHERE
        and (claim["log_fold_change"] or 0) >= _FOLD
    ]
    if not seen:
        return []
    return [
        f"Ambient RNA is possible: genes that are at least {2**_FOLD:.0f} times higher in one label are found in most "
        f"other cells, too: {'; '.join(seen[:8])}. SoupX, DecontX or CellBender estimate and remove it."
    ]


def _table(read: Any, adata: AnnData, slots: Slots) -> pd.DataFrame | None:
    try:
        return read(adata, key=slots.key)
    except (MissingKeyError, InputError):
        return None


def _known(adata: AnnData, slot: str, mine: np.ndarray) -> np.ndarray:
    """Values of some rows, without those of labels set by hand, which have none."""
    values = adata.obs[slot].to_numpy(float)[mine] if slot in adata.obs else np.zeros(0)
    return values[np.isfinite(values)]


def _reason(adata: AnnData, slots: Slots, mine: np.ndarray) -> str:
    if slots.rationale not in adata.obs:
        return ""
    said = adata.obs[slots.rationale].astype(str)[mine].value_counts()
    # With a reason for each cell, or for each group, one label has several: the commonest stands for them.
    more = f" ({len(said) - 1:,} more wordings among these cells.)" if len(said) > 1 else ""
    return f"{said.index[0]}{more}"


def _alternatives(scores: pd.DataFrame | None, mine: np.ndarray, name: str) -> list[dict[str, Any]]:
    if scores is None:
        return []
    chances = np.exp(scores.to_numpy()[mine].astype(np.float64))  # of these rows alone: it is done for every label
    mean = pd.Series(chances.mean(axis=0), index=scores.columns).drop(name, errors="ignore")
    best = mean[mean >= _LEAST].sort_values(ascending=False).head(_ALTERNATIVES)
    return [{"name": shown_name(str(other)), "probability": round(float(p), 4)} for other, p in best.items()]

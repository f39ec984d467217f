"""One label and confidence for every row, and their way into an AnnData."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._keys import UNS_ROOT, Slots
from .._logging import log_added, logger
from .._record import write_record
from ._groups import Groups, agreement, group_scores
from ._reasons import NO_GROUP

if TYPE_CHECKING:
    from anndata import AnnData

    from ._labels import Label
    from ._representation import Representation

UNKNOWN = "unknown"
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """What was found.

    Attributes
    ----------
    log_probs
        float32 (n_obs, n_labels); a group's rows all hold the group's values.
    codes
        int64 (n_obs,): candidate of each row; -1 for rows without a group.
    confidence
        float32 (n_obs,), 0 to 1; NaN for rows without a group.
    known
        bool (n_obs,): confident enough.
    groups
        One dict a group: `group`, `n`, `label`, `confidence`, `agreement`.
    """

    log_probs: Float
    codes: NDArray[np.int64]
    confidence: Float
    known: NDArray[np.bool_]
    groups: list[dict[str, Any]]


def decide(log_probs: Float, names: list[str], groups: Groups | None, min_confidence: float) -> Answers:
    """Pick the most probable candidate for every row, or for every group."""
    if groups is None:
        codes = log_probs.argmax(axis=1).astype(np.int64)
        confidence = np.exp(log_probs.max(axis=1)).clip(0, 1).astype(np.float32)
        return Answers(log_probs, codes, confidence, confidence >= min_confidence, [])
    joint = group_scores(log_probs, groups)
    best = joint.argmax(axis=1).astype(np.int64)
    sure = np.exp(joint.max(axis=1)).clip(0, 1).astype(np.float32)
    inside = groups.codes >= 0
    shown = log_probs.copy()
    shown[inside] = joint[groups.codes[inside]]
    agree = agreement(log_probs, groups, best)
    table = [
        {"group": group, "n": int(n), "label": names[code] if conf >= min_confidence else UNKNOWN}
        | {"confidence": round(float(conf), 6), "agreement": round(float(share), 6)}
        for group, n, code, conf, share in zip(groups.names, groups.sizes, best, sure, agree, strict=True)
    ]
    # Index -1 (no group) takes the value put at the end.
    codes, confidence = np.append(best, -1)[groups.codes], np.append(sure, np.float32(np.nan))[groups.codes]
    return Answers(shown, codes, confidence, ~(confidence < min_confidence), table)


def columns_of(names: list[str]) -> list[str]:
    """Column names for the score table: "/" becomes "|", and what then repeats or is reserved gets a number."""
    taken: set[str] = {"_index"}
    out = []
    for name in names:
        column, number = name.replace("/", "|"), 2
        while column in taken:
            column, number = f"{name.replace('/', '|')} ({number})", number + 1
        taken.add(column)
        out.append(column)
    return out


def write_answers(
    adata: AnnData,
    slots: Slots,
    embedded: Representation,
    labels: list[Label],
    answers: Answers,
    sentences: list[str],
    aligned: Float | None,
    record: dict[str, Any],
) -> None:
    """Fill the slots. Everything was computed before, so that an error leaves the AnnData as it was."""
    names = [label.name for label in labels]
    index = adata.obs_names
    none = len(names)
    label_codes = np.where(answers.codes < 0, -1, np.where(answers.known, answers.codes, none))
    label = pd.Categorical.from_codes(label_codes, pd.Index([*names, _free(UNKNOWN, names)])).remove_unused_categories()
    ids = np.array([*[one.cl_id or "" for one in labels], ""], dtype=object)
    reasons = np.array([*sentences, NO_GROUP], dtype=object)
    rationale = [
        reasons[code] if known or code < 0 else f"Confidence {conf:.2f} is below the threshold. {reasons[code]}"
        for code, known, conf in zip(answers.codes, answers.known, answers.confidence, strict=True)
    ]
    filled = embedded.write(adata)
    adata.obs[slots.label] = pd.Series(label, index=index)
    adata.obs[slots.confidence] = answers.confidence
    adata.obs[slots.rationale] = pd.Series(rationale, index=index, dtype=object)
    adata.obs[slots.cl_id] = pd.Series(pd.Categorical(ids[label_codes]), index=index)
    adata.obsm[slots.scores] = pd.DataFrame(answers.log_probs, index=index, columns=columns_of(names))
    filled += [f"adata.obs[{s!r}]" for s in (slots.label, slots.confidence, slots.rationale, slots.cl_id)]
    filled += [f"adata.obsm[{slots.scores!r}]"]
    if aligned is not None:
        adata.obsm[slots.aligned] = aligned
        filled += [f"adata.obsm[{slots.aligned!r}]"]
    step = annotate_step(slots)
    write_record(adata, step, **record)
    log_added("annotate", [*filled, f"adata.uns[{UNS_ROOT!r}][{step!r}]"])
    counts = label.value_counts().sort_values(ascending=False)
    shown = ", ".join(f"{name} {int(n)}" for name, n in counts.items())
    logger.info("%d rows labelled: %s", int((answers.codes >= 0).sum()), shown)


def annotate_step(slots: Slots) -> str:
    """Name under which the verb records itself: `"annotate"`, with the stem where that is not the default."""
    return "annotate" if slots.key == Slots().key else f"annotate_{slots.key}"


def _free(name: str, taken: list[str]) -> str:
    return name if name not in taken else _free(f"{name} (below threshold)", taken)

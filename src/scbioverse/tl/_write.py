"""What `annotate` found, on its way into an AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._keys import Slots
from .._logging import logger
from .._results import write_results
from .._shown import shown_name
from ..predict.calls import columns_of

if TYPE_CHECKING:
    from anndata import AnnData

    from ..explain.reasons import Reasons
    from ..predict.calls import Answers
    from ..predict.candidates import Label
    from ..predict.embedding import Representation

_SHOWN = 10
Float = NDArray[np.float32]


def write_answers(
    adata: AnnData,
    slots: Slots,
    embedded: Representation,
    labels: list[Label],
    answers: Answers,
    why: Reasons,
    aligned: Float | None,
    record: dict[str, Any],
    texts: list[str] | None = None,
) -> None:
    """Fill the slots. Everything was computed before, so that an error leaves the AnnData as it was."""
    names = [one.name for one in answers.called]
    index = adata.obs_names
    label_codes = np.where(answers.codes < 0, -1, np.where(answers.known, answers.codes, len(names)))
    label = pd.Categorical.from_codes(label_codes, pd.Index([*names, answers.unknown])).remove_unused_categories()
    ids = np.array([*[one.cl_id or "" for one in answers.called], ""], dtype=object)
    in_obs: dict[str, Any] = {
        slots.label: pd.Series(label, index=index),
        slots.confidence: answers.confidence,
        slots.margin: answers.margin,
        slots.entropy: answers.entropy,
        **({} if answers.elsewhere is None else {slots.elsewhere: answers.elsewhere}),
        slots.rationale: pd.Series(
            why.of_rows(answers.codes, answers.known, answers.confidence), index=index, dtype=object
        ),
        slots.cl_id: pd.Series(pd.Categorical(ids[label_codes]), index=index),
    }
    if texts is not None:
        in_obs[slots.text] = np.array(texts, dtype=object)
    columns = columns_of([label.name for label in labels])
    scores = pd.DataFrame(answers.log_probs, index=index, columns=columns)
    # By which sb.get tells whether the labels are still those of this run.
    counts = label.value_counts()
    record = {**record, "n_labelled": {str(name): int(n) for name, n in counts.items()}}
    in_evidence = {"columns": list(why.table.columns), "rows": _rows_of(why.table)}
    write_results(
        adata,
        "annotate",
        obs=in_obs,
        obsm=embedded.obsm | {slots.scores: scores} | ({} if aligned is None else {slots.aligned: aligned}),
        records=embedded.records | {annotate_step(slots): record, evidence_step(slots): in_evidence},
        drop=[slot for slot in (slots.elsewhere, slots.text) if slot not in in_obs],
    )
    counts = counts.sort_values(ascending=False)
    shown = ", ".join(f"{shown_name(str(name))} {int(n)}" for name, n in counts.iloc[:_SHOWN].items())
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    logger.info("%d rows labelled: %s%s", int((answers.codes >= 0).sum()), shown, more)


def _rows_of(table: pd.DataFrame) -> list[list[Any]]:
    """Values for JSON, which has no NaN."""
    return [
        [None if isinstance(one, float) and one != one else one for one in row]
        for row in table.itertuples(index=False, name=None)
    ]


def annotate_step(slots: Slots) -> str:
    """Name under which the verb records itself: `"annotate"`, with the stem where that is not the default."""
    return "annotate" if slots.key == Slots().key else f"annotate_{slots.key}"


def evidence_step(slots: Slots) -> str:
    """Name under which the reasons' evidence is kept: `"evidence"`, with the stem where that is not the default."""
    return "evidence" if slots.key == Slots().key else f"evidence_{slots.key}"

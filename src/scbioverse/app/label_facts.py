"""Why cells have a label, as `annotate` recorded it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import BioverseError
from ..get import evidence, scores
from ..knowledge import load_ontology, resolve_label

if TYPE_CHECKING:
    from .shown import Shown

_MOST_REASONS, _MOST_ALTERNATIVES = 3, 5
_COLUMNS = ["gene", "direction", "against", "fraction_in", "fraction_out", "log_fold_change", "p", "n_in", "n_out"]


@dataclass(frozen=True, eq=False)
class LabelFacts:
    """What is known of a label.

    Attributes
    ----------
    name, cl_id, term
        The label, its Cell Ontology id and that term's name; empty where it resolved to none.
    n
        Cells that `annotate` gave it to, which all else here is of.
    reasons
        Its reasons, `text` and `n` cells each, the commonest first.
    alternatives
        Candidates by their mean probability in these cells: `name` and `probability`.
    evidence
        One row a claim about a gene, as :func:`scbioverse.get.evidence` has them.
    """

    name: str
    cl_id: str
    term: str
    n: int
    reasons: list[dict[str, Any]]
    alternatives: list[dict[str, Any]]
    evidence: pd.DataFrame


def facts_of(shown: Shown, name: str) -> LabelFacts:
    """Gather what `annotate` recorded of a label; empty where the labels are a column of the user's own."""
    mine = (shown.labels == name).to_numpy()
    cl_id = shown.ids.get(name) or resolve_label(name).cl_id or ""
    ontology = load_ontology()
    term = ontology.term(cl_id).label if cl_id in ontology else ""
    reasons: list[dict[str, Any]] = []
    alternatives: list[dict[str, Any]] = []
    table = pd.DataFrame(columns=_COLUMNS)
    if shown.own and mine.any():
        column = shown.slots.rationale
        if column in shown.adata.obs:
            held = shown.adata.obs[column].astype(object)[mine].dropna().value_counts()
            reasons = [{"text": str(text), "n": int(n)} for text, n in held.items() if text][:_MOST_REASONS]
        with warnings.catch_warnings():
            # That rows were cut or renamed since is said where the tables are asked for; here they stand beside `n`.
            warnings.simplefilter("ignore", UserWarning)
            try:
                found = evidence(shown.adata, key=shown.slots.key)
                table = found.loc[found["label"] == name, [one for one in _COLUMNS if one in found]]
            except BioverseError:
                pass  # annotated without reasons
            try:
                means = np.exp(scores(shown.adata, key=shown.slots.key)[mine]).mean().nlargest(_MOST_ALTERNATIVES)
                alternatives = [{"name": str(one), "probability": round(float(p), 4)} for one, p in means.items()]
            except BioverseError:
                pass
    return LabelFacts(name, cl_id, term, int(mine.sum()), reasons, alternatives, table)

"""What cells of other types show of a type's markers: RNA of burst cells, above all. Evidence is counted beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BioverseError
from ..knowledge import load_ontology
from ..knowledge.levels import broad_kinds
from .groups import FEWEST, MOST_ALONE, Groups, content_keys, find_groups
from .pool import named_sources
from .sources.language_model import LanguageModel
from .sources.markers import Markers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .candidates import Candidates
    from .embedding import Batch

    Float = NDArray[np.float32]
    Float64 = NDArray[np.float64]

# Of many cells, groups of so many tell what all show.
SAMPLE = 2_000
# Before any group has a name, what three of four groups have of a type's evidence is taken for what all show: with the
# mean, types of which half the groups are lose what is theirs.
FIRST = 0.25
# Groups of other types say what is not a type's own, if there are so many among all groups.
OTHERS = 0.25
# How often groups are named, each time beside what the last names say that others show.
ROUNDS = 2
# Sources that a group's mean is not asked of: the language model, which would cost more than all the rest, and markers,
# whose evidence was summed before.
_NOT_OF_MEANS = (LanguageModel.name, Markers.name)


@dataclass
class Background:
    """Marker evidence less what groups of other types show of it: called with m terms, float32 (n, m).

    Of each term the median over the groups that are of another broad type, where it is more than cells usually have. It
    is the term's own, and stays, where too few groups are of another type to say.
    """

    of: Callable[[Sequence[str | None]], NDArray[np.floating]]  # the evidence as it is
    groups: Groups
    kinds: list[str]  # broad type of each group
    taken: dict[str, float] = field(default_factory=dict)  # what was taken away, by term and genes, where anything was

    def __call__(self, terms: Sequence[str | None]) -> Float:  # noqa: D102
        found = np.asarray(self.of(terms), dtype=np.float32)
        taken = shown_by_others(self.groups.mean(found), self.kinds, terms)
        self.taken |= {str(term): round(float(one), 3) for term, one in zip(terms, taken, strict=True) if one}
        return found - taken.astype(np.float32)


def shown_by_others(shown: Float64, kinds: Sequence[str], terms: Sequence[str | None]) -> Float64:
    """Median of the evidence of m terms, (n_groups, m), over groups of other broad types than each term's: (m,)."""
    others = np.array(kinds)[:, None] != np.array(broad_kinds(terms))
    enough, taken = others.sum(axis=0) >= max(FEWEST, OTHERS * len(kinds)), np.zeros(len(terms))
    taken[enough] = np.nanmedian(np.where(others, shown, np.nan)[:, enough], axis=0)
    return taken.clip(0)


def beside_background(
    batch: Batch,
    candidates: Candidates,
    groups: Groups | None = None,
    *,
    markers: bool | None = None,
    found: bool = False,
    seed: int = 0,
) -> Batch:
    """Let the markers of candidates count beside what cells of other types show of them.

    For this groups of alike cells are named by the pooled sources, without the language model: first with what three
    of four groups show taken away, since RNA that is in all cells would else give all of them one name. `groups` are
    found if not given. `found`: the candidates are names that might be found. The batch stays as it is where markers
    count nothing, genes cannot be read, or there are too few cells.
    """
    row = batch.model.config.calibration.get("cascade")
    few = len(batch) <= MOST_ALONE
    if few or batch.evidence is None or markers is False or row is None or not row.weight(Markers.name):
        return batch
    if groups is None and (groups := _sample_of_groups(batch.values, seed)) is None:
        return batch
    try:
        shown = groups.mean(np.asarray(batch.evidence(candidates.evidence_keys)))
    except BioverseError:  # whether that is an error is the pool's to say
        return batch
    # A name that the user gives may be that of nearly all cells. If the model was not trained on it, so that markers
    # alone speak for it, nothing would give it back what is taken here.
    trained, ontology = set(batch.model.config.default_labels), load_ontology()
    known = [
        found or (one is not None and not trained.isdisjoint((one, *ontology.descendants(one))))
        for one in candidates.terms
    ]
    taken = np.where(known, np.quantile(shown, FIRST, axis=0).clip(0), 0.0)
    joint = np.zeros(shown.shape)
    means = replace(batch, values=groups.mean(batch.values).astype(np.float32), evidence=None)
    for source in named_sources(name for name, weight in row.weights.items() if weight and name not in _NOT_OF_MEANS):
        if (said := source.scores(means, candidates)) is not None:
            joint += row.weight(source.name) * said
    kinds, of_keys = list[str](), broad_kinds(candidates.evidence_keys)
    for _ in range(ROUNDS):
        best = (joint + row.weight(Markers.name) * (shown - taken)).argmax(axis=1)
        kinds = [of_keys[at] for at in best]
        taken = shown_by_others(shown, kinds, candidates.evidence_keys)
    return replace(batch, evidence=Background(batch.evidence, groups, kinds))


def taken_from(batch: Batch, candidates: Candidates) -> dict[str, float]:
    """Return what was taken from the evidence of candidates, in standard deviations, by name, where anything was."""
    taken = batch.evidence.taken if isinstance(batch.evidence, Background) else {}
    return {one.name: taken[key] for one, key in zip(candidates, candidates.evidence_keys, strict=True) if key in taken}


def _sample_of_groups(values: Float, seed: int) -> Groups | None:
    """Find groups in a sample of different cells; None where these are too few. The others are in no group."""
    _, first = np.unique(content_keys(values, seed), return_index=True)
    if first.size <= MOST_ALONE:
        return None
    rows = np.sort(first[:SAMPLE])
    found = find_groups(values[rows], seed)
    if len(found.names) < FEWEST:
        return None
    codes = np.full(len(values), -1, dtype=np.int64)
    codes[rows] = found.codes
    return Groups(found.names, codes)

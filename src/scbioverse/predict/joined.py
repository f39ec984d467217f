"""Labels of several types, such as "B/Plasma": each type is scored by itself, and the label has what all have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from .candidates import Candidates

if TYPE_CHECKING:
    from .label import Label

Float = NDArray[np.float32]


def spread(candidates: Candidates) -> Candidates:
    """Return the candidates with a label for each part of those that have parts; as they are where none has.

    A part that another label is by itself is that label's alone.
    """
    return candidates if _members(candidates) is None else Candidates(tuple(_laid_out(candidates)))


def gathered(log_probs: Float, candidates: Candidates) -> Float:
    """Give each of m candidates the probability of its parts, from those of what :func:`spread` gives: (n, m)."""
    said = log_probs.astype(np.float64)
    members = _members(candidates) or [np.array([at]) for at in range(len(candidates))]
    joint = np.stack([np.logaddexp.reduce(said[:, of], axis=1) for of in members], axis=1)
    # Labels that share a part count it twice.
    return log_softmax(joint, axis=1).astype(np.float32)


def _members(candidates: Candidates) -> list[NDArray[np.int64]] | None:
    """Places in what :func:`_laid_out` gives of each candidate's parts; None where no candidate has any."""
    if candidates.shortlist is not None or not any(one.parts for one in candidates):
        return None
    place = {_key(one): i for i, one in enumerate(_laid_out(candidates))}
    return [np.array([place[_key(part)] for part in _parts(one, candidates)]) for one in candidates]


def _laid_out(candidates: Candidates) -> list[Label]:
    """Labels and parts in order, each once, with texts that differ."""
    every = {_key(part): part for one in candidates for part in _parts(one, candidates)}
    taken: set[str] = set()
    out = []
    for part in every.values():
        text = part.text
        while text.casefold() in taken:
            text += " (2)"
        taken.add(text.casefold())
        out.append(replace(part, text=text))
    return out


def _parts(label: Label, candidates: Candidates) -> tuple[Label, ...]:
    others = {one.cl_id for one in candidates if not one.parts}
    left = tuple(part for part in label.parts if part.cl_id not in others)
    return left or (replace(label, parts=()),)


def _key(label: Label) -> tuple[str, str | None]:
    return label.name, label.cl_id

"""Annotation against the whole Cell Ontology: the nearest terms by text, ranked by the language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from tqdm.auto import tqdm

from .._settings import settings
from ..errors import InputError
from ..knowledge import load_ontology
from .candidates import Label, own_labels, resolve_term
from .term_table import ontology_coordinates, term_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse
    from .groups import Groups
    from .options import Method

# Terms that the language model chooses among, for every cell or group.
SHORTLIST = 8
# Rows whose terms share one tree; such rows are neighbours by their nearest term, so that the tree stays small.
_ROWS = 512
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Ranked:
    """Terms that were on somebody's shortlist, and their log-probabilities.

    Attributes
    ----------
    labels
        The terms, in the ontology's order.
    log_probs
        float32 (n_obs, n_labels); -inf where a term was not on the row's shortlist; `exp` of a row sums to 1.
    """

    labels: list[Label]
    log_probs: Float


def candidate_terms(within: str | Sequence[str] | None) -> list[str]:
    """Terms of the ontology, or those at or below some of them.

    Raises
    ------
    InputError
        `within` names something that is no term, or leaves fewer than two.
    """
    if within is None:
        return list(term_ids())
    ontology = load_ontology()
    roots = [resolve_term(one) for one in ([within] if isinstance(within, str) else within)]
    kept = {below for root in roots for below in (root, *ontology.descendants(root))}
    found = [one for one in term_ids() if one in kept]
    if len(found) < 2:
        raise InputError(f"within={within!r} leaves {len(found)} terms; there is nothing to choose among.")
    return found


def nearest_terms(model: BioVerse, values: Float, terms: list[str], *, modality: str) -> Float:
    """Cosine of each row with each term's description, float32 (n, n_terms)."""
    return model.coordinates(values, modality) @ ontology_coordinates(model, terms).T


def rank_ontology(
    model: BioVerse,
    values: Float,
    groups: Groups | None,
    *,
    method: Method = "score",
    within: str | Sequence[str] | None = None,
    modality: str = "cell",
    batch_size: int = 128,
) -> Ranked:
    """Let the language model choose among the 8 terms that lie nearest to each cell, or to each group's cells.

    The nearest terms are those of the highest cosine (mean cosine of a group's cells) in the space shared with text.
    Every row is scored over its own shortlist alone, so that its answer does not depend on the other rows.

    Parameters
    ----------
    model
        A model with a text space.
    values
        float32 (n, n_tokens, dim), embeddings.
    groups
        Groups that get one shortlist each; cells in none have their own.
    method
        `"score"`: the language model ranks the shortlist; `"nearest"`: nearness does, which is quicker; `"cascade"`:
        the product of both.
    within
        See :func:`candidate_terms`.
    modality
        Modality of the embeddings.
    batch_size
        Rows that the language model reads at once.
    """
    terms = candidate_terms(within)
    cosine = nearest_terms(model, values, terms, modality=modality)
    k = min(SHORTLIST, len(terms))
    own = _top(cosine, k)
    if groups is not None:
        for group in range(len(groups.names)):
            mine = groups.codes == group
            own[mine] = _top(cosine[mine].astype(np.float64).mean(axis=0, keepdims=True), k)
    used, places = np.unique(own, return_inverse=True)
    labels = own_labels([terms[i] for i in used], model.config.names)
    places = places.reshape(own.shape)
    scores = np.zeros(own.shape, dtype=np.float64)
    if method != "score":
        scores += (
            np.take_along_axis(cosine.astype(np.float64), own, axis=1) / model.config.calibration["nearest"].temperature
        )
    if method != "nearest":
        said = _score(model, values, [label.text for label in labels], places, modality, batch_size)
        scores += said.astype(np.float64) / model.config.calibration["score"].temperature
    scores = log_softmax(scores, axis=1).astype(np.float32)
    log_probs = np.full((len(values), len(labels)), -np.inf, dtype=np.float32)
    np.put_along_axis(log_probs, places, scores, axis=1)
    return Ranked(labels, log_probs)


def _top(cosine: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Positions (n, k) of the highest values, highest first; of equal ones the first."""
    return np.argsort(-cosine, axis=1, kind="stable")[:, :k].astype(np.int64)


def _score(
    model: BioVerse, values: Float, texts: list[str], own: NDArray[np.int64], modality: str, batch_size: int
) -> Float:
    """Log-probabilities (n, k) over each row's own texts, before any temperature."""
    import torch

    from ..llm._memory import BatchSize, first_size
    from ..llm.score import score_own_lists
    from ..llm.trie import LabelTrie

    reader = model.reader
    prompt, prefix = reader.prompt(modality), reader.prefix(modality)
    sequences = [model.answer_ids(text) for text in texts]
    length = len(prompt.head) + own.shape[1] * max(map(len, sequences), default=1)
    size = first_size(reader.backbone, batch_size, length=length, prefix=prefix.length, what=f"{modality}s")
    memory = BatchSize(size, what=f"{modality}s")
    # Sorted lists and rows: neither the order of a shortlist nor that of the rows changes the last digits.
    ranks = np.sort(own, axis=1)
    order = np.lexsort((*ranks.T[::-1], own[:, 0]))
    out = np.empty(own.shape, dtype=np.float32)
    model.modules.eval()
    with (
        torch.inference_mode(),
        tqdm(total=len(own), desc="score", unit=modality, disable=not settings.progress) as bar,
    ):
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            here, place = np.unique(ranks[rows], return_inverse=True)
            trie = LabelTrie([sequences[i] for i in here])
            suffix = reader.suffix([prompt.head] * len(rows), model.project(values[rows], modality), modality)
            found = memory.run(
                lambda size, suffix=suffix, trie=trie, place=place: score_own_lists(  # type: ignore[misc]
                    reader.backbone,
                    prefix,
                    suffix.inputs_embeds,
                    trie,
                    place.reshape(len(suffix.inputs_embeds), -1),
                    attention_mask=suffix.attention_mask,
                    batch_size=size,
                )
            )
            # Back from sorted lists to the shortlists' own order.
            back = np.argsort(np.argsort(own[rows], axis=1, kind="stable"), axis=1, kind="stable")
            out[rows] = np.take_along_axis(found, back, axis=1)
            bar.update(len(rows))
    return out

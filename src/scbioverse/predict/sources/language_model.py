"""The language model: how likely it is to answer with each label's name, having read the cell's soft tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..candidates import Candidates
    from . import Batch, Source

Float = NDArray[np.float32]
# Rows whose terms share one tree; such rows are neighbours by their nearest term, so that the tree stays small.
_ROWS = 512


@dataclass
class LanguageModel:
    """Log-probability of each name as the answer, by constrained decoding."""

    name = "language_model"
    calibrated: bool = False  # divide by the model's own temperature. In a pool the weight does that.
    # Evidence that the soft tokens are made of, beside the embedding: what the language model then reads is how the
    # candidates share both (see `models.score`).
    beside: Source | None = None
    temperature: float = 1.0  # what the last scores were divided by

    def scores(self, batch: Batch, candidates: Candidates) -> Float:
        """Log-probabilities (n, m); of a row with a shortlist 0 for the labels that are not on it."""
        model, terms = batch.model, candidates.terms
        if candidates.shortlist is not None:
            self.temperature = model.config.calibration["score"].temperature if self.calibrated else 1.0
            return _own_lists(batch, candidates.texts, candidates.shortlist) / self.temperature
        evidence = None if self.beside is None else self.beside.scores(batch, candidates)
        if self.calibrated:
            self.temperature = model.temperature(terms, batch.modality, evidence=evidence is not None)
        return model.score(
            batch.values,
            candidates.texts,
            terms=terms,
            evidence=evidence,
            modality=batch.modality,
            batch_size=batch.batch_size,
            progress=batch.progress,
            calibrated=self.calibrated,
        )


SOURCE = LanguageModel


def _own_lists(batch: Batch, texts: list[str], shortlist: NDArray[np.int64]) -> Float:
    """Log-probabilities over each row's own texts, before any temperature: float32 (n, m), 0 elsewhere."""
    import torch
    from tqdm.auto import tqdm

    from ..._settings import settings
    from ...llm import score
    from ...llm.backbone import first_batch
    from ...llm.score import LabelTrie

    model, modality = batch.model, batch.modality
    reader = model.reader
    prompt, prefix = reader.prompt(modality), reader.prefix(modality)
    sequences = list(map(model.reader.answer_ids, texts))
    length = len(prompt.head) + shortlist.shape[1] * max(map(len, sequences), default=1)
    memory = first_batch(reader.backbone, batch.batch_size, length=length, prefix=prefix.length, what=f"{modality}s")
    # Sorted lists and rows: neither the order of a shortlist nor that of the rows changes the last digits.
    ranks = np.sort(shortlist, axis=1)
    order = np.lexsort((*ranks.T[::-1], shortlist[:, 0]))
    out = np.zeros((len(shortlist), len(texts)), dtype=np.float32)
    model.modules.eval()
    with (
        torch.inference_mode(),
        tqdm(total=len(order), desc="score", unit=modality, disable=not settings.progress) as bar,
    ):
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            here, place = np.unique(ranks[rows], return_inverse=True)
            trie = LabelTrie([sequences[i] for i in here])
            suffix = reader.compose(model.project(batch.values[rows], modality), modality)
            found = memory.run(
                lambda size, suffix=suffix, trie=trie, place=place: score.score_own_lists(  # type: ignore[misc]
                    reader.backbone,
                    prefix,
                    suffix.inputs_embeds,
                    trie,
                    place.reshape(len(suffix.inputs_embeds), -1),
                    attention_mask=suffix.attention_mask,
                    batch_size=size,
                )
            )
            out[rows[:, None], ranks[rows]] = found
            bar.update(len(rows))
    return out

"""The open test captions found for their molecules, and the molecules for their captions."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.modalities_parts.captions import tables, written_by_peer
from scbioverse._slots import Slots
from scbioverse.predict.embedding import represent_rows
from scbioverse.predict.neighbours import View, similarities
from scbioverse.predict.retrieval import compared_with_texts, known_rows_near, words_views


def first(scores: np.ndarray) -> dict[str, float]:
    """Share of molecules whose own text comes first, and of texts whose own molecule does, from scores (n, n)."""
    own = np.arange(len(scores))
    return {
        "molecule to text, R@1": float((scores.argmax(axis=1) == own).mean()),
        "text to molecule, R@1": float((scores.argmax(axis=0) == own).mean()),
    }


def cosines(view: View) -> np.ndarray:
    """Cosine of each row with each text, 0 for rows without words."""
    return np.nan_to_num(similarities(view.queries, view.pool, "cosine")) * view.weight


def retrieved(model: Any, n: int | None, seed: int, split: str = "test") -> dict[str, dict[str, float]]:
    """Measure `retrieve` with a reference, what it is made of, controls and, on the test, what a peer wrote."""
    train, test = tables(n, seed, split)
    texts, slots = test.obs["text"].tolist(), Slots()
    embedded = represent_rows(test, model, modality="molecule", slots=slots)
    known = known_rows_near(
        test, train, "text", model, modality="molecule", key=None, layer=None, slots=slots, written=True
    )
    space, words, written = (
        cosines(one) for one in compared_with_texts(embedded, texts, model, "molecule", known)
    )  # fmt: skip
    whole = cosines(words_views(known.near, known.texts, texts)[0])
    order = np.random.default_rng(seed).permutation(len(texts))
    found = {
        "`retrieve` with a reference": space + words + written,
        "learned space": space,
        "words of neighbours' texts": words,
        "caption put together, with names of relatives": written,
        "the same without learned space": words + written,
        "learned space and whole words of neighbours, nothing put together": space + whole,
        "captions put together for other molecules": space + words + written[order],
        "all, dealt": (space + words + written)[order],
    }
    if split == "test":
        peer = words_views(known.near, known.texts, texts, written_by_peer(test))[1]
        found["caption written by MolT5-large"] = cosines(peer)
    return {name: first(scores) for name, scores in found.items()}

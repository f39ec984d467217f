"""Rows and texts compared by words: a row has those of its neighbours' texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .neighbours import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .neighbours import Neighbours

# How much faster than similarity a neighbour's weight grows; chosen on 298 captions put aside for development, as was
# the weight of this view beside the space shared with text.
POWER = 8
_FEATURES = 2**13


def words_view(near: Neighbours, known: Sequence[str], texts: Sequence[str]) -> View:
    """Compare rows with texts by the words, and pairs of words, of their neighbours' texts.

    Words count by their rarity among the known texts (TF-IDF, hashed into 8,192 features; Weinberger et al. 2009,
    arXiv:0902.2206).

    Parameters
    ----------
    near
        Neighbours of each row among the known ones, -1 for none.
    known, texts
        Texts of the known rows, and those to compare with.
    """
    from scipy import sparse
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    counts = HashingVectorizer(
        n_features=_FEATURES, ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", norm=None, alternate_sign=False
    )
    rarity = TfidfTransformer(sublinear_tf=True)
    held = rarity.fit_transform(counts.transform(known))
    n, k = near.rows.shape
    weight = np.where(near.rows >= 0, np.nan_to_num(near.similarity).clip(0) ** POWER, 0.0)
    at = np.maximum(near.rows, 0)
    mixed = sparse.csr_array((weight.ravel(), at.ravel(), np.arange(0, n * k + 1, k)), shape=(n, len(known))) @ held
    rows = mixed.toarray().astype(np.float32)
    rows[near.rows[:, 0] < 0] = np.nan
    return View(rows, rarity.transform(counts.transform(texts)).toarray().astype(np.float32))

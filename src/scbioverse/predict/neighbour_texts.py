"""Rows and texts compared by words: a row has those of its neighbours' texts, and of a text put together from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .neighbours import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy import sparse

    from .neighbours import Neighbours

# How much faster than similarity a neighbour's weight grows; chosen on 298 captions put aside for development, as were
# the weights of the views below beside the space shared with text, which counts 1.
POWER = 8
OF_NEIGHBOURS, OF_WRITTEN = 1.0, 1.5
_FEATURES = 2**13
# So many known texts tell which words are rare.
_COUNTED = 5000
_WORDS: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": r"\w+|[^\w\s]"}
# Three to five letters: by them the many names of one group (hexadecanoyl, hexadecanoic, hexadecanoate) are alike.
_PIECES: dict[str, Any] = {"ngram_range": (3, 5), "analyzer": "char_wb"}


class CountedTexts:
    """Texts as vectors of what is in them, by its rarity among known texts (TF-IDF).

    Counts are hashed into 8,192 features (Weinberger et al. 2009, arXiv:0902.2206).

    Parameters
    ----------
    known
        Known texts.
    pieces
        Count pieces of words, which suits names of chemistry; if not, words and pairs of words.
    """

    def __init__(self, known: Sequence[str], *, pieces: bool) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        counted = _PIECES if pieces else _WORDS
        self._counts = HashingVectorizer(n_features=_FEATURES, norm=None, alternate_sign=False, **counted)
        some = known[:: -(-len(known) // _COUNTED)]
        self._rarity = TfidfTransformer(sublinear_tf=True).fit(self._counts.transform(some))

    def of(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Vectors of texts, float64 (n, 8192), of length 1, or 0 for an empty one."""
        return self._rarity.transform(self._counts.transform(texts))


def words_views(
    near: Neighbours, known: Sequence[str], texts: Sequence[str], written: Sequence[str] = ()
) -> list[View]:
    """Compare rows with texts by the words of their neighbours' texts, and of what was written of each, if anything.

    Parameters
    ----------
    near
        Neighbours of each row among the known ones, -1 for none.
    known, texts
        Texts of the known rows, and those to compare with.
    written
        A text of each row, `""` for none. Where it is given, pieces of words are compared, otherwise whole ones.
    """
    from scipy import sparse

    counted = CountedTexts(known, pieces=bool(written))
    pool = counted.of(texts).astype(np.float32)
    n, k = near.rows.shape
    weight = np.where(near.rows >= 0, np.nan_to_num(near.similarity).clip(0) ** POWER, 0.0)
    used, at = np.unique(np.maximum(near.rows, 0), return_inverse=True)
    mixed = sparse.csr_array((weight.ravel(), at.ravel(), np.arange(0, n * k + 1, k)), shape=(n, len(used)))
    views = [_view(mixed @ counted.of([known[i] for i in used]), near.rows[:, 0] < 0, pool, OF_NEIGHBOURS)]
    if written:
        views.append(_view(counted.of(written), np.array([not one for one in written]), pool, OF_WRITTEN))
    return views


def _view(vectors: Any, missing: NDArray[np.bool_], pool: Any, weight: float) -> View:
    from scipy import sparse

    # Sparse: 200,000 texts would take 6.5 GB. One NaN is enough to say that a row is not known.
    at = np.flatnonzero(missing)
    unknown = sparse.csr_array((np.full(at.size, np.nan), (at, np.zeros_like(at))), shape=vectors.shape)
    return View((sparse.csr_array(vectors) + unknown).astype(np.float32), sparse.csr_array(pool), weight=weight)

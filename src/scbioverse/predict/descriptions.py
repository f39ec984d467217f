"""Descriptions: written by the language model, or one of the texts that a row's neighbours in a reference have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.special import softmax

from .._logging import bounded
from ..errors import InputError, check_columns
from ..models.score import write_labels
from ..pp._text_column import cell_text

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..models import BioVerse
    from .neighbours import Neighbours

Choose = Literal["combined", "nearest", "consensus", "aligned"]
CHOICES: tuple[Choose, ...] = get_args(Choose)
NOTHING_SIMILAR = "Nothing known is similar."
# Similarity that makes a neighbour count e times as much as another, in units of the similarity itself.
SOFTNESS = 0.05
# Longest text kept of what a model writes: a model that repeats itself would fill a column.
MOST_CHARS = 2000
_WORD = re.compile(r"\w+|[^\w\s]")


def reference_texts(reference: AnnData, text_key: str) -> list[str]:
    """Texts of a reference, `""` where a row has none.

    A :class:`MissingKeyError` where there is no such column, an :class:`InputError` where `reference` is no AnnData, or
    no row has a text.
    """
    if not hasattr(reference, "obs") or not hasattr(reference, "obsm"):
        raise InputError(f"reference must be an AnnData with texts in obs, found {type(reference).__name__}.")
    check_columns(reference.obs, [text_key], "Name the column of texts with text_key=.", table="reference")
    texts = plain_texts(reference.obs[text_key])
    if not any(texts):
        raise InputError(f"reference.obs[{text_key!r}] holds no text.")
    return texts


def plain_texts(column: pd.Series) -> list[str]:
    """Texts of a column, each on one line; `""` for what is missing."""
    return [" ".join(cell_text(one).split()) for one in column.astype(object)]


def choose_rows(
    found: Neighbours, texts: list[str], choose: Choose, model: BioVerse, coordinates: NDArray[np.float32] | None
) -> NDArray[np.int64]:
    """Choose one neighbour of each row: its place among them, int64 (n,).

    `found` are neighbours of each row, all with a text; -1 behind them where a row has fewer. `choose` is `"nearest"`,
    `"consensus"` (:func:`agreed`), or `"aligned"`: the text nearest to the row in the shared space, where the rows lie
    at `coordinates`, float32 (n, d_text).
    """
    place = np.zeros(len(found.rows), dtype=np.int64)
    known = np.flatnonzero(found.rows[:, 0] >= 0)
    near = found.rows[known]
    used, at = np.unique(near, return_inverse=True)
    at = at.reshape(near.shape)
    if choose == "consensus":
        counts = [word_pairs(texts[one]) for one in used]
        place[known] = [
            agreed([counts[one] for one in row[:n]], similarity[:n])
            for row, similarity, n in zip(at, found.similarity[known], (near >= 0).sum(axis=1), strict=True)
        ]
    elif choose == "aligned" and coordinates is not None and used.size:
        points = model.text_coordinates([texts[one] for one in used])
        nearness = np.einsum("nd,nkd->nk", coordinates[known], points[at])
        place[known] = np.where(near >= 0, nearness, -np.inf).argmax(axis=1)
    return place


def word_pairs(text: str) -> Counter[Any]:
    """Count the words of a text, and pairs of words side by side."""
    words = _WORD.findall(text.lower())
    return Counter(words) + Counter(pairwise(words))


def agreed(texts: list[Counter[Any]], similarity: NDArray[np.float32]) -> int:
    """Return the text that agrees best with all, nearer ones counting more.

    Agreement of two texts is the F1 of their tokens; text j counts exp(similarity_j / :data:`SOFTNESS`). It is the
    choice of least expected loss (Kumar and Byrne 2004, minimum Bayes risk) where neighbours stand for what the text
    may be.
    """
    return int((overlaps(texts) @ neighbour_weights(similarity, SOFTNESS)).argmax())


def overlaps(texts: Sequence[Counter[Any]]) -> NDArray[np.float64]:
    """F1 of the tokens of each two of k texts, float64 (k, k)."""
    sizes = np.array([one.total() for one in texts])
    shared = np.array([[(one & other).total() for other in texts] for one in texts])
    return 2 * shared / np.maximum(1, sizes[:, None] + sizes)


def neighbour_weights(similarity: NDArray[np.floating], softness: float) -> NDArray[np.float64]:
    """Weights of neighbours that sum to 1, exp(similarity / softness) each."""
    return np.asarray(softmax(similarity.astype(np.float64) / softness))


def written_texts(
    model: BioVerse,
    values: NDArray[np.float32],
    modality: str,
    question: str | None,
    *,
    beams: int,
    max_new_tokens: int,
    batch_size: int,
) -> tuple[list[str], NDArray[np.float32]]:
    """Let the language model write of every row, or answer a question about it.

    Of `values` float32 (n, n_tokens, dim), NaN for rows without an embedding: n texts, `""` for such rows, and float32
    (n,), the mean log-probability of their tokens, NaN of answers. An :class:`InputError` where the model was not
    trained to write of the modality, or no row has an embedding.
    """
    made = model.config.encoders[modality]
    if not made.writes:
        raise InputError(
            f"model {model.name!r} was trained to find texts of a {modality}, not to write them: what it wrote would "
            "mean nothing. Pass reference=, rows with texts to choose from, or train it on texts of your own: "
            "scbioverse.tl.tune(adata, text_key=...)."
        )
    known = np.flatnonzero(np.isfinite(values).all(axis=(1, 2)))
    if not known.size:
        raise InputError("no row has an embedding: there is nothing to describe.")
    score = np.full(len(values), np.nan, dtype=np.float32)
    how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "beams": beams}
    if question is None:
        said, log_probs, _ = write_labels(model, values[known], modality=modality, batch_size=batch_size, **how)
        # The token that ends a text is one more.
        lengths = [1 + len(model.backbone.encode(f" {text}", allow_special=False)) for text in said]
        score[known] = log_probs / np.asarray(lengths, dtype=np.float32)
    elif modality in model.phrase_books:
        said = model.captioner(modality).answer(values[known], question, batch_size=batch_size, **how)
    else:
        prompt = model.text_writer.prompt(question, objects=[(modality, "")])
        said = []
        for start in range(0, known.size, batch_size):
            soft = [{modality: values[[row]]} for row in known[start : start + batch_size]]
            said += model.text_writer.write([prompt] * len(soft), soft, **how)
    texts = np.full(len(values), "", dtype=object)
    texts[known] = [bounded(text, MOST_CHARS) for text in said]
    return texts.tolist(), score

"""Descriptions taken from a reference: which of the neighbours' texts a row gets."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..models import BioVerse
    from .neighbours import Neighbours

Choose = Literal["nearest", "consensus", "aligned"]
CHOICES = ("nearest", "consensus", "aligned")
# Similarity that makes a neighbour count e times as much as another, in units of the similarity itself.
SOFTNESS = 0.05
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, eq=False)
class Chosen:
    """One text a row.

    Attributes
    ----------
    rows
        int64 (n,): row of the reference, -1 for none.
    score
        float32 (n,): similarity of that row; NaN for none.
    """

    rows: NDArray[np.int64]
    score: NDArray[np.float32]


def reference_texts(reference: AnnData, text_key: str) -> list[str]:
    """Texts of a reference, `""` where a row has none.

    Raises
    ------
    MissingKeyError
        There is no such column.
    InputError
        `reference` is no AnnData, or no row has a text.
    """
    if not hasattr(reference, "obs") or not hasattr(reference, "obsm"):
        raise InputError(f"reference must be an AnnData with texts in obs, found {type(reference).__name__}.")
    if text_key not in reference.obs:
        raise MissingKeyError(
            f"reference.obs has no column {text_key!r} (found: {list(map(str, reference.obs.columns)) or 'none'}). "
            "Name the column of texts with text_key=."
        )
    column = reference.obs[text_key].astype(object)
    texts = ["" if one is None or one != one else " ".join(str(one).split()) for one in column]
    if not any(texts):
        raise InputError(f"reference.obs[{text_key!r}] holds no text.")
    return texts


def choose_rows(
    found: Neighbours, texts: list[str], choose: Choose, model: BioVerse, coordinates: NDArray[np.float32] | None
) -> Chosen:
    """Choose one neighbour of each row.

    Parameters
    ----------
    found
        Neighbours of each row, all with a text.
    texts
        Texts of the reference.
    choose
        `"nearest"`, `"consensus"` (:func:`agreed`), or `"aligned"`: the text nearest to the row in the shared space.
    model
        Places texts in the shared space.
    coordinates
        Rows in the shared space, float32 (n, d_text); read for `"aligned"` alone.
    """
    n = len(found.rows)
    place = np.zeros(n, dtype=np.int64)
    known = np.flatnonzero(found.rows[:, 0] >= 0)
    if choose == "consensus":
        counts: dict[int, Counter[str]] = {}
        for row in known:
            near = found.rows[row].tolist()
            for one in near:
                if one not in counts:
                    counts[one] = Counter(_WORD.findall(texts[one].lower()))
            place[row] = agreed([counts[one] for one in near], found.similarity[row])
    elif choose == "aligned" and coordinates is not None:
        used = np.unique(found.rows[known])
        points = dict(zip(used.tolist(), model.text_coordinates([texts[one] for one in used]), strict=True))
        for row in known:
            place[row] = int(np.argmax([coordinates[row] @ points[one] for one in found.rows[row].tolist()]))
    at = np.arange(n)
    return Chosen(found.rows[at, place], found.similarity[at, place])


def agreed(texts: list[Counter[str]], similarity: NDArray[np.float32], *, softness: float = SOFTNESS) -> int:
    """Return the text that agrees best with all, nearer ones counting more.

    Agreement of two texts is the F1 of their tokens; text j counts exp(similarity_j / softness). This is the choice of
    least expected loss (Kumar and Byrne 2004, minimum Bayes risk) where neighbours stand for what the text may be.
    """
    weight = np.exp((similarity.astype(np.float64) - float(similarity.max())) / softness)
    sizes = [sum(one.values()) for one in texts]
    total = [
        sum(
            w * (2 * sum((one & other).values()) / max(1, sizes[i] + sizes[j]))
            for j, (other, w) in enumerate(zip(texts, weight, strict=True))
        )
        for i, one in enumerate(texts)
    ]
    return int(np.argmax(total))

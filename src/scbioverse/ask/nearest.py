"""What only nearness tells of molecules and proteins: rows near to words or to a row, and texts of known rows."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._settings import settings
from ..errors import InputError
from ..llm.questions import bounded
from ..models import load
from ..predict.descriptions import reference_texts
from ..predict.embedding import represent_rows
from ..predict.neighbours import compared_views, nearest_rows
from .query import Refusal
from .result import Result
from .values import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ..models import BioVerse
    from .query import Query
    from .sequences import Sequences

_SHOWN = 5
_RANKED = 100
_MOST_TEXT = 400


class Nearness:
    """A model that places rows, loaded on first use.

    Parameters
    ----------
    rows
        Molecules or proteins.
    model, device, key, layer
        As for :func:`scbioverse.tl.ask`.
    reference, text_key
        Rows of the same modality with texts, and the column of these.
    """

    def __init__(
        self, rows: Sequences, *, model: Any, device: str, key: str | None, layer: str | None,
        reference: AnnData | None, text_key: str,
    ) -> None:  # fmt: skip
        self.rows, self.reference = rows, reference
        self._model, self._device, self._key, self._layer = model, device, key, layer
        # A column that is not there is an error of the call, whatever is asked.
        self.texts = [] if reference is None else reference_texts(reference, text_key)

    @cached_property
    def model(self) -> BioVerse:
        """The model."""
        return load(self._model, device=self._device)

    def answer(self, query: Query) -> Result | Refusal:
        """Answer a search, a question for similar rows, or one about what rows are."""
        if query.want == "search":
            return self.search(query.words)
        found = [int(row) for one in query.against for row in np.flatnonzero(self.rows.mask(one))]
        found = found or (np.flatnonzero(self.rows.asked).tolist() if self.rows.asked.sum() <= _SHOWN else [])
        found = [row for row in found if self.rows.readable[row]][:_SHOWN]
        if not found:
            return Refusal(text=f"Name {self.rows.noun}s of these data that can be read, or pass some as cells=.")
        if self.reference is not None and query.want == "describe":
            return self.told(found, self.reference)
        return self.like(found[0])

    def search(self, words: str) -> Result | Refusal:
        """Rows nearest to words in the space shared with text."""
        rows = np.flatnonzero(self.rows.asked & self.rows.readable)
        if not rows.size:
            return Refusal(text=f"No {self.rows.noun} that was asked about can be read.")
        try:
            point = self.model.text_coordinates([words])
            self.model.check_modality(self.rows.noun)
        except InputError as error:
            return Refusal(text=f"{words!r} cannot be computed, nor can {self.rows.noun}s be searched by text: {error}")
        with quietly():
            made = represent_rows(
                self.rows.adata, self.model, modality=self.rows.noun, key=self._key, layer=self._layer,
                slots=self.rows.slots, rows=rows,
            )  # fmt: skip
        scores = self.model.coordinates(made.values, self.rows.noun) @ point[0]
        order = np.argsort(-scores, kind="stable")[:_RANKED]
        table = self._ranked(rows[order], "score", scores[order])
        shown = [f"{self.rows.labels[rows[at]]} ({scores[at]:.2f})" for at in order[:_SHOWN]]
        return Result(
            f"{words!r} cannot be computed. Of {rows.size} {self.rows.noun}s, {listed(shown)} lie nearest "
            "to these words in the model's space of texts (cosine similarity). Nearness is no proof: nothing was "
            "checked.",
            table, computed=False,
        )  # fmt: skip

    def like(self, centre: int) -> Result | Refusal:
        """Rows most like one."""
        others = np.flatnonzero(self.rows.asked & self.rows.readable)
        others = others[others != centre]
        if not others.size:
            return Refusal(text=f"There is no other {self.rows.noun} to compare {self.rows.labels[centre]} with.")
        views = self._views(np.concatenate([[centre], others]), self.rows.adata)
        views = [type(one)(one.queries[:1], one.pool[1:], one.metric, one.weight) for one in views]
        near = nearest_rows(views, min(_RANKED, others.size))
        found = others[near.rows[0]]
        table = self._ranked(found, "similarity", near.similarity[0])
        if self.rows.noun == "molecule":
            table["tanimoto"] = [self.rows.tanimoto(centre, int(row)) for row in found]
        shown = [
            f"{self.rows.labels[row]} ({score:.2f})"
            for row, score in zip(found[:_SHOWN], near.similarity[0], strict=False)
        ]
        by = "the model's encoder" + (" and Morgan fingerprints" if self.rows.noun == "molecule" else "")
        text = f"Most like {self.rows.labels[centre]} by {by}: {listed(shown)}, of {others.size} {self.rows.noun}s."
        return Result(text, table, computed=False)

    def told(self, rows: list[int], reference: AnnData) -> Result:
        """Text of the nearest row of the reference, for each row."""
        near = nearest_rows(
            self._views(np.array(rows), reference), 1, among=np.array([bool(text) for text in self.texts])
        )
        sources = reference.obs_names.astype(str)
        held, said = [], []
        for row, at, score in zip(rows, near.rows[:, 0], near.similarity[:, 0], strict=True):
            held.append((self.rows.adata.obs_names[row], sources[at], float(score), self.texts[at]))
            text = bounded(self.texts[at], _MOST_TEXT).rstrip(".")
            said.append(
                f"{self.rows.labels[row]} is most like {bounded(sources[at], 60)} (similarity {score:.2f}) of the "
                f"reference: {text}."
            )
        them = "it" if len(rows) == 1 else "them"
        closing = f"Whether what is said of another {self.rows.noun} holds of {them} was not checked."
        table = pd.DataFrame(held, columns=["row", "source", "similarity", "text"])
        return Result(" ".join([*said, closing]), table, computed=False)

    def _views(self, rows: Any, pool: AnnData) -> Any:
        with quietly():
            return compared_views(
                self.rows.adata, pool, self.model, modality=self.rows.noun, use_rep=None, metric="cosine",
                key=self._key, layer=self._layer, slots=self.rows.slots, rows=rows,
            )[0]  # fmt: skip

    def _ranked(self, rows: Any, name: str, values: Any) -> pd.DataFrame:
        names = [self.rows.adata.obs_names[row] for row in rows]
        return pd.DataFrame({"row": names, "rank": range(1, len(names) + 1), name: values})


@contextmanager
def quietly() -> Iterator[None]:
    """Show no progress: an answer is a sentence."""
    shown, settings.progress = settings.progress, False
    try:
        yield
    finally:
        settings.progress = shown

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
from ..predict.molecules_meant import MoleculesMeant
from ..predict.neighbours import compared_views, nearest_rows
from ..predict.retrieval import FITS, has_words, known_rows_near
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
        self.rows, self.reference, self._text_key = rows, reference, text_key
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
            named = [int(row) for one in query.against for row in np.flatnonzero(self.rows.mask(one))]
            return self.search(query.words, named)
        found = [int(row) for one in query.against for row in np.flatnonzero(self.rows.mask(one))]
        found = found or (np.flatnonzero(self.rows.asked).tolist() if self.rows.asked.sum() <= _SHOWN else [])
        found = [row for row in found if self.rows.readable[row]][:_SHOWN]
        if not found:
            return Refusal(text=f"Name {self.rows.noun}s of these data that can be read, or pass some as cells=.")
        if self.reference is not None and query.want == "describe":
            return self.told(found, self.reference)
        return self.like(found[0])

    def search(self, words: str, named: list[int] | None = None) -> Result | Refusal:
        """Rows that are likely what words say, or lie nearest to them where no class of that name is known.

        Parameters
        ----------
        words
            Free words.
        named
            Rows that are asked about; all if not given.
        """
        rows = np.flatnonzero(self.rows.asked & self.rows.readable)
        rows = np.array([row for row in named or () if self.rows.readable[row]], dtype=np.int64) if named else rows
        if not rows.size:
            return Refusal(text=f"No {self.rows.noun} that was asked about can be read.")
        modality = self.rows.noun
        try:
            self.model.check_modality(modality)
            with quietly():
                made = represent_rows(
                    self.rows.adata, self.model, modality=modality, key=self._key, layer=self._layer,
                    slots=self.rows.slots, rows=rows,
                )  # fmt: skip
                linked = has_words(self.model, modality, reference=self.reference is not None)
                likely = self._likely(words, rows, made.values) if linked else None
            if likely is not None:
                return self._predicted(words, rows, likely, check=bool(named))
            if named or linked:
                return Refusal(text=self._unknown(words))
            point = self.model.text_coordinates([words])
        except InputError as error:
            return Refusal(text=f"{words!r} cannot be computed, nor can {modality}s be searched by text: {error}")
        scores = self.model.coordinates(made.values, modality) @ point[0]
        order = np.argsort(-scores, kind="stable")[:_RANKED]
        table = self._ranked(rows[order], "score", scores[order])
        shown = [f"{self.rows.labels[rows[at]]} ({scores[at]:.2f})" for at in order[:_SHOWN]]
        return Result(
            f"{words!r} cannot be computed. Of {rows.size} {modality}s, {listed(shown)} lie nearest "
            "to these words in the model's space of texts (cosine similarity). Nearness is no proof: nothing was "
            "checked.",
            table, computed=False,
        )  # fmt: skip

    def _likely(self, words: str, rows: Any, values: Any) -> Any:
        """Probability that each row is what words say; None where they are said of no class."""
        known = None
        if self.reference is not None:
            known = known_rows_near(
                self.rows.adata, self.reference, self._text_key, self.model, modality=self.rows.noun, key=self._key,
                layer=self._layer, slots=self.rows.slots, rows=rows,
            )  # fmt: skip
        return MoleculesMeant(values, self.model, self.rows.noun, known, self.rows.structures(rows)).scores(words)

    def _unknown(self, words: str) -> str:
        more = "" if self.reference is not None else ", or pass reference=, rows with texts"
        return (
            f"{words!r} cannot be computed, and no class of {self.rows.noun}s of that name is known here: nothing is "
            f"said. Name a class as ChEBI does{more}."
        )

    def _predicted(self, words: str, rows: Any, likely: Any, *, check: bool) -> Result:
        """Say which rows are likely what words say, marked as predicted."""
        order = np.argsort(-np.nan_to_num(likely, nan=-1.0), kind="stable")[:_RANKED]
        table = self._ranked(rows[order], "probability", likely[order])
        by = "the model's phrases" if self.rows.noun in self.model.phrase_books else ""
        by = " and ".join(filter(None, [by, "the texts of known neighbours" if self.reference is not None else ""]))
        note = f"Predicted from {by}, not computed, and not checked."
        if check:
            said = [
                f"{'Likely' if likely[at] >= FITS else 'Probably not'}: {self.rows.labels[rows[at]]} is {words!r} with "
                f"probability {likely[at]:.2f}."
                for at in order
            ]
            return Result(f"{' '.join(said)} {note}", table, computed=False)
        fits = [at for at in order if likely[at] >= FITS]
        shown = listed([f"{self.rows.labels[rows[at]]} ({likely[at]:.2f})" for at in (fits or order)[:_SHOWN]])
        more = f" and {int((likely >= FITS).sum()) - _SHOWN} more" if (likely >= FITS).sum() > _SHOWN else ""
        found = f"likely are {shown}{more}" if fits else f"none is likely; highest are {shown}"
        return Result(
            f"{words!r}: of {rows.size} {self.rows.noun}s, {found}, by probability. {note}", table, computed=False
        )

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

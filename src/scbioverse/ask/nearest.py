"""What only nearness tells of molecules and proteins: rows near to words or to a row, and texts of known rows."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._logging import bounded, listed
from .._settings import settings
from ..errors import InputError
from ..models import load
from ..predict.descriptions import reference_texts
from ..predict.embedding import represent_rows
from ..predict.molecules_meant import MoleculesMeant
from ..predict.neighbours import compared_views, nearest_rows
from ..predict.retrieval import FITS, has_words, known_rows_near
from .answer import Result
from .query import RefusedError, require
from .say import more

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

    from ..models import BioVerse
    from .query import Query
    from .sequences import Sequences

_SHOWN, _RANKED = 5, 100
_MOST_TEXT = 400


class Nearness:
    """A model that places molecules or proteins, loaded on first use; options as for :func:`scbioverse.tl.ask`."""

    def __init__(
        self, rows: Sequences, *, model: Any, device: str, key: str | None, layer: str | None,
        reference: AnnData | None, text_key: str,
    ) -> None:  # fmt: skip
        self.rows, self.reference, self._text_key = rows, reference, text_key
        self._model, self._device = model, device
        self._read: dict[str, Any] = {"modality": rows.noun, "key": key, "layer": layer, "slots": rows.slots}
        # A column that is not there is an error of the call, whatever is asked.
        self.texts = [] if reference is None else reference_texts(reference, text_key)

    @cached_property
    def model(self) -> BioVerse:
        """The model."""
        return load(self._model, device=self._device)

    def answer(self, query: Query) -> Result:
        """Answer a search, a question for similar rows, or one about what rows are."""
        found, readable = self.rows.at(query.against), self.rows.readable
        if query.want == "search":
            return self.search(query.words, found)
        found = found or (self.rows.at([None]) if self.rows.asked.sum() <= _SHOWN else [])
        found = np.array(found, dtype=np.int64)[readable[found]][:_SHOWN].tolist()
        require(found, f"Name {self.rows.noun}s of these data that can be read, or pass some as cells=.")
        if self.reference is not None and query.want == "describe":
            return self.told(found, self.reference)
        return self.like(found[0])

    def search(self, words: str, named: list[int] | None = None) -> Result:
        """Rows, or those named, that are likely what words say, or lie nearest where no class of that name is known."""
        rows, noun = np.array(named or self.rows.at([None]), dtype=np.int64), self.rows.noun
        rows = rows[self.rows.readable[rows]]
        require(rows.size, f"No {noun} that was asked about can be read.")
        try:
            self.model.check_modality(noun)
            linked = has_words(self.model, noun, reference=self.reference is not None)
            with quietly():
                values = represent_rows(self.rows.adata, self.model, rows=rows, **self._read).values
                likely = self._likely(words, rows, values) if linked else None
            if likely is not None:
                return self._predicted(words, rows, likely, check=bool(named))
            texts = "" if self.reference is not None else ", or pass reference=, rows with texts"
            said = (
                f"{words!r} cannot be computed, and no class of {noun}s of that name is known here: nothing is said. "
                f"Name a class as ChEBI does{texts}."
            )
            require(not named and not linked, said)
            point = self.model.text_coordinates([words])
        except InputError as error:
            said = f"{words!r} cannot be computed, nor can {noun}s be searched by text: {error}"
            raise RefusedError(said) from error
        scores = self.model.coordinates(values, noun) @ point[0]
        order = np.argsort(-scores, kind="stable")[:_RANKED]
        text = (
            f"{words!r} cannot be computed. Of {rows.size} {noun}s, {self._shown(rows[order], scores[order])} lie "
            "nearest to these words in the model's space of texts (cosine similarity). Nearness is no proof: nothing "
            "was checked."
        )
        return Result(text, self._ranked(rows[order], "score", scores[order]), computed=False)

    def _likely(self, words: str, rows: Any, values: Any) -> Any:
        """Probability that each row is what words say; None where they are said of no class."""
        known = None
        if self.reference is not None:
            known = known_rows_near(
                self.rows.adata, self.reference, self._text_key, self.model, rows=rows, **self._read
            )  # fmt: skip
        return MoleculesMeant(values, self.model, self.rows.noun, known, self.rows.structures(rows)).scores(words)

    def _predicted(self, words: str, rows: Any, likely: Any, *, check: bool) -> Result:
        """Say which rows are likely what words say, marked as predicted."""
        order = np.argsort(-np.nan_to_num(likely, nan=-1.0), kind="stable")[:_RANKED]
        rows, scores = rows[order], likely[order]
        phrases = ["the model's phrases"] if self.rows.noun in self.model.phrase_books else []
        texts = ["the texts of known neighbours"] if self.reference is not None else []
        note = f"Predicted from {' and '.join([*phrases, *texts])}, not computed, and not checked."
        table, fits = self._ranked(rows, "probability", scores), scores >= FITS
        if check:
            said = " ".join(
                f"{'Likely' if score >= FITS else 'Probably not'}: {self.rows.labels[row]} is {words!r} with "
                f"probability {score:.2f}."
                for row, score in zip(rows, scores, strict=True)
            )
            return Result(f"{said} {note}", table, computed=False)
        found = f"none is likely; highest are {self._shown(rows, scores)}"
        if fits.any():
            many = more(int((likely >= FITS).sum()), _SHOWN)
            found = f"likely are {self._shown(rows[fits], scores[fits])}{many}"
        text = f"{words!r}: of {len(likely)} {self.rows.noun}s, {found}, by probability. {note}"
        return Result(text, table, computed=False)

    def like(self, centre: int) -> Result:
        """Rows most like one."""
        others = self.rows.beside(centre)
        require(others.size, f"There is no other {self.rows.noun} to compare {self.rows.labels[centre]} with.")
        views = self._views(np.concatenate([[centre], others]), self.rows.adata)
        views = [type(one)(one.queries[:1], one.pool[1:], one.metric, one.weight) for one in views]
        near = nearest_rows(views, min(_RANKED, others.size))
        found, by = others[near.rows[0]], "the model's encoder"
        table = self._ranked(found, "similarity", near.similarity[0])
        if self.rows.noun == "molecule":
            by = f"{by} and Morgan fingerprints"
            table["tanimoto"] = [self.rows.tanimoto(centre, int(row)) for row in found]
        shown = self._shown(found, near.similarity[0])
        text = f"Most like {self.rows.labels[centre]} by {by}: {shown}, of {others.size} {self.rows.noun}s."
        return Result(text, table, computed=False)

    def told(self, rows: list[int], reference: AnnData) -> Result:
        """Text of the nearest row of the reference, for each row."""
        near = nearest_rows(self._views(np.array(rows), reference), 1, among=np.array(list(map(bool, self.texts))))
        at = near.rows[:, 0]
        table = pd.DataFrame(
            {
                "row": self.rows.adata.obs_names[rows], "source": reference.obs_names.astype(str)[at],
                "similarity": near.similarity[:, 0], "text": [self.texts[i] for i in at],
            }
        )  # fmt: skip
        said = [
            f"{self.rows.labels[row]} is most like {bounded(one.source, 60)} (similarity {one.similarity:.2f}) of the "
            f"reference: {bounded(one.text, _MOST_TEXT).rstrip('.')}."
            for row, one in zip(rows, table.itertuples(), strict=True)
        ]
        them = "it" if len(rows) == 1 else "them"
        said.append(f"Whether what is said of another {self.rows.noun} holds of {them} was not checked.")
        return Result(" ".join(said), table, computed=False)

    def _views(self, rows: Any, pool: AnnData) -> Any:
        with quietly():
            return compared_views(
                self.rows.adata, pool, self.model, use_rep=None, metric="cosine", rows=rows, **self._read
            )[0]  # fmt: skip

    def _shown(self, rows: Any, scores: Any) -> str:
        """Name the first of some rows, each with its score."""
        pairs = zip(rows[:_SHOWN], scores[:_SHOWN], strict=True)
        return listed(f"{self.rows.labels[row]} ({score:.2f})" for row, score in pairs)

    def _ranked(self, rows: Any, name: str, values: Any) -> pd.DataFrame:
        names = self.rows.adata.obs_names[rows]
        return pd.DataFrame({"row": names, "rank": range(1, len(names) + 1), name: values})


@contextmanager
def quietly() -> Iterator[None]:
    """Show no progress: an answer is a sentence."""
    shown, settings.progress = settings.progress, False
    try:
        yield
    finally:
        settings.progress = shown

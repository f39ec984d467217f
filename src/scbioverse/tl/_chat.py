"""`sb.Chat`: a conversation about one AnnData."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .._slots import anndata_of
from ..ask.answer import Answer, AnswerStream
from ..io.state import State
from ._ask import asked_rows, streamed

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from anndata import AnnData

    from ..ask import Query
    from ..ask.asked import Asked
    from ..models import BioVerse


class Chat:
    """A conversation: the data are read once, and a follow-up ("and in NK cells?") knows what came before.

    Data that were changed between two questions are read anew.

    Molecules and proteins are talked about in the same way: `modality="molecule"`, "and ibuprofen?".

    Parameters
    ----------
    adata
        The data; not changed.
    groupby, cells, model, modality, key, layer, key_added, device, reference, text_key, reader
        As in :func:`scbioverse.tl.ask`.

    Attributes
    ----------
    history
        Answers given, oldest first; each holds its question and its query.
    modality
        What a row is.

    Examples
    --------
    >>> import scbioverse as sb
    >>> chat = sb.Chat(sb.datasets.pbmc3k(), groupby="cell_type")
    >>> print(chat.ask("How many B cells are there?"))
    >>> print(chat.ask("And NK cells?"))
    """

    def __init__(
        self,
        adata: AnnData,
        *,
        groupby: str | None = None,
        cells: Any = None,
        model: str | Path | BioVerse = "bioverse-small",
        modality: str = "cell",
        key: str | None = None,
        layer: str | None = None,
        key_added: str = "bioverse",
        device: str = "auto",
        reference: AnnData | None = None,
        text_key: str = "text",
        reader: str | Path = "rules",
    ) -> None:
        self._adata, self._reference, self._layer = adata, reference, layer
        self._read = partial(
            asked_rows, adata, groupby=groupby, cells=cells, model=model, modality=modality, key=key, layer=layer,
            key_added=key_added, device=device, reference=reference, text_key=text_key, reader=reader,
        )  # fmt: skip
        self._kept_rows, self.modality = self._read(), modality
        self._seen = self._states()
        self.history: list[Answer] = []

    def _states(self) -> list[State]:
        adata, reference = (anndata_of(one, self.modality) for one in (self._adata, self._reference))
        return [State.of(adata, self._layer), *([State.of(reference)] if reference is not None else [])]

    @property
    def _asked(self) -> Asked:
        """The rows, read anew where the data are no longer what was read."""
        now = self._states()
        if not all(old.same(new) for old, new in zip(self._seen, now, strict=True)):
            self._kept_rows = self._read()
            self._seen = now
        return self._kept_rows

    def ask(self, question: str | Query) -> Answer:
        """Ask and wait for the whole answer; see :func:`scbioverse.tl.ask`."""
        return self.stream(question).finish()

    def stream(self, question: str | Query) -> AnswerStream:
        """Ask and get the answer piece by piece; it joins the history with its last piece."""
        before = next((one.query for one in reversed(self.history) if one.query is not None), None)
        return AnswerStream(self._kept(self._asked.answer(question, before)))

    def _kept(self, answer: Answer) -> Generator[str, None, Answer]:
        yield from streamed(answer)
        self.history.append(answer)
        return answer

    def clear(self) -> None:
        """Forget what was said; the data stay read."""
        self.history.clear()

    def __repr__(self) -> str:
        return f"Chat({self._kept_rows.rows.adata.n_obs} {self.modality}s, {len(self.history)} answers)"

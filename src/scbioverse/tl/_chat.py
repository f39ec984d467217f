"""`sb.Chat`: a conversation about one AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._answer_stream import Answer, AnswerStream
from ._ask import Asked, answer_pieces, asked_rows

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse


class Chat:
    """A conversation: model and data are read once, and a follow-up ("and in NK cells?") knows what came before.

    Molecules and proteins are talked about in the same way: `modality="molecule"`, "and ibuprofen?".

    Parameters
    ----------
    adata
        The data; not changed.
    groupby, cells, model, modality, key, layer, key_added, max_new_tokens, device, reference, text_key
        As in :func:`scbioverse.tl.ask`.

    Attributes
    ----------
    history
        Answers given, oldest first; each holds its question.
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
        max_new_tokens: int = 64,
        device: str = "auto",
        reference: AnnData | None = None,
        text_key: str = "text",
    ) -> None:
        self._cells = asked_rows(
            adata, groupby=groupby, cells=cells, model=model, modality=modality, key=key, layer=layer,
            key_added=key_added, device=device, reference=reference, text_key=text_key,
        )  # fmt: skip
        self.modality = modality
        self._max_new_tokens = max_new_tokens
        self._last: Asked | None = None
        self.history: list[Answer] = []

    def ask(self, question: str) -> Answer:
        """Ask and wait for the whole answer; see :func:`scbioverse.tl.ask`."""
        return self.stream(question).finish()

    def stream(self, question: str) -> AnswerStream:
        """Ask and get the answer piece by piece; it joins the history with its last piece."""
        asked = answer_pieces(
            self._cells,
            question,
            max_new_tokens=self._max_new_tokens,
            before=None if self._last is None else self._last.question,
            turns=[(one.question, one.text) for one in self.history],
        )
        self._last = asked
        return AnswerStream(self._kept(asked))

    def _kept(self, asked: Asked) -> Generator[str, None, Answer]:
        answer = yield from asked.stream
        self.history.append(answer)
        return answer

    def clear(self) -> None:
        """Forget what was said; data and model stay loaded."""
        self.history.clear()
        self._last = None

    def __repr__(self) -> str:
        return f"Chat({self._cells.adata.n_obs} {self.modality}s, {len(self.history)} answers)"

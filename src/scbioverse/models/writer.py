"""Captions from phrases: a head finds phrases in an embedding, and the language model reads them as words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._settings import settings
from ..llm.generate import Generated, generate_fitting
from ..llm.prompts import QuestionTemplate, encode_plain
from ..nn import choose_phrases

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .config import PhraseBook
    from .reader import PromptReader, TextWriter

Float = NDArray[np.float32]


# "2-hydroxy-2-hydroxy-...": so many tokens in a row are said once.
NO_REPEAT = 6
_ROWS = 4096  # through the head at a time: it changes memory only


class PhraseCaptioner:
    """Phrases that hold of an embedding, and the decoding loop that words them; see :class:`.PhraseBook`.

    `reader` returns what writes (the first call loads the language model), `asks` what answers questions in a wording
    of its own.
    """

    def __init__(
        self,
        modality: str,
        book: PhraseBook,
        modules: nn.ModuleDict,
        reader: Callable[[], PromptReader],
        asks: Callable[[QuestionTemplate], TextWriter],
    ) -> None:
        self.modality, self.book, self.modules = modality, book, modules
        self._reader, self._asks = reader, asks

    @property
    def reader(self) -> PromptReader:
        """What writes; the first access loads the language model."""
        return self._reader()

    @property
    def opening_ids(self) -> list[int]:
        """Ids of what stands before the phrases."""
        return [*self.reader.backbone.bos_ids, *encode_plain(self.reader.backbone, self.book.opening)]

    @cached_property
    def text_writer(self) -> TextWriter:
        """Asks questions about notes: in words, without soft tokens, of the model that answers about cells."""
        instruction = f"Answer the question about this {self.modality} in one short sentence, from the note."
        return self._asks(QuestionTemplate(instruction, "Note:"))

    def answer(
        self, embeddings: Float, question: str, *, max_new_tokens: int = 96, beams: int = 1, batch_size: int = 32
    ) -> list[str]:
        """Answer a question about each row from its note: `""` where that is empty. Equal notes are answered once."""
        notes = self.notes(embeddings)
        different = _shortest_first(set(notes) - {""})
        said = {"": ""}
        for start in range(0, len(different), batch_size):
            block = different[start : start + batch_size]
            prompts = self.text_writer.prompts([(question, note) for note in block])
            found = self.text_writer.write(prompts, [{}] * len(block), max_new_tokens=max_new_tokens, beams=beams)
            said |= dict(zip(block, found, strict=True))
        return [said[note] for note in notes]

    def notes(self, embeddings: Float) -> list[str]:
        """Say the phrases that hold of each embedding, those of one group after those of another."""
        leads = [group.lead for group in self.book.groups]
        return [
            "".join(lead + ", ".join(some) for lead, some in zip(leads, found, strict=True) if some)
            for found in self.phrases(embeddings)
        ]

    @torch.no_grad()
    def _logits(self, embeddings: Float) -> list[Tensor]:
        """One for each phrase of the book, (n, n_phrases), some rows at a time."""
        self.modules.eval()
        head: Any = self.modules["phrases"][self.modality]  # type: ignore[index]
        values = np.ascontiguousarray(embeddings, dtype=np.float32)
        parts = (torch.from_numpy(values[start : start + _ROWS]) for start in range(0, len(values), _ROWS))
        return [head(part.to(head.centre.device)) for part in parts]

    def phrases(self, embeddings: Float) -> list[list[list[str]]]:
        """Find the phrases that hold of each embedding: for each, a list for each group; see :meth:`notes`."""
        groups, phrases = self.book.groups, self.book.phrases
        owner = [number for number, group in enumerate(groups) for _ in group.phrases]
        sizes, most = [len(one.phrases) for one in groups], [one.most for one in groups]
        out = []
        for logits in self._logits(embeddings):
            chosen = choose_phrases(logits, sizes, most, [one.least for one in groups])
            out += [[[phrases[i] for i in row if owner[i] == n] for n in range(len(groups))] for row in chosen]
        return out

    def probabilities(self, embeddings: Float) -> Float:
        """How likely each phrase of the book holds of each embedding: float32 (n, n_phrases)."""
        parts = [torch.sigmoid(logits.float()) for logits in self._logits(embeddings)]
        return torch.cat(parts).cpu().numpy() if parts else np.empty((0, len(self.book.phrases)), dtype=np.float32)

    def ids(self, note: str) -> list[int]:
        """Ids of a note and of what stands between it and the text."""
        backbone = self.reader.backbone
        return encode_plain(backbone, " " + note)[: self.book.longest] + encode_plain(backbone, self.book.closing)

    def write(
        self, embeddings: Float, *, max_new_tokens: int = 96, beams: int = 1, batch_size: int = 32
    ) -> tuple[list[str], Float]:
        """Write a line for each row, with log-probabilities (n,): NaN where lines behind the first were cut.

        Rows with equal notes have the same text, which is written once.
        """
        notes = self.notes(embeddings)
        different = _shortest_first(set(notes))
        done: dict[str, Generated] = {}
        starts = range(0, len(different), batch_size)
        for start in tqdm(starts, desc="write", unit="batch", disable=not settings.progress):
            block = different[start : start + batch_size]
            with torch.inference_mode():
                composed = self.reader.composer.compose(list(map(self.ids, block)))
            found = generate_fitting(
                self.reader.backbone, self.reader.cached(self.opening_ids), composed, what=f"{self.modality}s",
                max_new_tokens=max_new_tokens, beams=beams, no_repeat=NO_REPEAT,
            )  # fmt: skip
            done |= dict(zip(block, found, strict=True))
        lines = {note: self.reader.backbone.decode(one.ids).strip().split("\n") for note, one in done.items()}
        texts = [" ".join(lines[note][0].split()) for note in notes]
        # What was cut off counts in the probability of what was written, and cannot be told apart from it any more.
        log_probs = [done[note].log_prob if len(lines[note]) == 1 else np.nan for note in notes]
        return texts, np.array(log_probs, dtype=np.float32)


def _shortest_first(notes: set[str]) -> list[str]:
    """Order notes so that those of like length are read together: a row's padding takes time."""
    return sorted(notes, key=lambda one: (len(one), one))

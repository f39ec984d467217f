"""What the language model writes: answers to questions about soft tokens, and captions from phrases.

A head finds phrases in an embedding, and the language model reads them as words.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._settings import settings
from ..llm._memory import first_batch
from ..llm.generate import MAX_NEW_TOKENS, Generated, generate
from ..llm.prompts import QuestionTemplate, encode_plain
from ..llm.score import score_labels
from ..llm.trie import LabelTrie
from ..nn import choose_phrases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from ..llm.prefix import PrefixCache
    from ..nn import Composed
    from .config import PhraseBook
    from .reader import PhrasePrompt, PromptReader

Float = NDArray[np.float32]


class TextWriter:
    """Prompts, the cached instruction and the decoding loop of one model.

    `project` turns embeddings of a modality into soft tokens.
    """

    def __init__(
        self, reader: PromptReader, project: Callable[..., Tensor], template: QuestionTemplate | None = None
    ) -> None:
        self.reader, self.project = reader, project
        self.template = template or QuestionTemplate()

    @property
    def prefix(self) -> PrefixCache:
        """Keys and values of the instruction."""
        return self.reader.instruction(self.template)

    def prompt(self, question: str, *, objects: Sequence[tuple[str, str]] = (), evidence: str = "") -> list[int]:
        """Render a question about `objects`, (modality, name) each; see :meth:`QuestionTemplate.render`."""
        return self.template.render(
            self.reader.backbone, self.reader.tokens, question, n_soft=self.reader.n_soft, objects=objects,
            evidence=evidence,
        )  # fmt: skip

    def write(
        self,
        prompts: Sequence[list[int]],
        soft: Sequence[dict[str, Float]],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        beams: int = 1,
        no_repeat: int = 0,
    ) -> list[str]:
        """Write an answer to each prompt, whose objects' embeddings (k, n_tokens, dim) `soft` holds by modality.

        `no_repeat` tokens in a row are not written twice; see :func:`.generate`.
        """
        if not prompts:
            return []
        composed = self._compose(prompts, soft)
        memory = first_batch(
            self.reader.backbone,
            min(len(prompts), 32),
            length=composed.inputs_embeds.shape[1] + max_new_tokens,
            prefix=self.prefix.length,
            logits=1,
            copies=beams,
            what="questions",
        )
        done = memory.run(
            lambda size: generate(
                self.reader.backbone,
                self.prefix,
                composed.inputs_embeds,
                attention_mask=composed.attention_mask,
                max_new_tokens=max_new_tokens,
                beams=beams,
                batch_size=size,
                no_repeat=no_repeat,
            )
        )
        # An answer is one line: what follows is the next question that the model makes up.
        lines = [self.reader.backbone.decode(one.ids).lstrip().split("\n")[0] for one in done]
        return [" ".join(line.split()) for line in lines]

    def weigh(self, prompt: list[int], soft: dict[str, Float], answers: Sequence[str]) -> Float:
        """Log-probability of each of some different answers to one prompt, given that it is one of them: float32 (n,).

        What they have in common behind the point where each is told from the others costs nothing.
        """
        trie = LabelTrie([self.template.encode_answer(self.reader.backbone, one) for one in answers])
        composed = self._compose([prompt], [soft])
        return score_labels(
            self.reader.backbone,
            self.prefix,
            composed.inputs_embeds,
            trie,
            attention_mask=composed.attention_mask,
            batch_size=1,
        )[0]

    @torch.no_grad()
    def _compose(self, prompts: Sequence[list[int]], soft: Sequence[dict[str, Float]]) -> Composed:
        modalities = sorted({modality for one in soft for modality in one})
        by_modality = {
            modality: [self.project(one[modality], modality) if len(one.get(modality, ())) else None for one in soft]
            for modality in modalities
        }
        return self.reader.composer.compose(prompts, by_modality)


# "2-hydroxy-2-hydroxy-...": so many tokens in a row are said once.
NO_REPEAT = 6
_ROWS = 4096  # through the head at a time: it changes memory only


class PhraseCaptioner:
    """Phrases that hold of an embedding, and the decoding loop that words them; see :class:`.PhraseBook`.

    `prompt` returns what writes (the first call loads the language model), `asks` what answers questions in a wording
    of its own.
    """

    def __init__(
        self,
        modality: str,
        book: PhraseBook,
        modules: nn.ModuleDict,
        prompt: Callable[[], PhrasePrompt],
        asks: Callable[[QuestionTemplate], TextWriter],
    ) -> None:
        self.modality, self.book, self.modules = modality, book, modules
        self._prompt, self._asks = prompt, asks

    @property
    def prompt(self) -> PhrasePrompt:
        """What writes; the first access loads the language model."""
        return self._prompt()

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
            prompts = [self.text_writer.prompt(question, evidence=note) for note in block]
            found = self.text_writer.write(prompts, [{}] * len(block), max_new_tokens=max_new_tokens, beams=beams)
            said |= dict(zip(block, found, strict=True))
        return [said[note] for note in notes]

    def notes(self, embeddings: Float) -> list[str]:
        """Say the phrases that hold of each embedding, those of one group after those of another."""
        return [self.note(one) for one in self.phrases(embeddings)]

    def note(self, phrases: Sequence[Sequence[str]]) -> str:
        """Join the phrases of one embedding, group by group, to a note."""
        said = zip(self.book.groups, phrases, strict=True)
        return "".join(group.lead + ", ".join(some) for group, some in said if some)

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
        return encode_plain(self.prompt.backbone, " " + note)[: self.book.longest] + self.prompt.closing

    def write(
        self, embeddings: Float, *, max_new_tokens: int = 96, beams: int = 1, batch_size: int = 32
    ) -> tuple[list[str], Float]:
        """Write a line for each row, with log-probabilities (n,): NaN where lines behind the first were cut."""
        notes = self.notes(embeddings)
        return self.write_notes(notes, max_new_tokens=max_new_tokens, beams=beams, batch_size=batch_size)

    def write_notes(
        self, notes: Sequence[str], *, max_new_tokens: int = 96, beams: int = 1, batch_size: int = 32
    ) -> tuple[list[str], Float]:
        """Write a text for each note; equal notes have the same text, which is written once. See :meth:`write`."""
        different = _shortest_first(set(notes))
        done: dict[str, Generated] = {}
        memory = None
        starts = range(0, len(different), batch_size)
        for start in tqdm(starts, desc="write", unit="batch", disable=not settings.progress):
            block = different[start : start + batch_size]
            with torch.inference_mode():
                composed = self.prompt.composer.compose([self.ids(one) for one in block])
            if memory is None:
                length = self.book.longest + len(self.prompt.closing) + max_new_tokens
                memory = first_batch(
                    self.prompt.backbone, batch_size, length=length, prefix=self.prompt.prefix.length, logits=1,
                    copies=beams, what=f"{self.modality}s",
                )  # fmt: skip
            found = memory.run(
                lambda size, composed=composed: generate(  # type: ignore[misc]
                    self.prompt.backbone,
                    self.prompt.prefix,
                    composed.inputs_embeds,
                    attention_mask=composed.attention_mask,
                    max_new_tokens=max_new_tokens,
                    beams=beams,
                    batch_size=size,
                    no_repeat=NO_REPEAT,
                )
            )
            done |= dict(zip(block, found, strict=True))
        lines = {note: self.prompt.backbone.decode(one.ids).strip().split("\n") for note, one in done.items()}
        texts = [" ".join(lines[note][0].split()) for note in notes]
        # What was cut off counts in the probability of what was written, and cannot be told apart from it any more.
        log_probs = [done[note].log_prob if len(lines[note]) == 1 else np.nan for note in notes]
        return texts, np.array(log_probs, dtype=np.float32)


def _shortest_first(notes: set[str]) -> list[str]:
    """Order notes so that those of like length are read together: a row's padding takes time."""
    return sorted(notes, key=lambda one: (len(one), one))

"""Questions about soft tokens, answered by the language model in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..llm._memory import BatchSize, first_size
from ..llm.generate import MAX_NEW_TOKENS, Choices, Generated, generate, stream
from ..llm.questions import QuestionPrompt, QuestionTemplate
from ..llm.trie import LabelTrie

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..llm.prefix import PrefixCache
    from ..nn import Composed
    from .bioverse import BioVerse

Float = NDArray[np.float32]


class TextWriter:
    """Prompts, the cached instruction and the decoding loop of one model.

    Parameters
    ----------
    model
        The model; its language model is loaded here.
    template
        Wording; the default one if not given.
    """

    def __init__(self, model: BioVerse, template: QuestionTemplate | None = None) -> None:
        self.model, self.reader = model, model.writing_reader
        self.template = template or QuestionTemplate()

    @property
    def prefix(self) -> PrefixCache:
        """Keys and values of the instruction."""
        return self.reader.instruction(self.template)

    def prompt(
        self,
        question: str,
        *,
        objects: Sequence[tuple[str, str]] = (),
        evidence: str = "",
        turns: Sequence[tuple[str, str]] = (),
    ) -> QuestionPrompt:
        """Render a question about `objects`, (modality, name) each; see :meth:`QuestionTemplate.render`."""
        return self.template.render(
            self.reader.backbone,
            self.model.tokens,
            question,
            n_soft=self.model.config.n_soft,
            objects=objects,
            evidence=evidence,
            turns=turns,
        )

    def write(
        self,
        prompts: Sequence[QuestionPrompt],
        soft: Sequence[dict[str, Float]],
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        temperature: float = 0.0,
        beams: int = 1,
        seed: int = 0,
    ) -> list[str]:
        """Write an answer to each prompt.

        Parameters
        ----------
        prompts
            The questions.
        soft
            For each, by modality the embeddings (k, n_tokens, dim) of its objects in order.
        max_new_tokens, temperature, beams, seed
            See :func:`scbioverse.llm.generate.generate`.
        """
        if not prompts:
            return []
        composed = self._compose(prompts, soft)
        rows = first_size(
            self.reader.backbone,
            min(len(prompts), 32),
            length=composed.inputs_embeds.shape[1] + max_new_tokens,
            prefix=self.prefix.length,
            logits=1,
            copies=beams,
            what="questions",
        )
        done = BatchSize(rows, what="questions").run(
            lambda size: generate(
                self.reader.backbone,
                self.prefix,
                composed.inputs_embeds,
                attention_mask=composed.attention_mask,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                beams=beams,
                seed=seed,
                batch_size=size,
            )
        )
        # An answer is one line: what follows is the next question that the model makes up.
        lines = [self.reader.backbone.decode(one.ids).lstrip().split("\n")[0] for one in done]
        return [" ".join(line.split()) for line in lines]

    def choose(self, prompt: QuestionPrompt, soft: dict[str, Float], answers: Sequence[str]) -> int:
        """Let the language model give one of these answers to one prompt, and return its number.

        Parameters
        ----------
        prompt, soft
            As for :meth:`write`.
        answers
            All different.
        """
        choices = Choices(LabelTrie([self.template.encode_answer(self.reader.backbone, one) for one in answers]))
        composed = self._compose([prompt], [soft])
        done = generate(
            self.reader.backbone,
            self.prefix,
            composed.inputs_embeds,
            attention_mask=composed.attention_mask,
            max_new_tokens=choices.longest,
            allowed=choices,
        )
        return choices.label(done[0].ids)

    def stream(
        self, prompt: QuestionPrompt, soft: dict[str, Float], *, max_new_tokens: int = MAX_NEW_TOKENS
    ) -> Iterator[str]:
        """Write the answer to one prompt, piece by piece."""
        composed = self._compose([prompt], [soft])
        begun = False
        for piece in stream(
            self.reader.backbone,
            self.prefix,
            composed.inputs_embeds,
            attention_mask=composed.attention_mask,
            max_new_tokens=max_new_tokens,
        ):
            line, ends, _ = (piece if begun else piece.lstrip()).partition("\n")
            begun = begun or bool(line)
            if line:
                yield line
            if ends and begun:
                return

    @torch.no_grad()
    def _compose(self, prompts: Sequence[QuestionPrompt], soft: Sequence[dict[str, Float]]) -> Composed:
        self.model.modules.eval()
        modalities = sorted({modality for one in soft for modality in one})
        by_modality = {
            modality: [
                self.model.project(one[modality], modality) if len(one.get(modality, ())) else None for one in soft
            ]
            for modality in modalities
        }
        return self.reader.composer.compose([list(one.suffix_ids) for one in prompts], by_modality)


def write_labels(
    model: BioVerse,
    embeddings: Float,
    names: Sequence[str] | None = None,
    *,
    modality: str = "cell",
    max_new_tokens: int = 24,
    beams: int = 1,
    batch_size: int = 32,
) -> tuple[list[str], Float, NDArray[np.int64]]:
    """Let the language model write a label for each row, freely or one of `names`.

    Equal embeddings are read once. What is written freely of a modality with phrases of its own (see
    :class:`scbioverse.models.captioner.PhraseCaptioner`) is written from these.

    Parameters
    ----------
    model
        The model.
    embeddings
        float32 (n, n_tokens, dim) or (n, dim).
    names
        What may be written; anything if None.
    modality
        Modality of the embeddings.
    max_new_tokens
        Longest free label; names are always written to their end.
    beams
        See :func:`scbioverse.llm.generate.generate`.
    batch_size
        Most rows at once: fewer where little memory is free, and half as many each time it runs out.

    Returns
    -------
    The texts; their log-probabilities float32 (n,), among `names` where given; and int64 (n,) which of the names each
    is, -1 for free texts.
    """
    from .score import _sequences, unique_rows

    model.check_modality(modality)
    if names is None and modality in model.phrase_books:
        captioner = model.captioner(modality)
        said, likely = captioner.write(embeddings, max_new_tokens=max_new_tokens, beams=beams, batch_size=batch_size)
        return said, likely, np.full(len(said), -1, dtype=np.int64)
    reader = model.writing_reader
    choices = None if names is None else Choices(LabelTrie(_sequences(model, list(names))))
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    unique, back = unique_rows(rows.reshape(len(rows), int(np.prod(rows.shape[1:]))))
    model.modules.eval()
    done: list[Generated] = []
    head = reader.prompt(modality).head
    size = first_size(
        reader.backbone,
        batch_size,
        length=len(head) + (max_new_tokens if choices is None else choices.longest),
        prefix=reader.prefix(modality).length,
        logits=1,
        copies=beams,
        what=f"{modality}s",
    )
    memory = BatchSize(size, what=f"{modality}s")
    for start in range(0, unique.size, batch_size):
        block = rows[unique[start : start + batch_size]]
        with torch.inference_mode():
            suffix = reader.suffix([head] * len(block), model.project(block, modality), modality)
        done += memory.run(
            lambda size, suffix=suffix: generate(  # type: ignore[misc]
                reader.backbone,
                reader.prefix(modality),
                suffix.inputs_embeds,
                attention_mask=suffix.attention_mask,
                max_new_tokens=max_new_tokens if choices is None else choices.longest,
                allowed=choices,
                beams=beams,
                batch_size=size,
            )
        )
    texts = [" ".join(reader.backbone.decode(one.ids).split()) for one in done]
    log_probs = np.array([one.log_prob for one in done], dtype=np.float32)
    which = np.array([-1 if choices is None else choices.label(one.ids) for one in done], dtype=np.int64)
    return [texts[i] for i in back], log_probs[back], which[back]

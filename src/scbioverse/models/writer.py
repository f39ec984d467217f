"""Questions about soft tokens, answered by the language model in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..llm._memory import first_batch
from ..llm.generate import MAX_NEW_TOKENS, generate
from ..llm.questions import QuestionTemplate
from ..llm.score import score_labels
from ..llm.trie import LabelTrie

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from ..llm.prefix import PrefixCache
    from ..nn import Composed
    from .reader import PromptReader

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
    ) -> list[str]:
        """Write an answer to each prompt, whose objects' embeddings (k, n_tokens, dim) `soft` holds by modality."""
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

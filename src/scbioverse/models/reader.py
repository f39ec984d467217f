"""How the language model reads soft tokens: the prompt around them, its cached beginning, and the splicing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..llm.prefix import PrefixCache, suffix_hidden
from ..llm.prompts import MAX_LABEL_CHARS
from ..nn import Composed, Composer

if TYPE_CHECKING:
    from torch import Tensor

    from ..llm import Backbone
    from ..llm.prompts import PromptTemplate
    from ..llm.questions import QuestionTemplate
    from ..nn import BioTokens


@dataclass(frozen=True)
class Prompt:
    """Token ids around a cell; negative ids are placeholders of the model's own tokens.

    Attributes
    ----------
    prefix
        Everything before the soft tokens, the start marker included: the same for every input.
    head
        Soft-token placeholders, end marker, task token and question: what stands before the answer.
    """

    prefix: list[int]
    head: list[int]


class PromptReader:
    """A language model with a prompt.

    Parameters
    ----------
    backbone
        The language model.
    tokens
        Markers and placeholders.
    template
        Wording.
    n_soft
        Soft tokens of one input.
    """

    def __init__(self, backbone: Backbone, tokens: BioTokens, template: PromptTemplate, n_soft: int) -> None:
        self.backbone, self.tokens, self.template, self.n_soft = backbone, tokens, template, n_soft
        self.composer = Composer(backbone.embed_tokens, tokens)
        self._prompts: dict[str, Prompt] = {}
        self._prefixes: dict[str, PrefixCache] = {}
        self._instructions: dict[QuestionTemplate, PrefixCache] = {}

    def prompt(self, modality: str = "cell") -> Prompt:
        """Return token ids of the prompt, without answer."""
        if modality not in self._prompts:
            rendered = self.template.render_annotate(self.backbone, self.tokens, modality, n_soft=self.n_soft)
            self._prompts[modality] = Prompt(list(rendered.prefix_ids), list(rendered.suffix_head_ids))
        return self._prompts[modality]

    def opening(self, modality: str = "cell") -> Tensor:
        """Embed what stands before the soft tokens: (P, d_llm)."""
        with torch.no_grad():
            return self.composer.compose([self.prompt(modality).prefix]).inputs_embeds[0]

    def prefix(self, modality: str = "cell") -> PrefixCache:
        """Return keys and values of what stands before the soft tokens; start markers are fixed, so once is enough."""
        if modality not in self._prefixes:
            self._prefixes[modality] = PrefixCache(self.backbone, self.opening(modality))
        return self._prefixes[modality]

    def instruction(self, template: QuestionTemplate) -> PrefixCache:
        """Return keys and values of the instruction that questions of a wording begin with."""
        if template not in self._instructions:
            with torch.no_grad():
                embeds = self.composer.compose([template.prefix_ids(self.backbone)]).inputs_embeds
                self._instructions[template] = PrefixCache(self.backbone, embeds)
        return self._instructions[template]

    def answer_ids(self, text: str, *, max_chars: int = MAX_LABEL_CHARS) -> list[int]:
        """Token ids of an answer, the end token included; special-token strings in it stay text."""
        return self.template.encode_answer(self.backbone, text, max_chars=max_chars)

    def suffix(self, ids: list[list[int]], soft: Tensor, modality: str = "cell") -> Composed:
        """Embed suffixes `ids`, with soft tokens (n, n_soft, d_llm) in the place of their placeholders."""
        return self.composer.compose(ids, {modality: soft})

    def read(self, ids: list[list[int]], soft: Tensor, modality: str = "cell") -> Tensor:
        """Hidden states (n, T, d_llm) of suffixes `ids` behind the cached beginning; gradients flow to `soft`."""
        suffix = self.suffix(ids, soft, modality)
        return suffix_hidden(self.backbone, self.prefix(modality), suffix.inputs_embeds, suffix.attention_mask)

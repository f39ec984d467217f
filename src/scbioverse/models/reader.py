"""How the language model reads soft tokens: the prompt around them, its cached beginning, and the splicing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

import torch

from .._device import pick_device
from ..errors import MismatchError
from ..llm.adapter import reading_twin
from ..llm.prefix import PrefixCache
from ..llm.prompts import MAX_LABEL_CHARS, encode_plain
from ..nn import Composed, Composer
from ._build import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ..llm import Backbone
    from ..llm.adapter import Adapter
    from ..llm.prompts import PromptTemplate
    from ..llm.questions import QuestionTemplate
    from ..nn import BioTokens
    from .config import BioVerseConfig
    from .language import LanguageModel
    from .phrase_book import PhraseBook

W = TypeVar("W")


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

    def prefix(self, modality: str = "cell") -> PrefixCache:
        """Return keys and values of what stands before the soft tokens; start markers are fixed, so once is enough."""
        if modality not in self._prefixes:
            self._prefixes[modality] = self._cache(self.prompt(modality).prefix)
        return self._prefixes[modality]

    def instruction(self, template: QuestionTemplate) -> PrefixCache:
        """Return keys and values of the instruction that questions of a wording begin with."""
        if template not in self._instructions:
            self._instructions[template] = self._cache(template.prefix_ids(self.backbone))
        return self._instructions[template]

    @torch.no_grad()
    def _cache(self, ids: Sequence[int]) -> PrefixCache:
        return PrefixCache(self.backbone, self.composer.compose([list(ids)]).inputs_embeds)

    def answer_ids(self, text: str, *, max_chars: int = MAX_LABEL_CHARS) -> list[int]:
        """Token ids of an answer, the end token included; special-token strings in it stay text."""
        return self.template.encode_answer(self.backbone, text, max_chars=max_chars)

    def compose(self, soft: Tensor, modality: str = "cell", answers: Sequence[Sequence[int]] | None = None) -> Composed:
        """Embed what follows the cached beginning: soft tokens (n, n_soft, d_llm), the prompt's rest, and answers."""
        head = self.prompt(modality).head
        ids = [[*head, *answer] for answer in (answers if answers is not None else [[]] * len(soft))]
        return self.composer.compose(ids, {modality: soft})


class PhrasePrompt:
    """What a modality is written of with, whichever object of it: a language model, and the keys of its opening.

    Parameters
    ----------
    backbone
        The language model, with the modality's own adapter where there is one.
    tokens
        Markers and placeholders.
    book
        What is said.
    """

    def __init__(self, backbone: Backbone, tokens: BioTokens, book: PhraseBook) -> None:
        self.backbone, self.composer = backbone, Composer(backbone.embed_tokens, tokens)
        self.opening_ids = [*backbone.bos_ids, *encode_plain(backbone, book.opening)]
        self.closing = encode_plain(backbone, book.closing)

    @cached_property
    def prefix(self) -> PrefixCache:
        """Keys and values of the opening."""
        with torch.no_grad():
            embeds = self.composer.compose([self.opening_ids]).inputs_embeds[0]
            return PrefixCache(self.backbone, embeds)


class Readers:
    """A model's language model, with and without adapter, and what is computed once with it.

    Parameters
    ----------
    config, modules, template
        The model's.
    language
        Where the language model is loaded from.
    adapter
        Low-rank adapter, where it was tuned.
    backbone
        The language model, if it is already loaded.
    """

    def __init__(
        self,
        config: BioVerseConfig,
        modules: nn.ModuleDict,
        template: PromptTemplate,
        language: LanguageModel,
        adapter: Adapter | None,
        backbone: Backbone | None,
    ) -> None:
        self.config, self.modules, self.template, self.language = config, modules, template, language
        self._backbone: Backbone | None = None
        self.set_adapter(adapter)
        if backbone is not None:
            self._attach(backbone)

    @property
    def backbone(self) -> Backbone:
        """The language model as it was published, without the adapter; the first access loads it.

        Raises
        ------
        WeightsError
            It is not there.
        OfflineError
            It is on the hub and not here, and nobody named it: the model's folder does.
        MismatchError
            What is there under that name is another model than the projectors were trained for.
        """
        return self._attach(self.language.open()) if self._backbone is None else self._backbone

    def _attach(self, backbone: Backbone) -> Backbone:
        found, name = identity(backbone), self.config.llm.name
        if found != self.config.llm.sha256:
            raise MismatchError(
                f"model {self.config.name!r} was trained for the language model {name!r} with sha256 "
                f"{self.config.llm.sha256}; {backbone.name!r} has sha256 {found}. Use the first, or align a new model."
            )
        self._backbone = backbone
        self.modules.to(backbone.device)
        return backbone

    def shared(self) -> dict[str, Any]:
        """Return what a copy of the model shares with it."""
        return {"backbone": self._backbone, "llm": self.language}

    def set_adapter(self, adapter: Adapter | None) -> None:
        """Read with another adapter, or with none; what was computed with the one before is dropped."""
        self.adapter = adapter
        self._held: dict[str, PromptReader] = {}
        self._phrases: dict[str, PhrasePrompt] = {}
        # What refers to the model is held weakly: it must not keep the language model alive when the model is dropped.
        self._writers: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def to(self, device: str) -> None:
        """Run on another device from now on; see :meth:`BioVerse.to`."""
        target = pick_device(device)
        if self._backbone is None:
            if self.language.device != device:
                self.language = self.language.elsewhere(device)
        elif self._backbone.device != target:
            if self.language.shared:
                self._backbone, self.language = None, self.language.elsewhere(device)
            else:
                self.modules.to(self._backbone.to(device).device)
            self.set_adapter(self.adapter)  # readers hold keys and values on the device before

    @property
    def scoring(self) -> PromptReader:
        """What scores: with the adapter only where the configuration says so."""
        return self._reader(self.adapter if self.config.adapter_scores else None)

    @property
    def writing(self) -> PromptReader:
        """What writes labels, descriptions and answers: with the adapter where there is one."""
        return self._reader(self.adapter)

    def _reader(self, adapter: Adapter | None) -> PromptReader:
        which = "plain" if adapter is None else "adapted"
        if which not in self._held:
            backbone = self.backbone if adapter is None else reading_twin(self.backbone, adapter)
            tokens: Any = self.modules["tokens"]
            self._held[which] = PromptReader(backbone, tokens, self.template, self.config.n_soft)
        return self._held[which]

    def phrases(self, modality: str, book: PhraseBook, adapter: Adapter | None) -> PhrasePrompt:
        """Return what a modality is written of with; the first call loads the language model."""
        if modality not in self._phrases:
            backbone = self.backbone if adapter is None else reading_twin(self.backbone, adapter)
            self._phrases[modality] = PhrasePrompt(backbone, self.modules["tokens"], book)  # type: ignore[arg-type]
        return self._phrases[modality]

    def forget_phrases(self, modality: str) -> None:
        """Drop what a modality was written of with."""
        self._phrases.pop(modality, None)
        self._writers.pop(modality, None)

    def writer(self, name: str, make: Callable[[], W]) -> W:
        """Return the writer of this name, made anew where nobody holds the last one any more."""
        held = self._writers.get(name)
        if held is None:
            held = self._writers[name] = make()
        return held

    def represent(self, texts: Sequence[str], layer: int) -> NDArray[np.float32]:
        """States of the language model after `layer` blocks for each text: float32 (n, d_llm)."""
        return self.language.represent(self.backbone, texts, layer)

"""How the language model reads soft tokens: prompts around them, cached beginnings, the splicing, and questions."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._device import pick_device
from .._tensor_files import bytes_of
from ..errors import MismatchError
from ..llm.generate import MAX_NEW_TOKENS, generate_fitting
from ..llm.prefix import PrefixCache
from ..llm.prompts import MAX_LABEL_CHARS, QuestionTemplate
from ..llm.represent import represent
from ..llm.resolve import refuse_to_fetch
from ..llm.score import LabelTrie, score_labels
from ..nn import Composed, Composer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ..llm import Backbone
    from ..llm._loading import DType
    from ..llm.adapter import Adapter
    from ..llm.prompts import Prompt, PromptTemplate
    from ..nn import BioTokens
    from .config import BioVerseConfig

# Representations of texts that are kept: 20,000 of SmolLM2-135M take 46 MB.
MOST_TEXTS = 20_000


def identity(backbone: Backbone) -> str:
    """Sha256 of a language model: of its files, or of its weights where it was built in memory."""
    if backbone.sha256:
        return backbone.sha256
    digest = hashlib.sha256()
    for key, value in sorted(backbone.model.state_dict().items()):
        digest.update(key.encode())
        digest.update(bytes_of(value))
    return digest.hexdigest()


class LanguageModel:
    """Where a language model is loaded from (`name`, on which `device`, as `dtype`) and, once it was, the model.

    Copies of a model hold the same one, so that none of them loads it again; what only depends on it is kept with it:
    `texts` is what :func:`scbioverse.llm.represent.represent` made of texts, by layer and text. A language model that
    only a file names (`mentioned_by`) is not fetched from the hub. Where it is `shared`, models read with it that do
    not know of each other: none of them may then move it.
    """

    def __init__(self, name: str, *, device: str = "auto", mentioned_by: str = "", dtype: DType = "auto") -> None:
        self.name, self.device, self.mentioned_by, self.dtype = name, device, mentioned_by, dtype
        self.shared = False
        self.texts: dict[tuple[int, str], NDArray[np.float32]] = {}
        self._opened: Backbone | None = None
        self._lock = threading.Lock()

    def open(self) -> Backbone:
        """Return the language model; the first call loads it."""
        with self._lock:
            if self._opened is None:
                if self.mentioned_by:
                    refuse_to_fetch(self.name, mentioned_by=self.mentioned_by)
                from ..llm import Backbone

                self._opened = Backbone.load(self.name, device=self.device, dtype=self.dtype)
            return self._opened

    def elsewhere(self, device: str) -> LanguageModel:
        """Return the same language model on another device, to be loaded anew."""
        return LanguageModel(self.name, device=device, mentioned_by=self.mentioned_by, dtype=self.dtype)

    def represent(self, backbone: Backbone, texts: Sequence[str], layer: int) -> NDArray[np.float32]:
        """Represent texts by the language model, each once as long as it lives: float32 (n, d_llm).

        One at a time: in bfloat16 a text's last digits depend on what it is batched with, and a result must depend
        neither on the other labels nor on what was asked before. On a CPU it costs little.
        """
        kept = self.texts
        if len(kept) > MOST_TEXTS:
            kept.clear()
        rows = {text: row for text in dict.fromkeys(texts) if (row := kept.get((layer, text))) is not None}
        if new := [text for text in dict.fromkeys(texts) if text not in rows]:
            rows |= zip(new, represent(backbone, new, layer=layer, batch_size=1), strict=True)
            kept |= {(layer, text): rows[text] for text in new}
        found = [rows[text] for text in texts]
        return np.stack(found) if found else np.empty((0, backbone.d_llm), dtype=np.float32)

    def dtype_of(self, backbone: Backbone | None) -> DType:
        """Return as what `backbone`, the one that is read with, is to be loaded again: one handed in as it is."""
        names: dict[Any, DType] = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
        return self.dtype if backbone in (None, self._opened) else names.get(backbone.dtype, "auto")

    @property
    def n_bytes(self) -> int:
        """Memory that its weights take; 0 as long as it is not loaded."""
        model = getattr(self._opened, "model", None)
        return 0 if model is None else sum(one.numel() * one.element_size() for one in model.parameters())


class PromptReader:
    """A language model with a prompt: markers and placeholders, wording, and `n_soft` soft tokens of one input."""

    def __init__(self, backbone: Backbone, tokens: BioTokens, template: PromptTemplate, n_soft: int) -> None:
        self.backbone, self.tokens, self.template, self.n_soft = backbone, tokens, template, n_soft
        self.composer = Composer(backbone.embed_tokens, tokens)
        self._prompts: dict[str, Prompt] = {}
        self._cached: dict[tuple[int, ...], PrefixCache] = {}

    def prompt(self, modality: str = "cell") -> Prompt:
        """Return token ids of the prompt, without answer."""
        if modality not in self._prompts:
            self._prompts[modality] = self.template.render_annotate(
                self.backbone, self.tokens, modality, n_soft=self.n_soft
            )
        return self._prompts[modality]

    def prefix(self, modality: str = "cell") -> PrefixCache:
        """Return keys and values of what stands before the soft tokens; start markers are fixed, so once is enough."""
        return self.cached(self.prompt(modality).prefix)

    @torch.no_grad()
    def cached(self, ids: Sequence[int]) -> PrefixCache:
        """Return keys and values of what a prompt begins with, computed once."""
        if (key := tuple(ids)) not in self._cached:
            self._cached[key] = PrefixCache(self.backbone, self.composer.compose([ids]).inputs_embeds)
        return self._cached[key]

    def answer_ids(self, text: str, *, max_chars: int = MAX_LABEL_CHARS) -> list[int]:
        """Token ids of an answer, the end token included; special-token strings in it stay text. Names: made once."""
        if max_chars != MAX_LABEL_CHARS:
            return self.template.encode_answer(self.backbone, text, max_chars=max_chars)
        if text not in self.backbone.answers:
            self.backbone.answers[text] = self.template.encode_answer(self.backbone, text)
        return self.backbone.answers[text]

    def compose(self, soft: Tensor, modality: str = "cell", answers: Sequence[Sequence[int]] | None = None) -> Composed:
        """Embed what follows the cached beginning: soft tokens (n, n_soft, d_llm), the prompt's rest, and answers."""
        head = self.prompt(modality).head
        ids = [[*head, *answer] for answer in (answers if answers is not None else [[]] * len(soft))]
        return self.composer.compose(ids, {modality: soft})


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
        return self.reader.cached(self.template.prefix_ids(self.reader.backbone))

    def prompt(self, question: str, *, objects: Sequence[tuple[str, str]] = (), evidence: str = "") -> list[int]:
        """Render one question about `objects`, (modality, name) each; see :meth:`prompts`."""
        return self.prompts([(question, evidence)], objects=objects)[0]

    def prompts(self, asked: Sequence[tuple[str, str]], *, objects: Sequence[tuple[str, str]] = ()) -> list[list[int]]:
        """Render questions about the same `objects`, each with its evidence; see :meth:`QuestionTemplate.render`."""
        one = self.reader
        return self.template.render(one.backbone, one.tokens, asked, n_soft=one.n_soft, objects=objects)

    def write(
        self,
        prompts: Sequence[list[int]],
        soft: Sequence[dict[str, NDArray[np.float32]]],
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
        done = generate_fitting(
            self.reader.backbone, self.prefix, composed, what="questions", max_new_tokens=max_new_tokens, beams=beams,
            no_repeat=no_repeat,
        )  # fmt: skip
        # An answer is one line: what follows is the next question that the model makes up.
        lines = [self.reader.backbone.decode(one.ids).lstrip().split("\n")[0] for one in done]
        return [" ".join(line.split()) for line in lines]

    def weigh(
        self,
        prompts: Sequence[list[int]],
        soft: Sequence[dict[str, NDArray[np.float32]]],
        answers: Sequence[Sequence[str]],
    ) -> list[NDArray[np.float32]]:
        """Log-probabilities of different answers to each prompt, given that it is one of these: float32 (n,) each.

        What they have in common behind the point where each is told from the others costs nothing. Prompts are read one
        by one, behind the cached instruction: what is said to one depends on no other, in bfloat16 either.
        """
        backbone, prefix, composed = self.reader.backbone, self.prefix, self._compose(prompts, soft)
        ids = iter(self.template.encode_answers(backbone, [one for some in answers for one in some]))
        tries = [LabelTrie(list(islice(ids, len(some)))) for some in answers]
        found = []
        for row, (prompt, trie) in enumerate(zip(prompts, tries, strict=True)):
            embeds = composed.inputs_embeds[row, None, : len(prompt)]
            mask = composed.attention_mask[row, None, : len(prompt)]
            found.append(score_labels(backbone, prefix, embeds, trie, attention_mask=mask, batch_size=1)[0])
        return found

    @torch.no_grad()
    def _compose(self, prompts: Sequence[list[int]], soft: Sequence[dict[str, NDArray[np.float32]]]) -> Composed:
        modalities = sorted({modality for one in soft for modality in one})
        by_modality = {
            modality: [self.project(one[modality], modality) if len(one.get(modality, ())) else None for one in soft]
            for modality in modalities
        }
        return self.reader.composer.compose(prompts, by_modality)


class Readers:
    """A model's language model, with and without adapter, and what is computed once with it."""

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

        A :class:`MismatchError` where what is there under its name is not what the projectors were trained for.
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

    def named(self) -> dict[str, Any]:
        """Return by what the language model that is read with is loaded again: arguments of :class:`LanguageModel`."""
        one = self.language
        return {"name": one.name, "mentioned_by": one.mentioned_by, "dtype": one.dtype_of(self._backbone)}

    def set_adapter(self, adapter: Adapter | None) -> None:
        """Read with another adapter, or with none; what was computed with the one before is dropped."""
        self.adapter = adapter
        self._held: dict[Adapter | None, PromptReader] = {}

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
        return self.reading_with(self.adapter if self.config.adapter_scores else None)

    @property
    def writing(self) -> PromptReader:
        """What writes labels, descriptions and answers: with the adapter where there is one."""
        return self.reading_with(self.adapter)

    def reading_with(self, adapter: Adapter | None) -> PromptReader:
        """Return what reads with an adapter, or with none; the first call loads the language model."""
        if adapter not in self._held:
            backbone, tokens = self.backbone.reading_with(adapter), self.modules["tokens"]
            self._held[adapter] = PromptReader(backbone, tokens, self.template, self.config.n_soft)  # type: ignore[arg-type]
        return self._held[adapter]

    def represent(self, texts: Sequence[str], layer: int) -> NDArray[np.float32]:
        """States of the language model after `layer` blocks for each text: float32 (n, d_llm)."""
        return self.language.represent(self.backbone, texts, layer)

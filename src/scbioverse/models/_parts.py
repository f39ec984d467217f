"""What a composed model holds: encoders, trained modules, tokens, and a language model loaded on first use."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Self
from weakref import ReferenceType, WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._device import pick_device
from ..errors import InputError, MismatchError
from ..llm.prompts import MAX_LABEL_CHARS
from ._build import identity, read_template
from ._encoders import Encoders
from .language import LanguageModel
from .reader import PromptReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..encoders import Encoder
    from ..llm import Backbone
    from ..llm.adapter import Adapter
    from ..llm.represent import TextSpace
    from ..llm.text_table import TextTable
    from ..nn import BioTokens
    from .captioner import PhraseCaptioner, Voice
    from .config import BioVerseConfig
    from .phrase_book import PhraseBook
    from .shared_space import SharedHead
    from .writer import TextWriter

Float = NDArray[np.float32]
ALIGN_HINT = "Train one with scbioverse.tl.align(adata, text_key=..., loss='contrastive')."


class Parts:
    """Encoders, one projector a modality, marker tokens and a frozen language model: see :class:`BioVerse`."""

    def __init__(
        self,
        config: BioVerseConfig,
        *,
        encoders: Mapping[str, Encoder],
        modules: nn.ModuleDict,
        text_space: TextSpace | None = None,
        text_table: TextTable | None = None,
        backbone: Backbone | None = None,
        llm: str | LanguageModel | None = None,
        adapter: Adapter | None = None,
        phrase_books: Mapping[str, PhraseBook] | None = None,
        writing_adapters: Mapping[str, Adapter] | None = None,
        device: str = "auto",
    ) -> None:
        self.config, self.modules, self.text_space = config, modules, text_space
        self.encoders = Encoders.of(encoders)
        self.text_table = text_table
        self.modules.eval()
        self.template = read_template(config.template)
        self.language = (
            llm
            if isinstance(llm, LanguageModel)
            else LanguageModel(
                llm or config.llm.name,
                device=device,
                mentioned_by="" if llm else f"model {config.name!r}",
            )
        )
        self._device = device
        self._backbone: Backbone | None = None
        self._adapter = adapter
        self.phrase_books = dict(phrase_books or {})
        self.writing_adapters = dict(writing_adapters or {})
        self._reader: PromptReader | None = None
        self._writer: PromptReader | None = None
        self._voices: dict[str, Voice] = {}
        # Both refer to the model. Held weakly, they do not keep it and its language model alive when it is dropped.
        self._text_writer: ReferenceType[TextWriter] | None = None
        self._captioners: WeakValueDictionary[str, PhraseCaptioner] = WeakValueDictionary()
        found, wanted = self.template.template_hash(), config.template.get("sha256")
        if found != wanted:
            raise MismatchError(
                f"model {config.name!r} was trained with prompt template {wanted}, this version of "
                f"scbioverse renders it as {found}. Install the version it was made with, or "
                "align a new model."
            )
        if backbone is not None:
            self._attach(backbone)

    # ------------------------------------------------------------------ parts

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.config.name

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
        found = identity(backbone)
        if found != self.config.llm.sha256:
            raise MismatchError(
                f"model {self.name!r} was trained for the language model {self.config.llm.name!r} with sha256 "
                f"{self.config.llm.sha256}; {backbone.name!r} has sha256 {found}. Use the first, or align a new model."
            )
        self._backbone = backbone
        self.modules.to(backbone.device)
        return backbone

    @property
    def adapter(self) -> Adapter | None:
        """What :func:`scbioverse.tl.tune` trained; None for a model that was only aligned."""
        return self._adapter

    def set_adapter(self, adapter: Adapter | None) -> None:
        """Read with another adapter, or with none; what was computed with the one before is dropped.

        The space shared with text stays as it is: it is made from the language model without adapter.
        """
        self._adapter = adapter
        self._forget_readers()

    def _forget_readers(self) -> None:
        self._reader = self._writer = self._text_writer = None
        self._captioners.clear()
        self._voices.clear()

    @property
    def tokens(self) -> BioTokens:
        """Marker tokens."""
        return self.modules["tokens"]  # type: ignore[return-value]

    @property
    def device(self) -> str:
        """Where it was asked to run; `"auto"` where nobody said."""
        return self._device

    @property
    def modalities(self) -> list[str]:
        """What the model can read."""
        return list(self.encoders)

    @property
    def text_dim(self) -> int:
        """Dimensions of the space shared with text."""
        if self.config.text_space is None:
            raise InputError(f"model {self.name!r} has no text space: only method='score' works. {ALIGN_HINT}")
        return self.config.text_space.dim

    def check_modality(self, modality: str) -> None:
        """Raise an :class:`InputError` if the model cannot read `modality`."""
        if modality not in self.config.encoders:
            raise InputError(f"model {self.name!r} reads {sorted(self.config.encoders)}, not {modality!r}.")

    def shared(self, modality: str = "cell") -> SharedHead:
        """Return the modality's layer into the space shared with text."""
        self.check_modality(modality)
        return self.modules["shared"][modality]  # type: ignore[index]

    def trainable(self, modality: str, *, shared: bool, tokens: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of a modality: its projector, and where asked for its shared-space layer and the tokens."""
        wanted = [f"projectors.{modality}."]
        wanted += [f"shared.{modality}."] if shared else []
        wanted += ["tokens."] if tokens else []
        yield from (pair for pair in self.modules.named_parameters() if pair[0].startswith(tuple(wanted)))

    def fingerprint(self) -> str:
        """Sha256, in hex, of everything a result depends on: language model, template, encoders, weights, temperatures.

        Equal if and only if annotating the same data gives the same.
        """
        config = self.config.to_dict()
        for said in ("name", "training", "metrics", "format_version"):
            del config[said]
        config["llm"] = config["llm"]["sha256"]
        for one in config["encoders"].values():
            del one["name"]
        books = {modality: asdict(book) for modality, book in sorted(self.phrase_books.items())}
        digest = hashlib.sha256(json.dumps([config, books], sort_keys=True).encode())
        for key, value in sorted(self.tensors().items()):
            digest.update(f"{key}{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        if self._adapter is not None:
            digest.update(self._adapter.fingerprint().encode())
        for modality, adapter in sorted(self.writing_adapters.items()):
            digest.update(f"{modality}{adapter.fingerprint()}".encode())
        return digest.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Every trained or fitted tensor by name."""
        out = {key: value.detach() for key, value in self.modules.state_dict().items()}
        if self.text_space is not None:
            out |= {f"text_space.{key}": torch.as_tensor(one) for key, one in self.text_space.tensors().items()}
        if self.text_table is not None:
            out |= {f"text_table.{key}": torch.from_numpy(one) for key, one in self.text_table.arrays().items()}
        return out

    def copy(self, *, name: str | None = None) -> Self:
        """Return a model with weights of its own that shares encoders and language model."""
        config = copy.deepcopy(self.config)
        config.name = name or config.name
        return type(self)(
            config,
            encoders=self.encoders,
            modules=copy.deepcopy(self.modules),
            text_space=self.text_space,
            text_table=self.text_table,
            backbone=self._backbone,
            llm=self.language,
            adapter=self._adapter,
            phrase_books=self.phrase_books,
            writing_adapters=self.writing_adapters,
            device=self._device,
        )

    def to(self, device: str) -> Self:
        """Run on another device from now on; `"auto"` changes nothing. Returns the model itself.

        Raises
        ------
        InputError
            There is no such device, or the language model cannot be moved.
        """
        if device != "auto":
            target = pick_device(device)
            if self._backbone is not None and self._backbone.device != target:
                if self.language.shared:
                    self._backbone, self.language = None, self.language.elsewhere(device)
                else:
                    self.modules.to(self._backbone.to(device).device)
                self._forget_readers()  # they hold keys and values on the device before
            elif self._backbone is None and self.language.device != device:
                self.language = self.language.elsewhere(device)
            self._device = device
        return self

    def __repr__(self) -> str:
        c = self.config
        return f"BioVerse({c.name!r}, {list(c.encoders)}, llm={c.llm.name!r}, n_soft={c.n_soft})"

    # ------------------------------------------------------------------ prompt

    @property
    def reader(self) -> PromptReader:
        """Prompt, cached beginning and composer of what scores; the first access loads the language model."""
        if self._adapter is not None and self.config.adapter_scores:
            return self.writing_reader
        if self._reader is None:
            self._reader = PromptReader(self.backbone, self.tokens, self.template, self.config.n_soft)
        return self._reader

    @property
    def writing_reader(self) -> PromptReader:
        """The same of what writes: labels, descriptions and answers, with the adapter where the model has one."""
        if self._adapter is None:
            return self.reader
        if self._writer is None:
            from ..llm.adapter import reading_twin

            backbone = reading_twin(self.backbone, self._adapter)
            self._writer = PromptReader(backbone, self.tokens, self.template, self.config.n_soft)
        return self._writer

    def answer_ids(self, text: str, *, max_chars: int = MAX_LABEL_CHARS) -> list[int]:
        """Token ids of an answer, the end token included; special-token strings in it stay text."""
        return self.reader.answer_ids(text, max_chars=max_chars)

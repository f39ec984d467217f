"""The composed model: encoders, projectors, tokens and a language model that reads them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn

from .._device import pick_device
from .._errors import InputError, MismatchError
from .._random import Rng, as_seed
from ..llm.prompts import PromptTemplate
from ..llm.represent import TextSpace, default_layer, represent
from ._build import Backend, build_modules, check_backend, describe, identity, open_llm, read_template, word_vector
from ._questioner import Questioner
from ._reader import Reader
from ._shared import SharedHead
from .config import BioVerseConfig, LLMConfig, TextSpaceConfig

if TYPE_CHECKING:
    from pathlib import Path

    from ..encoders import Encoder
    from ..llm import Backbone
    from ..llm.adapter import Adapter
    from ..nn import BioTokens

Float = NDArray[np.float32]
# Representations of texts that a model keeps: 20,000 of SmolLM2-135M take 46 MB.
MOST_TEXTS = 20_000


class BioVerse:
    """Encoders, one projector a modality, marker tokens and a frozen language model.

    Build one with :meth:`new`, read one with :func:`scbioverse.models.load`. The language model is loaded on first use.

    Parameters
    ----------
    config
        Plain description.
    encoders
        By modality.
    modules
        `projectors`, `tokens` and `shared`.
    text_space
        Fitted text side of `nearest`, if there is one.
    backbone
        The language model, if it is already loaded.
    llm
        Where to load the language model from, in place of `config.llm.name`.
    adapter
        Low-rank adapter that the language model reads soft tokens with, if it was tuned.
    device
        Where to load the language model; `"auto"`: `settings.device`, else the first GPU, else the CPU.
    backend
        What runs it: `"hf"` (transformers) or `"vllm"`.

    Attributes
    ----------
    config
        Plain description; its temperatures may be set.
    encoders
        By modality.
    modules
        The trained parts, as one `torch.nn.ModuleDict`.
    """

    def __init__(
        self,
        config: BioVerseConfig,
        *,
        encoders: Mapping[str, Encoder],
        modules: nn.ModuleDict,
        text_space: TextSpace | None = None,
        backbone: Backbone | None = None,
        llm: str | None = None,
        adapter: Adapter | None = None,
        device: str = "auto",
        backend: Backend = "hf",
    ) -> None:
        self.config, self.encoders, self.modules, self.text_space = config, dict(encoders), modules, text_space
        self.modules.eval()
        self.template = read_template(config.template)
        self._llm, self._device, self._backend = llm, device, check_backend(backend)
        self._backbone: Backbone | None = None
        self._adapter = adapter
        self._reader: Reader | None = None
        self._questioner: Questioner | None = None
        self._texts: dict[tuple[int, str], Float] = {}
        if self.template.template_hash() != config.template_hash:
            raise MismatchError(
                f"model {config.name!r} was trained with prompt template {config.template_hash}, this version of "
                f"scbioverse renders it as {self.template.template_hash()}. Install the version it was made with, or "
                "align a new model."
            )
        if backbone is not None:
            self._attach(backbone)

    @classmethod
    def new(
        cls,
        encoders: Encoder | Sequence[Encoder],
        *,
        name: str = "custom",
        llm: str | Backbone | None = None,
        n_soft: int = 4,
        hidden: int = 512,
        dropout: float = 0.1,
        template: PromptTemplate | None = None,
        rng: Rng = None,
    ) -> BioVerse:
        """Build a model with an untrained projector for each encoder.

        Parameters
        ----------
        encoders
            One encoder, or several of different modalities.
        name
            Name of the model.
        llm
            Name or path of a language model, or a loaded one; the default one if not given.
        n_soft
            Soft tokens that one input becomes.
        hidden
            Width of the projectors.
        dropout
            Their dropout in training.
        template
            Wording of the prompt; the default one if not given.
        rng
            Seed of the starting weights.

        Raises
        ------
        InputError
            No encoder, or two of one modality.
        """
        from ..llm import DEFAULT_LLM, Backbone

        several = list(encoders) if isinstance(encoders, Sequence) else [encoders]
        by_modality = {encoder.modality: encoder for encoder in several}
        if not several or len(by_modality) != len(several):
            raise InputError(f"need encoders of different modalities, found {[one.modality for one in several]}.")
        backbone = llm if isinstance(llm, Backbone) else Backbone.load(llm or DEFAULT_LLM)
        wording = template or PromptTemplate()
        config = BioVerseConfig(
            name=name,
            llm=LLMConfig(backbone.name, identity(backbone), backbone.d_llm),
            template=json.loads(json.dumps(asdict(wording))),
            template_hash=wording.template_hash(),
            n_soft=n_soft,
            hidden=hidden,
            dropout=dropout,
            encoders={modality: describe(encoder) for modality, encoder in by_modality.items()},
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(as_seed(rng))
            modules = build_modules(config, init_norm=backbone.embedding_norm)
        modules["tokens"].begin_as(*(word_vector(backbone, word) for word in wording.marker_words()))  # type: ignore[operator]
        return cls(config, encoders=by_modality, modules=modules, backbone=backbone)

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
        MismatchError
            What is there under that name is another model than the projectors were trained for.
        """
        if self._backbone is None:
            name = self._llm or self.config.llm.name
            return self._attach(open_llm(name, device=self._device, backend=self._backend))  # type: ignore[arg-type]
        return self._backbone

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
        self._reader = self._questioner = None

    @property
    def tokens(self) -> BioTokens:
        """Marker tokens."""
        return self.modules["tokens"]  # type: ignore[return-value]

    @property
    def modalities(self) -> list[str]:
        """What the model can read."""
        return list(self.encoders)

    @property
    def text_dim(self) -> int:
        """Dimensions of the space shared with text."""
        if self.config.text_space is None:
            raise InputError(f"model {self.name!r} has no text space: only method='score' works. {_ALIGN_HINT}")
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
        config = self.config
        plain = {
            "llm": config.llm.sha256,
            "template": config.template_hash,
            "encoders": {key: one.fingerprint for key, one in sorted(config.encoders.items())},
            "temperatures": [config.temperature, config.nearest_temperature],
            "marker_weights": [config.marker_weight, config.nearest_marker_weight],
            "text_space": None if config.text_space is None else [config.text_space.layer, config.text_space.dim],
            "labels": config.default_labels,
            "names": config.names,
        }
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        for key, value in sorted(self.tensors().items()):
            digest.update(f"{key}{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        if self._adapter is not None:
            digest.update(self._adapter.fingerprint().encode())
        return digest.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Every trained or fitted tensor by name."""
        out = {key: value.detach() for key, value in self.modules.state_dict().items()}
        if self.text_space is not None:
            out |= {f"text_space.{key}": torch.as_tensor(one) for key, one in self.text_space.tensors().items()}
        return out

    def copy(self, *, name: str | None = None) -> BioVerse:
        """Return a model with weights of its own that shares encoders and language model."""
        config = copy.deepcopy(self.config)
        config.name = name or config.name
        return BioVerse(
            config,
            encoders=self.encoders,
            modules=copy.deepcopy(self.modules),
            text_space=self.text_space,
            backbone=self._backbone,
            llm=self._llm,
            adapter=self._adapter,
            device=self._device,
            backend=self._backend,  # type: ignore[arg-type]
        )

    def to(self, device: str) -> BioVerse:
        """Run on another device from now on; `"auto"` changes nothing. Returns the model itself.

        Raises
        ------
        InputError
            There is no such device, or the language model cannot be moved.
        """
        if device != "auto":
            pick_device(device)
            before = None if self._backbone is None else self._backbone.device
            if self._backbone is not None and self._backbone.to(device).device != before:
                self.modules.to(self._backbone.device)
                self._reader = self._questioner = None  # they hold keys and values on the device before
            self._device = device
        return self

    def __repr__(self) -> str:
        c = self.config
        return f"BioVerse({c.name!r}, {list(c.encoders)}, llm={c.llm.name!r}, n_soft={c.n_soft})"

    # ------------------------------------------------------------------ prompt

    @property
    def reader(self) -> Reader:
        """Prompt, cached beginning and composer; the first access loads the language model."""
        if self._reader is None:
            backbone = self.backbone
            if self._adapter is not None:
                from ..llm.adapter import merged_twin

                backbone = merged_twin(backbone, self._adapter)
            self._reader = Reader(backbone, self.tokens, self.template, self.config.n_soft)
        return self._reader

    @property
    def questioner(self) -> Questioner:
        """Asks the language model questions about soft tokens; the first access loads it."""
        if self._questioner is None:
            self._questioner = Questioner(self)
        return self._questioner

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer, the end token included; special-token strings in it stay text."""
        return self.reader.answer_ids(text)

    # ------------------------------------------------------------------ inputs to soft tokens and coordinates

    def project(self, embeddings: Tensor | Float, modality: str = "cell") -> Tensor:
        """Turn embeddings into soft tokens.

        Parameters
        ----------
        embeddings
            float32 (n, n_tokens, dim), or (n, dim) for one token.
        modality
            Whose projector.

        Returns
        -------
        float32 (n, n_soft, d_llm).

        Raises
        ------
        MismatchError
            The embeddings have another shape than the model's encoder gives.
        """
        self.check_modality(modality)
        x = torch.as_tensor(embeddings, dtype=torch.float32)
        x = x[:, None, :] if x.ndim == 2 else x
        made = self.config.encoders[modality]
        if x.ndim != 3 or tuple(x.shape[1:]) != (made.n_tokens, made.dim):
            raise MismatchError(
                f"embeddings have shape {tuple(x.shape)}; model {self.name!r} reads (n, {made.n_tokens}, {made.dim}) "
                f"for {modality!r}. Embed with the same model: scbioverse.tl.embed(adata, model=...)."
            )
        projector = self.modules["projectors"][modality]  # type: ignore[index]
        return projector(x.to(next(projector.parameters()).device))

    def to_shared(self, soft: Tensor, modality: str = "cell") -> Tensor:
        """Map soft tokens (n, n_soft, d_llm) to unit vectors (n, d_text)."""
        return self.shared(modality)(self._loaded(soft))

    def centre_shared(self, soft: Tensor, modality: str = "cell") -> None:
        """Start the modality's shared-space layer from soft tokens: centred, with unit mean square. Once is enough."""
        head = self.shared(modality)
        if not head.fitted:
            head.fit(self._loaded(soft.detach()))

    def _loaded(self, soft: Tensor) -> Tensor:
        if self.text_space is None:
            raise InputError(f"model {self.name!r} has no text space. {_ALIGN_HINT}")
        return soft.float().mean(dim=1) @ self.text_space.components.to(soft.device)

    @torch.no_grad()
    def coordinates(self, embeddings: Float, modality: str = "cell", *, batch_size: int = 4096) -> Float:
        """Place inputs in the space shared with text.

        Returns
        -------
        float32 (n, d_text), unit length.
        """
        self.modules.eval()
        _ = self.text_dim
        parts = [
            self.to_shared(self.project(embeddings[i : i + batch_size], modality), modality).cpu().numpy()
            for i in range(0, len(embeddings), batch_size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.text_dim), np.float32)

    def fit_text_space(
        self, texts: Sequence[str], *, layer: int | None = None, dim: int = 256, shrinkage: float = 0.5
    ) -> None:
        """Fit the text side of the shared space: centre and whiten the language model's states of `texts`.

        Shared-space layers start anew, since they belong to one text space.

        Parameters
        ----------
        texts
            What to fit on: descriptions as they will be compared.
        layer
            Blocks of the language model to run; a fifth of them if not given.
        dim, shrinkage
            See :meth:`scbioverse.llm.TextSpace.fit`.
        """
        layer = default_layer(self.backbone) if layer is None else layer
        space = TextSpace.fit(self._represent(texts, layer), dim=dim, shrinkage=shrinkage)
        self.set_text_space(space, TextSpaceConfig(layer, space.dim))

    def set_text_space(self, text_space: TextSpace, config: TextSpaceConfig) -> None:
        """Take over a fitted text space of the same language model; shared-space layers start anew."""
        self.text_space, self.config.text_space = text_space, config
        self.modules["shared"] = nn.ModuleDict(
            {modality: SharedHead(config.dim) for modality in self.config.encoders}
        ).to(next(self.modules.parameters()).device)

    def text_coordinates(self, texts: Sequence[str]) -> Float:
        """Place texts in the shared space: float32 (n, d_text), unit length."""
        if self.text_space is None or self.config.text_space is None:
            raise InputError(f"model {self.name!r} has no text space. {_ALIGN_HINT}")
        return self.text_space.transform(self._represent(texts, self.config.text_space.layer))

    def _represent(self, texts: Sequence[str], layer: int) -> Float:
        """Represent texts by the language model, each once as long as the model lives.

        One at a time: in bfloat16 a text's last digits depend on what it is batched with, and a result must depend
        neither on the other labels nor on what was asked before. On a CPU it costs little.
        """
        if len(self._texts) > MOST_TEXTS:
            self._texts.clear()
        new = [text for text in dict.fromkeys(texts) if (layer, text) not in self._texts]
        if new:
            self._texts |= {
                (layer, text): row
                for text, row in zip(new, represent(self.backbone, new, layer=layer, batch_size=1), strict=True)
            }
        rows = [self._texts[layer, text] for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.config.llm.d_llm), dtype=np.float32)

    @torch.no_grad()
    def mean_soft_token(self, embeddings: Float, modality: str = "cell", *, batch_size: int = 4096) -> Float:
        """Mean of each input's soft tokens, float32 (n, d_llm)."""
        self.modules.eval()
        parts = [
            self.project(embeddings[i : i + batch_size], modality).float().mean(dim=1).cpu().numpy()
            for i in range(0, len(embeddings), batch_size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.config.llm.d_llm), np.float32)

    # ------------------------------------------------------------------ answers

    def score(
        self,
        embeddings: Float,
        names: Sequence[str],
        *,
        modality: str = "cell",
        batch_size: int = 128,
        progress: bool | None = None,
        calibrated: bool = True,
        prune: float | Literal["auto"] | None = "auto",
    ) -> Float:
        """Log-probability of each name as the language model's answer, given that the answer is one of them.

        At each point where names part, a softmax over the tokens that go on there (constrained decoding); the product
        along a name is its probability. Equal embeddings are computed once.

        Parameters
        ----------
        embeddings
            float32 (n, n_tokens, dim) or (n, dim).
        names
            m different names.
        modality
            Modality of the embeddings.
        batch_size
            Rows computed at once.
        progress
            Show a progress bar; `settings.progress` if not given.
        calibrated
            Divide by the model's temperature and normalise again.
        prune
            Choices that a row reaches with a probability below this are not read; the names behind them share it
            equally. None reads everything; `"auto"` does so for few names and takes 1e-3 for many, where it pays.

        Returns
        -------
        float32 (n, m), natural logarithm; `exp` of a row sums to 1.

        Raises
        ------
        InputError
            Names repeat, or read the same to the language model.
        """
        from ._score import score_unique

        log_probs = score_unique(self, embeddings, list(names), modality, batch_size, progress, prune)
        if not calibrated or self.config.temperature == 1.0:
            return log_probs
        return log_softmax(log_probs.astype(np.float64) / self.config.temperature, axis=1).astype(np.float32)

    def nearest(self, embeddings: Float, cards: Sequence[str], *, modality: str = "cell") -> Float:
        """Log-probability of each text by its nearness: log-softmax of cosine / temperature.

        Parameters
        ----------
        embeddings
            float32 (n, n_tokens, dim) or (n, dim).
        cards
            m texts, for example descriptions of labels.
        modality
            Modality of the embeddings.

        Returns
        -------
        float32 (n, m), natural logarithm; `exp` of a row sums to 1.
        """
        cosine = self.coordinates(embeddings, modality) @ self.text_coordinates(cards).T
        scaled = cosine.astype(np.float64) / self.config.nearest_temperature
        return log_softmax(scaled, axis=1).astype(np.float32)

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path, *, overwrite: bool = False, dtype: str = "float32") -> Path:
        """Write the model as a folder: `config.json`, `*.safetensors`, encoders and a card. Never the language model.

        Parameters
        ----------
        path
            Folder to make.
        overwrite
            Replace a checkpoint that is already there.
        dtype
            `"float32"` keeps every bit; `"float16"` halves the size.

        Raises
        ------
        InputError
            There is something at `path` that may not be replaced.
        """
        from .checkpoint import save_checkpoint

        return save_checkpoint(self, path, overwrite=overwrite, dtype=dtype)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, llm: str | Backbone | None = None, device: str = "auto"
    ) -> BioVerse:
        """Load a model by name, folder or hub id (`"owner/name"`, better `"owner/name@<40-digit commit>"`).

        The same as :func:`scbioverse.models.load`.
        """
        from .registry import load

        return load(name_or_path, llm=llm, device=device)

    def push_to_hub(
        self, repo_id: str, *, private: bool = True, dtype: str = "float32", message: str = "", token: str | None = None
    ) -> str:
        """Save the model and upload it to the Hugging Face hub: tensors, configuration and card, nothing else.

        Parameters
        ----------
        repo_id
            `"owner/name"`; made if it is not there.
        private
            Whether a new repository is for its owner alone.
        dtype
            As in :meth:`save`.
        message
            Of the commit.
        token
            Of the hub; the one that the hub's own login keeps if not given.

        Returns
        -------
        `"owner/name@<commit>"`, which loads exactly what was uploaded.

        Raises
        ------
        OfflineError
            `settings.offline` is on, or the hub cannot be reached.
        """
        from ._hub import push

        return push(self, repo_id, private=private, dtype=dtype, message=message, token=token)


_ALIGN_HINT = "Train one with scbioverse.tl.align(adata, text_key=..., loss='contrastive')."

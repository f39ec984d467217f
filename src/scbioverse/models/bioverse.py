"""A BioVerse model: cells, proteins and molecules become soft tokens that a frozen language model reads.

How a cell reaches the language model::

    AnnData ─encoder─► embedding ─projector─► soft tokens ─composer─► prompt ─language model─► scores | words

An encoder (frozen) gives an embedding. A small projector, the part that is trained, turns it into `n_soft` vectors as
wide as the language model's own token embeddings. The composer puts these in the place of placeholders in the prompt,
between a shared beginning, whose keys and values are computed once, and the tokens of an answer. That is
:meth:`BioVerse.forward`; scoring, writing and training differ only in what they read at its end.

**Candidate tokens.** A few soft tokens cannot say all that a cell could be. Where `score` knows the candidates, a model
with candidate tokens decides before the language model reads: the projector's attention over ontology terms, with
marker evidence where it is had, gives each candidate a share, and the soft tokens are the candidates' own codes, mixed
by these shares. The codes began as the embeddings of the candidates' names. The language model is thus shown the
answer, and its word adds little to it. The card of `bioverse-small` (`python -m recipes.bioverse_small.make
--recalibrate`) has on pbmc3k, as accuracy/macro-F1, .826/.872 for `score`, .831/.876 for a linear head in place of the
language model, and .853/.890 for the pool of attention, nearness and markers, in which calibration gave the language
model's word a weight of 0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn

from .._device import Rng, as_seed
from ..errors import InputError, MismatchError
from ..io import row_blocks
from ..llm.prefix import suffix_hidden
from . import _hub, checkpoint
from ._build import untrained
from .checkpoint import Encoders, read_template
from .config import named_llm
from .reader import LanguageModel, PromptReader, Readers, TextWriter
from .registry import DEFAULT_MODEL, LOADED, find, is_local
from .score import STEPS, CandidateReader, Candidates, score_names
from .shared_space import SharedSpace, cosines
from .writer import PhraseCaptioner

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..llm import Backbone
    from ..llm.adapter import Adapter
    from ..llm.prompts import PromptTemplate, QuestionTemplate
    from ..nn import BioTokens
    from .config import BioVerseConfig, PhraseBook
    from .shared_space import TextSpace, TextTable

Float = NDArray[np.float32]
T = TypeVar("T")
_ROWS = 4096  # projected at a time: it changes memory only


class BioVerse:
    """Encoders, one projector a modality, marker tokens and a frozen language model; :meth:`new` builds one.

    Parameters
    ----------
    config, encoders, modules
        Plain description, whose calibration may be set; by modality; the trained parts, see
        :func:`scbioverse.models._build.build_modules`.
    text_space, text_table
        Fitted text side of `nearest`, and texts whose place in it is known already.
    backbone, llm, device
        The language model, if it is already loaded; else where to load it from, in place of `config.llm.name`, and
        where to run it.
    adapter
        Low-rank adapter that the language model reads soft tokens with, if it was tuned.
    phrase_books, writing_adapters
        By modality, the phrases that it is written of by, and the adapter that reads these.
    """

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
        self.config, self.modules, self.device = config, modules.eval(), device
        self.encoders = Encoders.of(encoders)
        self.phrase_books, self.writing_adapters = dict(phrase_books or {}), dict(writing_adapters or {})
        self.template = read_template(config)
        if not isinstance(llm, LanguageModel):
            # What a file names is not fetched from the hub; what the user names is.
            mentioned_by = "" if llm else f"model {config.name!r}"
            llm = LanguageModel(llm or config.llm.name, device=device, mentioned_by=mentioned_by)
        self.readers = Readers(config, self.modules, self.template, llm, adapter, backbone)
        self.space = SharedSpace(config, self.modules, self.readers, text_space, text_table)

    @classmethod
    def new(
        cls,
        encoders: Encoder | Sequence[Encoder],
        *,
        name: str = "custom",
        llm: str | Backbone | None = None,
        n_soft: int = 4,
        hidden: int = 512,
        prototypes: Sequence[str] = (),
        dropout: float = 0.1,
        template: PromptTemplate | None = None,
        rng: Rng = None,
    ) -> Self:
        """Build a model with an untrained projector for each encoder; an `InputError` for none, or two of a modality.

        Parameters
        ----------
        encoders
            One encoder, or several of different modalities.
        name, llm
            Name of the model; name or path of its language model, or a loaded one, the default one if not given.
        n_soft, hidden, dropout
            Soft tokens that one input becomes; width of the projectors, and their dropout in training, which a saved
            model does not hold: it is 0.1 in one that was loaded.
        prototypes
            Cell Ontology ids, for a :class:`~scbioverse.nn.PrototypeProjector` with a prototype for each (`""` for one
            that stands for no term) in place of a perceptron.
        template, rng
            Wording of the prompt, the default one if not given; seed of the starting weights.
        """
        return cls(**untrained(encoders, name, llm, n_soft, hidden, prototypes, dropout, template, as_seed(rng)))

    def forward(
        self,
        x: Tensor | Float,
        read: Callable[..., T] = suffix_hidden,  # type: ignore[assignment]
        *,
        modality: str = "cell",
        candidates: Candidates | None = None,
        answers: Sequence[Sequence[int]] | None = None,
        writes: bool = False,
    ) -> T:
        """Let the language model read inputs: embeddings, soft tokens, prompt, and what `read` makes of it.

        Parameters
        ----------
        x
            float32 (n, n_tokens, dim) embeddings, or with `candidates` the rows' shares of them, (n, m).
        read
            What is read at the end, called with the language model, the cached beginning, the embedded rest and its
            mask: hidden states (training), :func:`~scbioverse.llm.score.score_labels` with a tree of names, or
            :func:`~scbioverse.llm.generate.generate`.
        candidates, answers
            Codes of the candidates, for soft tokens that depend on them; token ids that each row's prompt ends with.
        writes
            Whether to read with the adapter that is for writing.
        """
        soft = self.project(x, modality) if candidates is None else candidates.soft_tokens(x)
        reader = self.writing_reader if writes else self.reader
        prompt = reader.compose(soft, modality, answers)
        return read(
            reader.backbone, reader.prefix(modality), prompt.inputs_embeds, attention_mask=prompt.attention_mask
        )

    def project(self, x: Tensor | Float, modality: str = "cell") -> Tensor:
        """Turn embeddings (n, n_tokens, dim), or (n, dim) for one token, into soft tokens, float32 (n, n_soft, d_llm).

        A :class:`MismatchError` where the model's encoder gives embeddings of another shape.
        """
        projector, ready = self.ready(x, modality)
        return projector(ready)

    @torch.no_grad()
    def soft_tokens(self, x: Tensor | Float, modality: str = "cell") -> Tensor:
        """As :meth:`project`, for reading alone: no dropout, no gradient."""
        self.modules.eval()
        return self.project(x, modality)

    def ready(self, x: Tensor | Float, modality: str) -> tuple[nn.Module, Tensor]:
        """Return a modality's projector, and embeddings checked and brought to where it is; see :meth:`project`."""
        self.check_modality(modality)
        values = torch.as_tensor(x, dtype=torch.float32)
        values = values[:, None, :] if values.ndim == 2 else values
        made = self.config.encoders[modality]
        if values.ndim != 3 or tuple(values.shape[1:]) != (made.n_tokens, made.dim):
            raise MismatchError(
                f"embeddings have shape {tuple(values.shape)}; model {self.name!r} reads (n, {made.n_tokens}, "
                f"{made.dim}) for {modality!r}. Embed with the same model: scbioverse.tl.embed(adata, model=...)."
            )
        projector = self.modules["projectors"][modality]  # type: ignore[index]
        return projector, values.to(next(projector.parameters()).device)

    def score(
        self,
        embeddings: Float,
        names: Sequence[str],
        *,
        terms: Sequence[str | None] | None = None,
        evidence: Float | None = None,
        modality: str = "cell",
        batch_size: int = 512,
        progress: bool | None = None,
        calibrated: bool = True,
        prune: float | Literal["auto"] | None = "auto",
        steps: int | None = STEPS,
    ) -> Float:
        """Log-probability of each name as the language model's answer, given that it is one of them: float32 (n, m).

        At each point where names part, a softmax over the tokens that go on there (constrained decoding); the product
        along a name is its probability, and `exp` of a row sums to 1. Equal inputs are computed once.

        Parameters
        ----------
        embeddings
            float32 (n, n_tokens, dim) or (n, dim).
        names, terms
            m different names; their Cell Ontology ids, None for a name that has none. With two ids that the projector's
            attention knows, soft tokens are candidate tokens (see this module's text) in a model that has them.
        evidence
            float32 (n, m), marker evidence, for questions that :meth:`weighs` says yes to: it is pooled with the
            attention before the language model reads.
        modality, calibrated
            Of the embeddings; whether to divide by the model's temperature and normalise again.
        batch_size, progress
            Most rows at once: fewer where little memory is free, and half as many each time it runs out. Show a
            progress bar; `settings.progress` if not given.
        prune, steps
            Choices that a row reaches with a lower probability are not read; the names behind them share it equally.
            None reads all; `"auto"` reads all of a handful of names and takes 0.05 for more. And how many parts shares
            of candidates are rounded to, so that many rows are equal; None: not rounded.

        Raises
        ------
        InputError
            Names repeat, or read the same to the language model, there are more or fewer terms than names, or evidence
            has another shape or no place in the question.
        """
        self.modules.eval()
        rows, asked = self.candidate_reader(modality).question(embeddings, names, terms, evidence, steps, self.reader)
        raw = score_names(self, asked, modality, rows, list(names), batch_size, progress, prune)
        temperature = self.temperature(terms, modality, evidence=evidence is not None) if calibrated else 1.0
        return raw if temperature == 1.0 else _log_softmax(raw, temperature)

    def candidate_reader(self, modality: str = "cell") -> CandidateReader:
        """Return what decides which candidates are said; see :class:`.CandidateReader`."""
        self.check_modality(modality)
        known = dict(self.modules["candidate_tokens"]).get(modality)  # type: ignore[call-overload]
        return CandidateReader(self.config, modality, known, partial(self.ready, modality=modality))

    def attention(
        self, embeddings: Float, terms: Sequence[str | None], modality: str = "cell"
    ) -> NDArray[np.float64] | None:
        """Log-probabilities of terms by the projector's attention alone, float64 (n, m); None if it knows below two."""
        return self.candidate_reader(modality).attention(embeddings, terms)

    def weighs(self, terms: Sequence[str | None], modality: str = "cell") -> bool:
        """Whether :meth:`score` takes marker evidence of names with these Cell Ontology ids."""
        return self.candidate_reader(modality).weighs(terms)

    def temperature(
        self, terms: Sequence[str | None] | None = None, modality: str = "cell", *, evidence: bool = False
    ) -> float:
        """Return what :meth:`score` divides log-probabilities by, for such names, with or without evidence."""
        return self.candidate_reader(modality).temperature(terms, evidence=evidence)

    def nearest(self, embeddings: Float, cards: Sequence[str], *, modality: str = "cell") -> Float:
        """Log-probability of each of m texts, such as descriptions of labels, by its nearness: float32 (n, m).

        The log-softmax of cosine / temperature; `exp` of a row sums to 1.
        """
        cosine = cosines(self.coordinates(embeddings, modality), self.text_coordinates(cards))
        return _log_softmax(cosine, self.config.calibration["nearest"].temperature)

    @torch.no_grad()
    def coordinates(self, embeddings: Float, modality: str = "cell") -> Float:
        """Place inputs in the space shared with text: float32 (n, d_text), unit length."""
        self.check_modality(modality)
        if not self.config.encoders[modality].placed:
            raise InputError(
                f"model {self.name!r} reads a {modality} in prompts: it was not trained to place one among texts. "
                f"Choose method='score', or go on: scbioverse.tl.align(adata, model=..., start='model', "
                f"modality={modality!r}, text_key=..., loss='contrastive')."
            )
        place = partial(self.space.place, modality=modality)
        return self._by_rows(embeddings, modality, self.space.dim, place)

    def mean_soft_token(self, embeddings: Float, modality: str = "cell") -> Float:
        """Mean of each input's soft tokens, float32 (n, d_llm)."""
        return self._by_rows(embeddings, modality, self.config.llm.d_llm, lambda mean: mean)

    @torch.no_grad()
    def _by_rows(self, embeddings: Float, modality: str, dim: int, place: Callable[[Tensor], Tensor]) -> Float:
        """Return what `place` makes of the mean soft tokens, float32 (n, dim): large, and never held twice."""
        self.modules.eval()
        out = np.empty((len(embeddings), dim), dtype=np.float32)
        for rows in row_blocks(embeddings, _ROWS):
            projector: Any
            projector, x = self.ready(embeddings[rows], modality)
            out[rows] = place(projector.mean(x)).cpu().numpy()
        return out

    @property
    def text_space(self) -> TextSpace | None:
        """The fitted text side of that space."""
        return self.space.text

    @property
    def text_table(self) -> TextTable | None:
        """Texts whose place in it is known already; see :meth:`.SharedSpace.keep`."""
        return self.space.table

    def text_coordinates(self, texts: Sequence[str]) -> Float:
        """Place texts in the shared space: float32 (n, d_text), unit length."""
        return self.space.of_texts(texts)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.config.name

    @property
    def modalities(self) -> list[str]:
        """What the model can read."""
        return list(self.encoders)

    @property
    def tokens(self) -> BioTokens:
        """Marker tokens."""
        return self.modules["tokens"]  # type: ignore[return-value]

    @property
    def backbone(self) -> Backbone:
        """The language model as it was published; the first access loads it. See :class:`.reader.Readers`."""
        return self.readers.backbone

    @property
    def adapter(self) -> Adapter | None:
        """What :func:`scbioverse.tl.tune` trained."""
        return self.readers.adapter

    @property
    def reader(self) -> PromptReader:
        """Prompt, cached beginning and composer of what scores."""
        return self.readers.scoring

    @property
    def writing_reader(self) -> PromptReader:
        """The same of what writes, with the adapter where the model has one."""
        return self.readers.writing

    @property
    def text_writer(self) -> TextWriter:
        """Asks the language model questions about soft tokens."""
        return TextWriter(self.writing_reader, self.soft_tokens)

    def asks(self, template: QuestionTemplate) -> TextWriter:
        """Return a writer of answers to questions in other words than the usual."""
        return TextWriter(self.writing_reader, self.soft_tokens, template)

    def captioner(self, modality: str) -> PhraseCaptioner:
        """Return what writes of a modality by phrases; an :class:`InputError` where it has none."""
        self.check_modality(modality)
        if modality not in self.phrase_books:
            raise InputError(f"model {self.name!r} has no phrases to write of {modality!r} by.")
        book, adapter = self.phrase_books[modality], self.writing_adapters.get(modality)
        reader = partial(self.readers.reading_with, adapter)
        return PhraseCaptioner(modality, book, self.modules, reader, self.asks)

    def check_modality(self, modality: str) -> None:
        """Raise an :class:`InputError` if the model cannot read `modality`."""
        if modality not in self.config.encoders:
            raise InputError(f"model {self.name!r} reads {sorted(self.config.encoders)}, not {modality!r}.")

    def set_adapter(self, adapter: Adapter | None) -> None:
        """Read with another adapter, or with none. The space shared with text is made without, and stays."""
        self.readers.set_adapter(adapter)

    def trainable(self, modality: str, *, shared: bool, tokens: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of a modality: its projector, and where asked for its shared-space layer and the tokens."""
        wanted = {f"projectors.{modality}.": True, f"shared.{modality}.": shared, "tokens.": tokens}
        begins = tuple(one for one, asked in wanted.items() if asked)
        yield from (pair for pair in self.modules.named_parameters() if pair[0].startswith(begins))

    def parts(self) -> dict[str, Any]:
        """Return what the model is made of, as :meth:`__init__` and a checkpoint take it."""
        return {name: getattr(self, name) for name in checkpoint.PARTS}

    def tensors(self) -> dict[str, Tensor]:
        """Every trained or fitted tensor by name."""
        return checkpoint.tensors(self.parts())

    def fingerprint(self) -> str:
        """Sha256, in hex, of all that a result depends on: equal if and only if annotating gives the same."""
        return checkpoint.fingerprint(self.parts())

    def copy(self, *, name: str | None = None) -> Self:
        """Return a model with weights of its own that shares encoders and language model."""
        own: dict[str, Any] = copy.deepcopy({"config": self.config, "modules": self.modules})
        own["config"].name = name or self.name
        return type(self)(**self.parts() | own, **self.readers.shared(), device=self.device)

    def to(self, device: str) -> Self:
        """Run on another device from now on; `"auto"` changes nothing. An :class:`InputError` where there is none."""
        if device != "auto":
            self.readers.to(device)
            self.device = device
        return self

    def __repr__(self) -> str:
        c = self.config
        return f"BioVerse({c.name!r}, {list(c.encoders)}, llm={c.llm.name!r}, n_soft={c.n_soft})"

    def save(self, path: str | Path, *, overwrite: bool = False, dtype: str = "float32") -> Path:
        """Write the model as a folder: `config.json`, `*.safetensors`, encoders and a card. Never the language model.

        `dtype="float16"` halves the size. An :class:`InputError` where there is something at `path`: a model there is
        replaced with `overwrite`, other things never are.
        """
        return checkpoint.write(self.parts(), path, overwrite=overwrite, dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go through pickle as the files of :meth:`save`, number types kept; the language model is loaded by name."""
        dtype, files = next(self.modules.parameters()).dtype, checkpoint.packed(self.parts())
        return _unpickled, (files, dtype, self.readers.named(), self.device)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, llm: str | Backbone | None = None, device: str = "auto"
    ) -> BioVerse:
        """Load a model by name, folder or hub id; the same as :func:`scbioverse.models.load`."""
        return load(name_or_path, llm=llm, device=device)

    def push_to_hub(
        self, repo_id: str, *, private: bool = True, dtype: str = "float32", message: str = "", token: str | None = None
    ) -> str:
        """Save the model and upload it to the Hugging Face hub: tensors, configuration and card, nothing else.

        The repository `"owner/name"` is made if it is not there. Returns `"owner/name@<commit>"`, which loads exactly
        what was uploaded; an :class:`OfflineError` where `settings.offline` is on or the hub cannot be reached.
        """
        save = partial(self.save, dtype=dtype)
        return _hub.push(self.name, save, repo_id, private=private, message=message, token=token)


def load(
    model: str | Path | BioVerse = DEFAULT_MODEL, *, llm: str | Backbone | None = None, device: str = "auto"
) -> BioVerse:
    """Load a model.

    Parameters
    ----------
    model
        Name of a bundled model (see :func:`list_models`), path of a saved one, hub id (`"owner/name"`, better
        `"owner/name@<40-digit commit>"`), or a model, which is given back, moved to `device`.
    llm, device
        Where to load its language model from, in place of the name that the checkpoint holds, or a loaded one, for
        example with `quantize=` or `device_map=`. And where to run it: a torch device, or `"auto"`: `settings.device`,
        else the first GPU, else the CPU.

    Returns
    -------
    The model; its language model is loaded on first use. The two models loaded last are kept in memory, and are read
    again only if their files changed: see :func:`clear_cache`. What is returned is a copy, which may be changed.

    Raises
    ------
    WeightsError
        There is no such model, or its files are damaged, pickles or code.
    MismatchError
        Its parts do not belong together; both fingerprints are shown.
    OfflineError
        It would have to be fetched, and `settings.offline` is on or the hub cannot be reached.
    """
    if isinstance(model, BioVerse):
        return model.to(device)
    folder, handed_in = find(model), not isinstance(llm, str | None)
    if llm is None and not is_local(model):
        llm = named_llm(folder)  # who names a model on the hub names what it is made of
    given: dict[str, Any] = {"backbone" if handed_in else "llm": llm, "device": device}
    read = partial(checkpoint.read, folder, lambda parts: BioVerse(**parts, **given))
    # A language model that was handed in is the caller's, and so is what is read with it.
    return read() if handed_in else LOADED.get(folder, (llm, device), read)


def _unpickled(files: Mapping[str, bytes], dtype: torch.dtype, named: dict[str, Any], device: str) -> BioVerse:
    language = LanguageModel(**named, device=device)
    return checkpoint.unpacked(files, dtype, lambda parts: BioVerse(**parts, llm=language, device=device))


def _log_softmax(values: Float, temperature: float) -> Float:
    return log_softmax(values.astype(np.float64) / temperature, axis=1).astype(np.float32)

"""The composed model: encoders, projectors, tokens and a language model that reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal
from weakref import ref

import numpy as np
import torch
from scipy.special import log_softmax

from .._random import Rng, as_seed
from ..errors import InputError
from ..llm.prompts import PromptTemplate
from ._build import build_modules, describe, identity, word_vector
from ._space import Space
from .candidate_tokens import STEPS, can_ask
from .captioner import PhraseCaptioner
from .config import BioVerseConfig, LLMConfig
from .writer import TextWriter

if TYPE_CHECKING:
    from pathlib import Path

    from ..encoders import Encoder
    from ..llm import Backbone
    from ._parts import Float


class BioVerse(Space):
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
    text_table
        Texts whose place in it is known already, so that the language model need not read them.
    backbone
        The language model, if it is already loaded.
    llm
        Where to load the language model from, in place of `config.llm.name`.
    adapter
        Low-rank adapter that the language model reads soft tokens with, if it was tuned.
    device
        Where to load the language model; `"auto"`: `settings.device`, else the first GPU, else the CPU.

    Attributes
    ----------
    config
        Plain description; its calibration may be set.
    encoders
        By modality.
    modules
        The trained parts, as one `torch.nn.ModuleDict`.
    """

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
        prototypes
            Cell Ontology ids, for a :class:`~scbioverse.nn.PrototypeProjector` with a prototype for each (`""` for one
            that stands for no term) in place of a perceptron.
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
            template=json.loads(json.dumps(asdict(wording))) | {"sha256": wording.template_hash()},
            n_soft=n_soft,
            encoders={
                modality: describe(encoder, hidden=hidden, terms=prototypes)
                for modality, encoder in by_modality.items()
            },
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(as_seed(rng))
            modules = build_modules(config, init_norm=backbone.embedding_norm, dropout=dropout)
        modules["tokens"].begin_as(*(word_vector(backbone, word) for word in wording.marker_words()))  # type: ignore[operator]
        return cls(config, encoders=by_modality, modules=modules, backbone=backbone)

    # ------------------------------------------------------------------ answers

    @property
    def text_writer(self) -> TextWriter:
        """Asks the language model questions about soft tokens; the first access loads it."""
        held = None if self._text_writer is None else self._text_writer()
        if held is None:
            held = TextWriter(self)
            self._text_writer = ref(held)
        return held

    def captioner(self, modality: str) -> PhraseCaptioner:
        """Return what writes of a modality by phrases; the first call loads the language model.

        Raises
        ------
        InputError
            The modality has no such way of writing.
        """
        self.check_modality(modality)
        held = self._captioners.get(modality)
        if held is None:
            held = self._captioners[modality] = PhraseCaptioner(self, modality)
        return held

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
        """Log-probability of each name as the language model's answer, given that the answer is one of them.

        At each point where names part, a softmax over the tokens that go on there (constrained decoding); the product
        along a name is its probability. Inputs that are equal to the language model are computed once.

        With `terms`, and a model that has codes of answers, the soft tokens depend on the question: the projector's
        attention is taken over the terms of the names alone, and mixes a code of each name (see
        :class:`scbioverse.nn.CandidateTokens`). Without, they say what the input is among all that the projector knows.

        Parameters
        ----------
        embeddings
            float32 (n, n_tokens, dim) or (n, dim).
        names
            m different names.
        terms
            Cell Ontology ids of the names, None for a name that has none. Where the projector's attention knows fewer
            than two of them, as if they were not given.
        evidence
            float32 (n, m), marker evidence of the names, for questions that :meth:`weighs` says yes to: it is pooled
            with the attention before the language model reads.
        modality
            Modality of the embeddings.
        batch_size
            Most rows computed at once: fewer where little memory is free, and half as many each time it runs out.
        progress
            Show a progress bar; `settings.progress` if not given.
        calibrated
            Divide by the model's temperature and normalise again.
        prune
            Choices that a row reaches with a probability below this are not read; the names behind them share it
            equally. None reads everything; `"auto"` does so for a handful of names and takes 0.05 for more, which is
            quicker and on real studies changes about one label in two hundred.
        steps
            With codes of answers, shares are rounded to so many parts of the whole, so that many rows are equal to the
            language model. None: not rounded.

        Returns
        -------
        float32 (n, m), natural logarithm; `exp` of a row sums to 1.

        Raises
        ------
        InputError
            Names repeat, or read the same to the language model, there are more or fewer terms than names, or evidence
            has another shape or no place in the question.
        """
        from .score import score_unique

        if evidence is not None and (terms is None or not self.weighs(terms, modality)):
            raise InputError(f"model {self.name!r} has no weight for evidence of these names: add it to the answer.")
        if evidence is not None and np.shape(evidence) != (len(embeddings), len(names)):
            raise InputError(f"{len(embeddings)} rows, {len(names)} names: evidence has shape {np.shape(evidence)}.")
        log_probs = score_unique(
            self, embeddings, list(names), modality, batch_size, progress, prune, terms, steps, evidence
        )
        temperature = self.temperature(terms, modality, evidence=evidence is not None) if calibrated else 1.0
        if temperature == 1.0:
            return log_probs
        return log_softmax(log_probs.astype(np.float64) / temperature, axis=1).astype(np.float32)

    def weighs(self, terms: Sequence[str | None], modality: str = "cell") -> bool:
        """Whether :meth:`score` takes marker evidence of names with these Cell Ontology ids.

        The model has codes of answers and weights for evidence, and its attention knows two of the terms.
        """
        return "candidate_tokens" in self.config.calibration and can_ask(self, terms, modality)

    def temperature(
        self, terms: Sequence[str | None] | None = None, modality: str = "cell", *, evidence: bool = False
    ) -> float:
        """Return what :meth:`score` divides log-probabilities by, for such names, with or without evidence."""
        table, row = self.config.calibration, "score"
        if terms is not None and can_ask(self, terms, modality):
            row = "candidate_tokens" if evidence else "candidate_tokens_alone"
        return table.get(row, table["score"]).temperature

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
        scaled = cosine.astype(np.float64) / self.config.calibration["nearest"].temperature
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

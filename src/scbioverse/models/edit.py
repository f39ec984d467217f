"""Models made of others, and what a model can be given, or lose: modalities, terms, candidate tokens, phrases.

Projectors that were trained apart towards one language model are put together, and read by it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..errors import InputError, MismatchError
from ._build import build_modules, candidate_tokens
from .bioverse import BioVerse
from .checkpoint import Encoders

if TYPE_CHECKING:
    from torch import Tensor

    from .._device import Rng
    from ..encoders import Encoder
    from ..llm.adapter import Adapter
    from ..nn import BioTokens
    from .config import BioVerseConfig, PhraseBook

_SAYS = ("score", "generate")
_FROM_THE_FIRST = (
    "Train the second in the first: more = scbioverse.models.extend(first, encoder), then scbioverse.tl.align(adata, "
    "model=more, start='model', modality=...)."
)


def join(*models: BioVerse, name: str | None = None) -> BioVerse:
    """Put models of different modalities together.

    Each projector was trained towards the same frozen language model, so that none needs to know of the others: a
    prompt may then hold a cell and a molecule, and all that were aligned by nearness lie in one space shared with text.
    :func:`scbioverse.tl.align` gives all new models of one language model the same such space. A modality that was
    aligned with `loss="autoregressive"` alone has no place in it: it is read in prompts, and `method="nearest"` is
    refused for it.

    Parameters
    ----------
    models
        Two or more. The first gives vocabulary, temperatures, template, task token and adapter.
    name
        Name of the new model; that of the first if not given.

    Returns
    -------
    A new model; the given ones are unchanged. Weights are copied, encoders and language model shared.

    Raises
    ------
    InputError
        Fewer than two models, or two of them read the same modality.
    MismatchError
        Language models, templates or numbers of soft tokens differ, two were aligned by nearness in different text
        spaces, or a model but the first was tuned: what it reads with would change.

    Examples
    --------
    >>> from scbioverse.models import join
    >>> both = join(cell_model, molecule_model)  # doctest: +SKIP
    >>> both.modalities  # doctest: +SKIP
    ['cell', 'molecule']
    """
    if len(models) < 2:
        raise InputError(f"join takes two models or more, found {len(models)}.")
    first = models[0]
    held: dict[str, str] = {}
    for one in models:
        twice = sorted(set(held) & set(one.config.encoders))
        if twice:
            raise InputError(f"models {held[twice[0]]!r} and {one.name!r} both read {twice}; leave one out.")
        held |= dict.fromkeys(one.config.encoders, one.name)
        if one is not first:
            check_together(first, one)
    spaced = next((one for one in models if one.text_space is not None), first)
    for one in models:
        check_one_space(spaced, one)
    config = copy.deepcopy(first.config)
    config.name = name or config.name
    config.text_space = spaced.config.text_space
    config.encoders = {
        # What was aligned without a text space has no place in the one that the others bring.
        modality: made if one.text_space is not None or spaced.text_space is None else replace(made, methods=_SAYS)
        for one in models
        for modality, made in one.config.encoders.items()
    }
    return _made_of(config, models, spaced)


def extend(model: BioVerse, encoder: Encoder, *, hidden: int | None = None, rng: Rng = None) -> BioVerse:
    """Add an untrained projector for another modality; everything else stays as it is.

    Parameters
    ----------
    model
        The model; not changed.
    encoder
        Encoder of a modality that the model does not read yet.
    hidden
        Width of the new projector; the model's if not given.
    rng
        Seed of the starting weights.

    Returns
    -------
    A new model; train the new projector with :func:`scbioverse.tl.align`, `start="model"`.

    Raises
    ------
    InputError
        The model reads that modality already.
    """
    config = model.config
    fresh = BioVerse.new(
        encoder,
        name=encoder.name,
        llm=model.backbone,
        n_soft=config.n_soft,
        hidden=hidden or next(iter(config.encoders.values())).hidden,
        template=model.template,
        rng=rng,
    )
    fresh.space.take(model.space)
    return join(model, fresh)


def only(model: BioVerse, modalities: list[str]) -> BioVerse:
    """Return a copy that reads these modalities alone."""
    for modality in modalities:
        model.check_modality(modality)
    config: BioVerseConfig = copy.deepcopy(model.config)
    config.encoders = {name: made for name, made in config.encoders.items() if name in modalities}
    return _made_of(config, [model], model)


def _made_of(config: BioVerseConfig, models: Sequence[BioVerse], spaced: BioVerse) -> BioVerse:
    """Make a model of what others have of the modalities in `config`; the first gives the language model's side."""
    first, read = models[0], config.encoders
    books = {name: book for one in models for name, book in one.phrase_books.items() if name in read}
    adapters = {name: held for one in models for name, held in one.writing_adapters.items() if name in read}
    encoders = {name: held for one in models for name, held in one.encoders.held().items()}
    modules = build_modules(config, books)
    with torch.no_grad():
        _fill(modules, models)
    return BioVerse(
        config,
        encoders=Encoders(encoders).only(list(read)),
        modules=modules,
        text_space=spaced.text_space,
        text_table=spaced.text_table,
        **first.readers.shared(),
        device=first.device,
        adapter=first.adapter,
        phrase_books=books,
        writing_adapters=adapters,
    )


def check_together(first: BioVerse, other: BioVerse) -> None:
    """Raise a :class:`MismatchError` where two models cannot be read by one language model in one space of texts."""
    a, b = first.config, other.config
    pairs = {
        "language model": (a.llm.sha256, b.llm.sha256),
        "prompt template": (a.template["sha256"], b.template["sha256"]),
        "number of soft tokens": (a.n_soft, b.n_soft),
    }
    for what, (mine, theirs) in pairs.items():
        if mine != theirs:
            raise MismatchError(
                f"models {a.name!r} and {b.name!r} differ in their {what}: {mine} and {theirs}. {_FROM_THE_FIRST}"
            )
    check_one_space(first, other)
    tuned = {None if one.adapter is None else one.adapter.fingerprint for one in (first, other)}
    if other.adapter is not None and len(tuned) > 1:
        raise MismatchError(
            f"model {b.name!r} was tuned: its adapter would change how the language model reads the others. Put it "
            "first, or join it before tuning."
        )


def check_one_space(first: BioVerse, other: BioVerse) -> None:
    """Raise a :class:`MismatchError` where two models were aligned by nearness in different spaces of texts."""
    if first.text_space is None or other.text_space is None:
        return
    held, found = first.text_space.tensors(), other.text_space.tensors()
    same = first.config.text_space == other.config.text_space
    if not same or any(not torch.equal(held[part], found[part]) for part in held):
        raise MismatchError(
            f"models {first.name!r} and {other.name!r} have text spaces fitted on different texts: one point means "
            f"different things in them ({first.config.text_space} and {other.config.text_space}). {_FROM_THE_FIRST}"
        )


def _fill(modules: nn.ModuleDict, models: Sequence[BioVerse]) -> None:
    """Copy projectors, shared-space layers and markers of each modality, and the first model's task token."""
    tokens = cast("BioTokens", modules["tokens"])
    for model in models:
        for part in ("projectors", "candidate_tokens", "shared", "phrases"):
            new, old = cast("nn.ModuleDict", modules[part]), cast("nn.ModuleDict", model.modules[part])
            for modality in set(old) & set(new):
                new[modality].load_state_dict(old[modality].state_dict())
        for modality in set(model.tokens.modalities) & set(tokens.modalities):
            mine, row = tokens.modalities.index(modality), model.tokens.modalities.index(modality)
            tokens.fixed[mine] = model.tokens.fixed[row].cpu()
            tokens.trained[mine] = model.tokens.trained[row].cpu()
    tokens.trained[-1] = models[0].tokens.trained[-1].cpu()


def forget_terms(model: BioVerse, modality: str) -> None:
    """Let a modality's prototypes stand for terms no more, and drop the candidate tokens, which rest on them."""
    forget_candidate_tokens(model, modality)
    made = model.config.encoders[modality]
    model.config.encoders[modality] = replace(made, terms=("",) * len(made.terms))


def forget_candidate_tokens(model: BioVerse, modality: str) -> None:
    """Drop a modality's codes of answers: soft tokens say what an input is, whatever is asked."""
    model.check_modality(modality)
    model.config.encoders[modality] = replace(model.config.encoders[modality], candidates=(), spread=())
    held: Any = model.modules["candidate_tokens"]
    if modality in held:
        del held[modality]


def set_candidate_tokens(
    model: BioVerse, modality: str, candidates: Sequence[str], codes: Tensor, *, spread: Sequence[float] = ()
) -> None:
    """Give a modality codes (n_candidates, n_soft, d_llm) of answers, in place of those it had.

    Its prototypes must stand for terms; `candidates` are Cell Ontology ids; `spread` is the temperature of the shares
    that mix each soft token, 1 for all if empty.
    """
    model.check_modality(modality)
    config = replace(model.config.encoders[modality], candidates=tuple(candidates), spread=tuple(spread))
    made = candidate_tokens(config, model.config.n_soft, model.config.llm.d_llm)
    with torch.no_grad():
        made.codes.copy_(codes)
    held: Any = model.modules["candidate_tokens"]
    model.config.encoders[modality] = config
    held[modality] = made.to(next(model.modules.parameters()).device).eval()


def set_phrases(
    model: BioVerse,
    modality: str,
    book: PhraseBook | None,
    head: nn.Module | None = None,
    adapter: Adapter | None = None,
) -> None:
    """Give a modality another way of writing, or none: what is said, what finds it, and what it is read with."""
    model.check_modality(modality)
    heads: Any = model.modules["phrases"]
    for held in (heads, model.phrase_books, model.writing_adapters):
        if modality in held:
            del held[modality]
    if book is not None:
        model.phrase_books[modality] = book
        made = model.config.encoders[modality]
        methods = made.methods if made.writes else (*made.methods, "generate")
        model.config.encoders[modality] = replace(made, methods=methods)
    if head is not None:
        heads[modality] = head.to(next(model.modules.parameters()).device).eval()
    if adapter is not None:
        model.writing_adapters[modality] = adapter
    model.set_adapter(model.adapter)  # what was computed with another one goes

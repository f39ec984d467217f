"""What a model can be given, or lose, after it was made: terms of prototypes, candidate tokens, phrases."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InputError, MismatchError
from ._build import candidate_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from ..llm.adapter import Adapter
    from .bioverse import BioVerse
    from .config import PhraseBook


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
    shape = (len(candidates), model.config.n_soft, model.config.llm.d_llm)
    if tuple(codes.shape) != shape:
        raise MismatchError(f"{len(candidates)} candidates need codes of shape {shape}, found {tuple(codes.shape)}.")
    config = replace(model.config.encoders[modality], candidates=tuple(candidates), spread=tuple(spread))
    made = candidate_tokens(config, *shape[1:])
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
    found = 0 if head is None else getattr(head, "n_phrases", 0)
    wanted = 0 if book is None else len(book.phrases)
    if found != wanted or (book is None and adapter is not None):
        raise InputError(f"a book of {wanted} phrases goes with a head that finds as many, found one of {found}.")
    heads: Any = model.modules["phrases"]
    model.readers.forget_phrases(modality)
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

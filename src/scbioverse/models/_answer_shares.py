"""From an embedding and a list of possible answers to soft tokens: which answer it resembles, said in their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._errors import InputError
from ..knowledge.spoken import answer_name
from ._attended import attended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from .bioverse import BioVerse

Float = NDArray[np.float32]
# Shares are rounded to so many parts: cells of one type then often have the same soft tokens, and are read once.
STEPS = 32


def in_steps(shares: NDArray[np.floating], steps: int) -> Float:
    """Round each row to multiples of `1 / steps` that add up to 1, by the method of largest remainders.

    Parameters
    ----------
    shares
        (n, m), not negative; rows add up to 1.
    steps
        Parts of the whole. Each entry moves by less than one part.

    Returns
    -------
    float32 (n, m). Of equal remainders the first goes up.
    """
    whole = np.asarray(shares, dtype=np.float64) * steps
    # 7 of 32 parts may come as 6.999...: what is that near to a number of parts is that number.
    low = np.floor(whole + 1e-9)
    missing = np.rint(steps - low.sum(axis=1)).astype(np.int64)
    order = np.argsort(low - whole, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(whole.shape[1]), whole.shape), axis=1)
    return ((low + (rank < missing[:, None])) / steps).astype(np.float32)


def answer_shares(
    model: BioVerse, embeddings: Float, terms: Sequence[str | None], modality: str, *, steps: int | None = STEPS
) -> Float | None:
    """How much of the attention among the candidates each gets: float32 (n, m), rows add up to 1.

    None where the model has no codes for answers, or its attention tells fewer than two of the candidates apart. A
    candidate that it does not know gets as much as one in the middle, see
    :func:`scbioverse.models._attended.best_of_columns`.
    """
    if not model.config.encoders[modality].answers:
        return None
    found = attended(model, embeddings, terms, modality)
    if found is None:
        return None
    shares = np.exp(found)
    return shares.astype(np.float32) if steps is None else in_steps(shares, steps)


@torch.no_grad()
def codes_of(model: BioVerse, names: Sequence[str], terms: Sequence[str | None], modality: str) -> Tensor:
    """Codes of candidates, float32 (m, n_soft, d_llm).

    A term's own, where it was learned and the term is asked for by the name that it was learned with; else what the
    language model's own embedding of the name begins with, which a frozen model that was shown lines of copying reads.
    """
    learned = answers(model, modality)
    place = {cl_id: row for row, cl_id in enumerate(model.config.encoders[modality].answers)}
    codes: list[Tensor] = []
    for name, cl_id in zip(names, terms, strict=True):
        known = cl_id in place and answer_name(str(cl_id), model.config.names) == name
        codes.append(learned.codes[place[str(cl_id)]] if known else name_code(model, name).to(learned.codes))
    return torch.stack(codes)


def what_is_read(
    model: BioVerse,
    embeddings: Float,
    names: Sequence[str],
    terms: Sequence[str | None] | None,
    modality: str,
    *,
    steps: int | None = STEPS,
) -> tuple[Float, Callable[[Float], Tensor]]:
    """Return what decides each row's soft tokens, and how they are made of it.

    Shares of the answers, float32 (n, m), where the model has codes of answers and knows two of the terms; else the
    embeddings.
    """
    values = np.asarray(embeddings, dtype=np.float32)
    shares = None if terms is None else answer_shares(model, values, terms, modality, steps=steps)
    if shares is None or terms is None:
        return values, lambda block: model.project(block, modality)
    codes = codes_of(model, names, terms, modality)
    mix = answers(model, modality)
    return shares, lambda block: mix(torch.from_numpy(block).to(codes.device), codes)


def answers(model: BioVerse, modality: str) -> Any:
    """Return the codes of answers of a modality.

    Raises
    ------
    InputError
        It has none.
    """
    held: Any = model.modules["answers"]
    if modality not in held:
        raise InputError(f"model {model.name!r} has no codes of answers for {modality!r}.")
    return held[modality]


@torch.no_grad()
def name_code(model: BioVerse, name: str, *, max_chars: int | None = None) -> Tensor:
    """Slots of a text, float32 (n_soft, d_llm): its tokens' input embeddings, the last slot the mean of those left."""
    ids = model.answer_ids(name)[:-1] if max_chars is None else model.answer_ids(name, max_chars=max_chars)[:-1]
    words = model.backbone.embed_tokens(torch.tensor(ids, device=model.backbone.device)).float()
    n_soft = model.config.n_soft
    if len(ids) <= n_soft:
        return torch.cat([words, words[-1:].expand(n_soft - len(ids), -1)])
    return torch.cat([words[: n_soft - 1], words[n_soft - 1 :].mean(dim=0, keepdim=True)])

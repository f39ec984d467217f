"""From an embedding and a list of possible answers to soft tokens: which answer it resembles, said in their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from ..errors import InputError
from ..knowledge.candidates import candidate_columns
from ..knowledge.spoken import answer_name
from ..llm.prompts import MAX_LABEL_CHARS
from .attention import attended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from .bioverse import BioVerse

Float = NDArray[np.float32]
# Shares are rounded to so many parts: cells of one type then often have the same soft tokens, and are read once. Of 8
# parts in place of 32, half as many are read, and mean accuracies (development, left out, types) fall by 0 to 0.003.
STEPS = 8
_ROWS = 4096  # rounded at a time: it changes memory only


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


def can_ask(model: BioVerse, terms: Sequence[str | None], modality: str) -> bool:
    """Whether soft tokens can depend on the candidates: there are codes of answers, and two terms that are known."""
    made = model.config.encoders[modality]
    return bool(made.candidates) and sum(map(bool, candidate_columns(terms, made.terms))) > 1


def answer_shares(
    model: BioVerse,
    embeddings: Float,
    terms: Sequence[str | None],
    modality: str,
    *,
    evidence: NDArray[np.floating] | None = None,
    steps: int | None = STEPS,
    first: Sequence[int] | None = None,
) -> Float:
    """How much each candidate gets of what is known: float32 (n, m), rows add up to 1.

    That is the attention among the candidates, or, with evidence, its pool with that (see
    :class:`scbioverse.models.config.Calibration`). A candidate that the attention does not know is judged by its kin,
    see :func:`scbioverse.models.attention.best_of_columns`. For questions that :func:`can_ask` says yes to.

    Parameters
    ----------
    evidence
        (n, m), marker evidence.
    first
        An order of the candidates: of those that could as well be rounded up, the one that comes first is.
    """
    row = model.config.calibration.get("candidate_tokens")
    order = np.arange(len(terms)) if first is None else np.asarray(first, dtype=np.int64)
    out = np.empty((len(embeddings), len(terms)), dtype=np.float32)
    for start in range(0, len(embeddings), _ROWS):
        rows = slice(start, start + _ROWS)
        joint = attended(model, embeddings[rows], terms, modality)
        if joint is None:
            raise InputError("the attention tells fewer than two of the candidates apart.")
        if evidence is not None and row is not None:
            joint = row.weight("prototypes") * joint + row.weight("markers") * np.asarray(
                evidence[rows], dtype=np.float64
            )
        shares = softmax(joint, axis=1)
        out[rows] = shares
        if steps is not None:
            out[rows, order] = in_steps(shares[:, order], steps)
    return out


@torch.no_grad()
def codes_of(model: BioVerse, names: Sequence[str], terms: Sequence[str | None], modality: str) -> Tensor:
    """Codes of candidates, float32 (m, n_soft, d_llm).

    A term's own, where it was learned and the term is asked for by the name that it was learned with; else what the
    language model's own embedding of the name begins with, which a frozen model that was shown lines of copying reads.
    """
    learned = answers(model, modality)
    place = {cl_id: row for row, cl_id in enumerate(model.config.encoders[modality].candidates)}
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
    evidence: NDArray[np.floating] | None = None,
    steps: int | None = STEPS,
) -> tuple[Float, Callable[[Float], Tensor]]:
    """Return what decides each row's soft tokens, and how they are made of it.

    Shares of the answers, float32 (n, m), where :func:`can_ask` says so; else the embeddings.
    """
    values = np.asarray(embeddings, dtype=np.float32)
    if terms is None or not can_ask(model, terms, modality):
        return values, lambda block: model.project(block, modality)
    # By name: labels in another order are the same question.
    first = np.argsort(np.array(names), kind="stable").tolist()
    shares = answer_shares(model, values, terms, modality, evidence=evidence, steps=steps, first=first)
    codes, mix = codes_of(model, names, terms, modality), answers(model, modality)
    return shares, lambda block: mix(torch.from_numpy(block).to(codes.device), codes)


def answers(model: BioVerse, modality: str) -> Any:
    """Return the codes of answers of a modality.

    Raises
    ------
    InputError
        It has none.
    """
    held: Any = model.modules["candidate_tokens"]
    if modality not in held:
        raise InputError(f"model {model.name!r} has no codes of answers for {modality!r}.")
    return held[modality]


@torch.no_grad()
def name_code(model: BioVerse, name: str, *, max_chars: int = MAX_LABEL_CHARS) -> Tensor:
    """Slots of a text, float32 (n_soft, d_llm): its tokens' input embeddings, the last slot the mean of those left."""
    ids = model.answer_ids(name, max_chars=max_chars)[:-1]
    words = model.backbone.embed_tokens(torch.tensor(ids, device=model.backbone.device)).float()
    n_soft = model.config.n_soft
    if len(ids) <= n_soft:
        return torch.cat([words, words[-1:].expand(n_soft - len(ids), -1)])
    return torch.cat([words[: n_soft - 1], words[n_soft - 1 :].mean(dim=0, keepdim=True)])

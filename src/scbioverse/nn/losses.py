"""What training minimises: contrastive pairs, and the answer's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from ..errors import InputError
from .composer import IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable


def info_nce(
    a: Tensor,
    b: Tensor,
    *,
    groups: Tensor | None = None,
    negatives: Tensor | None = None,
    scale: float | Tensor = 1 / 0.07,
    related: Tensor | None = None,
) -> Tensor:
    r"""Symmetric InfoNCE between paired rows, in which no pair of equal meaning is a negative.

    For an anchor :math:`i` with positives :math:`P_i` (its own partner and every row of its group), negatives
    :math:`N_i` (rows of other groups that are not related) and :math:`s_{ij}` = scale × cosine,

    .. math:: L_i = \frac{1}{|P_i|} \sum_{p \in P_i} -\log
        \frac{e^{s_{ip}}}{e^{s_{ip}} + \sum_{j \in N_i} e^{s_{ij}}}

    (van den Oord et al. 2018 for one positive; positives do not compete with each other, unlike Khosla et al. 2020).
    The loss is the mean over anchors, halved over the directions a → b and b → a: a scalar, float32, zero where no
    anchor has a negative.

    Row i of `a` (n, d) belongs to row i of `b`. Rows with equal `groups` (n,) mean the same (the same text).
    `negatives` (m, d), in the space of `b`, belong to no row of `a`. `scale` is the inverse of the temperature and may
    be learned. Pairs in `related`, bool (n, n), such as a label and its parent, count neither as positive nor as
    negative.
    """
    n = a.shape[0]
    if a.ndim != 2 or a.shape != b.shape or n == 0:
        raise InputError(f"info_nce takes two (n, d) tensors of equal shape, found {tuple(a.shape)}, {tuple(b.shape)}.")
    if groups is not None and tuple(groups.shape) != (n,):
        raise InputError(f"groups must be ({n},), found {tuple(groups.shape)}.")
    if related is not None and tuple(related.shape) != (n, n):
        raise InputError(f"related must be ({n}, {n}), found {tuple(related.shape)}.")
    if negatives is not None and (negatives.ndim != 2 or negatives.shape[1] != a.shape[1]):
        raise InputError(f"negatives must be (m, {a.shape[1]}), found {tuple(negatives.shape)}.")
    a, b = normalize(a.float(), dim=1), normalize(b.float(), dim=1)
    positive = torch.eye(n, dtype=torch.bool, device=a.device)
    if groups is not None:
        groups = groups.to(a.device)
        positive = positive | (groups[:, None] == groups[None, :])
    negative = ~positive
    if related is not None:
        related = related.to(device=a.device, dtype=torch.bool)
        negative = negative & ~(related | related.T)
    similarity = scale * (a @ b.T)
    forward, allowed = similarity, negative
    if negatives is not None and negatives.shape[0]:
        further = scale * (a @ normalize(negatives.to(a), dim=1).T)
        forward = torch.cat([similarity, further], dim=1)
        allowed = torch.cat([negative, torch.ones_like(further, dtype=torch.bool)], dim=1)
    return 0.5 * (_one_way(forward, allowed, positive) + _one_way(similarity.T, negative.T, positive))


def _one_way(similarity: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
    against = similarity.masked_fill(~negative, -torch.inf).logsumexp(dim=1, keepdim=True)
    # -log(e^s / (e^s + e^against)) = softplus(against - s)
    each = softplus(against - similarity[:, : positive.shape[1]])
    return ((each * positive).sum(dim=1) / positive.sum(dim=1)).mean()


def answer_positions(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the positions whose hidden state has to predict an answer token.

    Parameters
    ----------
    labels
        int64 (n, T), -100 outside answers, aligned with the input: position t is predicted from t - 1.

    Returns
    -------
    Row (m,), position of the predicting state (m,), and token to predict (m,), int64, in reading order.

    Raises
    ------
    InputError
        There is no answer token, or one stands first in its row, where nothing can predict it.
    """
    row, at = (labels != IGNORE).nonzero(as_tuple=True)
    if not row.numel():
        raise InputError("labels hold no answer token: every position is -100.")
    if bool((at == 0).any()):
        raise InputError("an answer token is the first of its row, where nothing stands before it to predict it from.")
    return row, at - 1, labels[row, at]


def answer_cross_entropy(
    states: Tensor,
    labels: Tensor,
    *,
    head: Callable[[Tensor], Tensor] | None = None,
    per_row: bool = False,
) -> Tensor:
    """Cross-entropy of the answer tokens, and of nothing else.

    Parameters
    ----------
    states
        Logits (n, T, vocabulary), or hidden states (n, T, d) if `head` is given.
    labels
        int64 (n, T), -100 outside answers.
    head
        Turns hidden states (m, d) into logits (m, vocabulary). It is called on the predicting states only.
    per_row
        Mean of the rows' means, so that long answers weigh as much as short ones, instead of the mean over tokens.

    Returns
    -------
    Scalar float32, in nats.

    Raises
    ------
    InputError
        There is no answer token, or the shapes differ.
    """
    if states.ndim != 3 or labels.shape != states.shape[:2]:
        raise InputError(f"labels {tuple(labels.shape)} do not fit states {tuple(states.shape)}.")
    row, at, token = answer_positions(labels.to(states.device))
    logits = states[row, at]
    if head is not None:
        logits = head(logits)
    if not per_row:
        return cross_entropy(logits.float(), token)
    each = cross_entropy(logits.float(), token, reduction="none")
    count = torch.bincount(row, minlength=labels.shape[0])
    return (each / count[row]).sum() / (count > 0).sum()

"""What training of pairs minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus


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
    a, b = normalize(a.float(), dim=1), normalize(b.float(), dim=1)
    positive = torch.eye(len(a), dtype=torch.bool, device=a.device)
    if groups is not None:
        groups = groups.to(a.device)
        positive = positive | (groups[:, None] == groups[None, :])
    negative = ~positive
    if related is not None:
        related = related.to(device=a.device, dtype=torch.bool)
        negative = negative & ~(related | related.T)
    similarity = scale * (a @ b.T)
    forward, allowed = similarity, negative
    if negatives is not None:
        further = scale * (a @ normalize(negatives.to(a), dim=1).T)
        forward = torch.cat([similarity, further], dim=1)
        allowed = torch.cat([negative, torch.ones_like(further, dtype=torch.bool)], dim=1)
    return 0.5 * (_one_way(forward, allowed, positive) + _one_way(similarity.T, negative.T, positive))


def _one_way(similarity: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
    against = similarity.masked_fill(~negative, -torch.inf).logsumexp(dim=1, keepdim=True)
    # -log(e^s / (e^s + e^against)) = softplus(against - s)
    each = softplus(against - similarity[:, : positive.shape[1]])
    return ((each * positive).sum(dim=1) / positive.sum(dim=1)).mean()

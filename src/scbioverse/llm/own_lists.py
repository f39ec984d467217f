"""Log-probabilities of labels where every row has its own short list of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import InputError
from .prefix import suffix_mask
from .score import _Reader

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .backbone import Backbone
    from .prefix import PrefixCache
    from .trie import LabelTrie


@torch.inference_mode()
def score_own_lists(
    backbone: Backbone,
    prefix: PrefixCache,
    inputs_embeds: Tensor,
    trie: LabelTrie,
    own: NDArray[np.integer],
    *,
    attention_mask: Tensor | None = None,
    batch_size: int = 128,
) -> NDArray[np.float32]:
    """Log-probability of each of a row's own labels, given that the answer is one of them.

    What :func:`scbioverse.llm.score.score_labels` gives for a tree of the row's labels alone, whatever else is in
    `trie`: at each choice a softmax over those tokens only that lead to one of the row's labels. Rows share the passes,
    and each reads only the tokens that its own choices need.

    Parameters
    ----------
    backbone
        The language model.
    prefix
        Keys and values of what all rows begin with.
    inputs_embeds, attention_mask
        As in :func:`scbioverse.llm.score.score_labels`.
    trie
        All labels that some row has.
    own
        int (n, k): positions in the trie of each row's labels, all different.
    batch_size
        Rows in one forward pass. It changes speed and memory only.

    Returns
    -------
    float32 (n, k), natural logarithm; `exp` of each row adds up to one.

    Raises
    ------
    InputError
        `own` does not fit the rows or the trie, or `batch_size` is below one.
    """
    n = int(inputs_embeds.shape[0])
    lists = np.asarray(own, dtype=np.int64)
    if lists.ndim != 2 or len(lists) != n or lists.shape[1] < 1 or batch_size < 1:
        raise InputError(f"own must be (n={n}, k >= 1) and batch_size >= 1, found {lists.shape} and {batch_size}.")
    if lists.size and (lists.min() < 0 or lists.max() >= trie.n_labels):
        raise InputError(f"own names labels {lists.min()} to {lists.max()}; the trie has 0 to {trie.n_labels - 1}.")
    scores = np.zeros(lists.shape, dtype=np.float32)
    if not trie.branches or lists.shape[1] == 1:
        return scores
    mask = suffix_mask(backbone, inputs_embeds, attention_mask)
    reader = _Reader(backbone, prefix, trie)
    for first in range(0, n, batch_size):
        rows = slice(first, min(first + batch_size, n))
        part = torch.from_numpy(lists[rows]).to(reader.label_edges.device)
        scores[rows] = _score(reader, inputs_embeds[rows], mask if mask.shape[0] == 1 else mask[rows], part)
    return scores


def _score(reader: _Reader, embeds: Tensor, mask: Tensor, own: Tensor) -> NDArray[np.float32]:
    trie, n = reader.trie, embeds.shape[0]
    paths = reader.label_edges[own]
    # One column more than edges takes the filling of short paths.
    wanted = torch.zeros(n, trie.n_edges + 1, dtype=torch.bool, device=paths.device)
    wanted.scatter_(1, paths.flatten(1), True)
    choices = torch.stack([wanted[:, branch.edges].sum(dim=1) > 1 for branch in trie.branches], dim=1)
    edges = torch.zeros(n, trie.n_edges + 1, dtype=torch.float32, device=paths.device)
    found = edges[:, : trie.n_edges]
    states = reader._read(embeds, mask, trie.branches[:1], found, keep=True)
    if len(trie.branches) > 1:
        reader._read_alive(states, mask, trie.branches[1:], choices[:, 1:], found)
    for i, branch in enumerate(trie.branches):
        here = found[:, branch.edges].masked_fill(~wanted[:, branch.edges], -torch.inf)
        # A softmax over some of the tokens is that over all of them, normalised again.
        sure = here - here.logsumexp(dim=1, keepdim=True)
        found[:, branch.edges] = torch.where(choices[:, i, None], sure, 0.0)
    edges[:, trie.n_edges] = 0.0
    return edges.gather(1, paths.flatten(1)).view(paths.shape).sum(dim=2).cpu().numpy()

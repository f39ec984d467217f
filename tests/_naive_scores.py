"""Log-probabilities of labels the plain way: the reference in tests and the baseline in speed measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scbioverse.llm.prefix import suffix_mask
from scbioverse.llm.score import head_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from scbioverse.llm import Backbone


@torch.inference_mode()
def naive_scores(
    backbone: Backbone,
    prefix_embeds: Tensor,
    inputs_embeds: Tensor,
    sequences: Sequence[Sequence[int]],
    *,
    attention_mask: Tensor | None = None,
    batch_size: int = 32,
) -> NDArray[np.float32]:
    """Compute what `score_labels` gives the plain way: one full forward pass for each row and label, no cache.

    Parameters
    ----------
    backbone
        The language model.
    prefix_embeds
        (P, d_llm), the embedded beginning.
    inputs_embeds, attention_mask
        As in `score_labels`.
    sequences
        Token ids of each label, with an end token.
    batch_size
        Pairs of row and label in one forward pass.

    Returns
    -------
    float32 (n, n_labels), natural logarithm.
    """
    mask = suffix_mask(backbone, inputs_embeds, attention_mask)
    n, length, _ = inputs_embeds.shape
    mask = mask.expand(n, length).to(inputs_embeds.device)
    labels = [list(sequence) for sequence in sequences]
    scores = np.zeros((n, len(labels)), dtype=np.float32)
    pairs = [(row, label) for row in range(n) for label in range(len(labels))]
    start = prefix_embeds.to(device=backbone.device, dtype=backbone.dtype).reshape(-1, backbone.d_llm)
    for first in range(0, len(pairs), batch_size):
        part = pairs[first : first + batch_size]
        texts = []
        for row, label in part:
            suffix = inputs_embeds[row][mask[row]].to(start)
            answer = backbone.embed_tokens(torch.tensor(labels[label][:-1], dtype=torch.long))
            texts.append(torch.cat([start, suffix, answer]))
        sizes = torch.tensor([len(text) for text in texts])
        embeds = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
        attention = (torch.arange(embeds.shape[1])[None] < sizes[:, None]).long()
        hidden, _ = backbone.hidden(embeds, attention)
        for i, (row, label) in enumerate(part):
            sequence = labels[label]
            behind = int(sizes[i]) - len(sequence)
            for t, token in enumerate(sequence):
                ways = sorted({other[t] for other in labels if other[:t] == sequence[:t] and len(other) > t})
                if len(ways) > 1:
                    weight, bias = head_rows(backbone, ways)
                    logits = weight @ hidden[i, behind + t].float()
                    logits = backbone.head.finish(logits if bias is None else logits + bias)
                    scores[row, label] += float(logits.log_softmax(dim=0)[ways.index(token)])
    return scores

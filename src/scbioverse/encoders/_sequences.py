"""Sequences of tokens through a frozen network of transformers, each pooled to one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from .._device import autocast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def pooled(
    net: Any,
    ids: Sequence[NDArray[np.integer]],
    weights: Sequence[NDArray[np.float32]],
    *,
    pad: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Run sequences through a network: float32 (n, dim) on the CPU, the states of each weighted and summed.

    Sequences stand together, padded on the right. Products are taken in `dtype`; weights of the network stay as they
    are, so that what is saved and fingerprinted does not depend on the device.
    """
    rows = [torch.from_numpy(one).long() for one in ids]
    tokens = pad_sequence(rows, batch_first=True, padding_value=pad)
    held = pad_sequence(list(map(torch.ones_like, rows)), batch_first=True)
    counts = pad_sequence(list(map(torch.from_numpy, weights)), batch_first=True)
    # Without padding no mask is needed, and attention runs through its faster path.
    mask = None if bool(held.all()) else held.to(device)
    with torch.inference_mode(), autocast(device, dtype):
        states = net(input_ids=tokens.to(device), attention_mask=mask).last_hidden_state
    with torch.inference_mode():
        return torch.einsum("nt,ntd->nd", counts.to(device), states.float()).cpu()

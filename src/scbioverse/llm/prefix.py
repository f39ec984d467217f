"""The beginning of a prompt that all rows share, run once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..errors import InputError
from ._packed import check_attention, expand_cache, pack_size, run_packed

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Cache

    from .backbone import Backbone


class PrefixCache:
    """Keys and values of the prompt's beginning (P, d_llm), computed once and reused by every row and every batch.

    They carry no gradient: what stands in the beginning (the instruction, the start marker) is not trained. `length` is
    P, `inputs_embeds` a copy of what they were computed from.
    """

    def __init__(self, backbone: Backbone, inputs_embeds: Tensor) -> None:
        if inputs_embeds.ndim == 2:
            inputs_embeds = inputs_embeds.unsqueeze(0)
        if inputs_embeds.ndim != 3 or inputs_embeds.shape[0] != 1 or not inputs_embeds.shape[1]:
            raise InputError(f"A prefix is (P, d_llm) with P ≥ 1, found {tuple(inputs_embeds.shape)}.")
        # Not inference mode, even inside a caller's: its tensors could not serve training later.
        with torch.inference_mode(False), torch.no_grad():
            embeds = inputs_embeds.detach().to(device=backbone.device, dtype=backbone.dtype).clone()
            _, cache = backbone.hidden(embeds, use_cache=True)
        if cache is None or not all(hasattr(layer, "keys") for layer in cache.layers):
            raise InputError(f"{backbone.name!r} keeps no keys and values for each layer; use an attention model.")
        self.inputs_embeds = embeds[0]
        self.length = int(embeds.shape[1])
        self._cache = cache

    @property
    def shared(self) -> Cache:
        """Keys and values as they are stored, batch size one. Hand :meth:`expand` to a model, never this."""
        return self._cache

    def expand(self, n: int) -> Cache:
        """Return a new cache of `n` equal rows, which a forward pass may extend; write nothing into its tensors."""
        if n < 1:
            raise InputError(f"A batch has at least one row, found {n}.")
        return expand_cache(self._cache, n)


def suffix_hidden(
    backbone: Backbone,
    prefix: PrefixCache,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None = None,
    *,
    grad: bool = True,
    pack: int | None = None,
) -> Tensor:
    """Hidden states (n, T, d_llm) of what follows the prefix: the same as of a pass over prefix and suffix together.

    `attention_mask` (n, T) is 1 for tokens and 0 for padding, on either side, where states mean nothing. With `grad`
    gradients flow to `inputs_embeds`, never to the prefix. `pack` rows are laid side by side; chosen by their length if
    None, it changes speed and memory only.
    """
    mask = suffix_mask(backbone, inputs_embeds, attention_mask)
    n, length, _ = inputs_embeds.shape
    pack = pack_size(length, n) if pack is None else max(1, min(pack, n))
    check_attention(backbone, prefix.length + pack * length)
    # The suffix holds what is trained; the beginning was read without a gradient.
    with torch.set_grad_enabled(grad and torch.is_grad_enabled()):
        hidden, _ = run_packed(
            backbone,
            prefix.shared,
            inputs_embeds,
            causal(mask),
            prefix.length + (mask.long().cumsum(1) - 1).clamp(min=0),
            pack=pack,
        )
    return hidden


def suffix_mask(backbone: Backbone, inputs_embeds: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Check a suffix and return which of its positions are tokens: bool (n, T), or (1, T) where all are."""
    if inputs_embeds.ndim != 3 or inputs_embeds.shape[2] != backbone.d_llm or 0 in inputs_embeds.shape[:2]:
        raise InputError(
            f"A suffix is (n, T, {backbone.d_llm}) with at least one token, found {tuple(inputs_embeds.shape)}."
        )
    n, length, _ = inputs_embeds.shape
    if attention_mask is None:
        return torch.ones(1, length, dtype=torch.bool, device=backbone.device)
    if tuple(attention_mask.shape) != (n, length):
        raise InputError(f"attention_mask must be ({n}, {length}), found {tuple(attention_mask.shape)}.")
    mask = attention_mask.to(device=backbone.device, dtype=torch.bool)
    if not bool(mask.any(dim=1).all()):
        raise InputError(f"Row {int((~mask.any(dim=1)).nonzero()[0])} of the suffix is all padding.")
    # One row stands for all where nothing is padded: masks are then laid once.
    return mask[:1] if bool(mask.all()) else mask


def causal(mask: Tensor) -> Tensor:
    """Which tokens each token of a row sees: itself and the tokens before it; bool (n, T) to (n, T, T)."""
    length = mask.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    # Padding sees itself, so that its states are numbers; nothing else sees it.
    return (before & mask[:, None, :]) | torch.eye(length, dtype=torch.bool, device=mask.device)

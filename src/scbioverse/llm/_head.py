"""What families do between the last hidden state and the logits, and between the embedding table and the first block.

Most multiply the last hidden state with the output embedding and nothing else. Granite divides the product
(`logits_scaling`), Cohere multiplies it (`logit_scale`), Gemma 2 bends it by a soft cap (`final_logit_softcapping`).
Gemma multiplies what it looks up in the embedding table by the square root of its width; Granite multiplies whatever
comes in, looked up or handed in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

_SAMPLE = 64


class Head:
    """The way from last hidden states to logits.

    Parameters
    ----------
    model
        A causal language model of transformers.
    name
        What it was loaded as.

    Attributes
    ----------
    scale
        Multiplies the product with the output embedding.
    cap
        c of c · tanh(x / c), or None.
    """

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        config: Any = model.config.get_text_config()
        parts: Any = model
        self._linear = parts.get_output_embeddings()
        if self._linear is None or not hasattr(self._linear, "weight"):
            raise WeightsError(f"{name!r} has no output embedding: it is not a causal language model.")
        self.scale = _number(config, "logit_scale", 1.0) / _number(config, "logits_scaling", 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        self.cap = None if cap is None else float(cap)

    @property
    def device(self) -> torch.device:
        """Where the output embedding is."""
        device: torch.device = self._linear.weight.device
        return device

    def raw(self, hidden: Tensor, token_ids: Tensor | Sequence[int] | None = None) -> Tensor:
        """Multiply hidden states (..., d) with rows of the output embedding: (..., m), float32, nothing else done."""
        weight, bias = self._linear.weight, getattr(self._linear, "bias", None)
        if token_ids is not None:
            rows = torch.as_tensor(token_ids, dtype=torch.long, device=weight.device)
            weight = weight.index_select(0, rows)
            bias = None if bias is None else bias.index_select(0, rows)
        return nn.functional.linear(hidden.to(device=weight.device, dtype=weight.dtype), weight, bias).float()

    def finish(self, raw: Tensor) -> Tensor:
        """Scale and cap products, element by element, as the family does."""
        scaled = raw if self.scale == 1.0 else raw * self.scale
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)


def _number(config: Any, name: str, default: float) -> float:
    value = getattr(config, name, None)
    return default if value is None else float(value)


@torch.no_grad()
def lookup_scale(embedding: nn.Module) -> float:
    """By what an embedding module multiplies the rows of its own table (Gemma: the square root of the width)."""
    if type(embedding) is nn.Embedding:
        return 1.0
    table: Any = embedding.weight
    ids = torch.arange(min(_SAMPLE, table.shape[0]), device=table.device)
    found: Tensor = embedding(ids)
    return float(found.float().norm() / table[ids].float().norm().clamp(min=1e-12))

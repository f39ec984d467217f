"""How many rows a language model reads at once, to begin with: by free memory and an estimate of what a row takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._device import BatchSize, free_bytes
from .._logging import logger

if TYPE_CHECKING:
    from .backbone import Backbone

SHARE = 0.8  # share of the free memory that is planned with; the rest is for what the estimate leaves out


def row_bytes(backbone: Backbone, *, length: int, prefix: int = 0, logits: int = 0) -> int:
    """Estimate the bytes that one row takes in a forward pass without gradients.

    What is counted wrongly (gradients, buffers of kernels, fragmentation, what packed rows share) costs a halving
    (:class:`BatchSize`) or some speed, never the result. `length` counts the tokens behind the `prefix` of cached
    positions, those that will be written included, of a label tree some; `logits` the positions at which the whole
    vocabulary is scored.
    """
    config = backbone.model.config.get_text_config()
    size, d, heads = backbone.dtype.itemsize, backbone.d_llm, int(config.num_attention_heads)
    head_dim = int(getattr(config, "head_dim", None) or d // heads)
    d_kv = head_dim * int(getattr(config, "num_key_value_heads", None) or heads)
    d_mlp = int(getattr(config, "intermediate_size", None) or 4 * d)
    # Keys and values of all blocks, the row's own copy of the prefix's included.
    cache = backbone.n_layers * 2 * d_kv * (prefix + length) * size
    # One block while it is computed: its input, the normalised one, query, attention's output, two sums, a gated MLP.
    block = length * (6 * d + 3 * d_mlp) * size
    # Scores and their softmax in float32, as if no fused kernel were at hand; the logits below alike.
    attention = heads * length * (prefix + length) * 8
    return cache + block + attention + logits * backbone.vocab_size * 8


def first_batch(
    backbone: Backbone,
    most: int,
    *,
    length: int,
    prefix: int = 0,
    logits: int = 0,
    copies: int = 1,
    what: str = "rows",
) -> BatchSize:
    """Rows to start with: `most`, or as many as fit into the free memory by :func:`row_bytes`, at least 1.

    Where the free memory cannot be told (other devices than CUDA GPUs and Linux CPUs), `most`. Of a model spread over
    devices, the one with the embeddings counts. The result of what is computed does not depend on it. One row becomes
    `copies` of the pass, such as beams; `what` the rows are is for the log.
    """
    free = free_bytes(backbone.device) if most > 1 else None
    if free is None:
        return BatchSize(most, what=what)
    each = copies * row_bytes(backbone, length=length, prefix=prefix, logits=logits)
    size = max(1, min(most, int(SHARE * free) // each))
    if size < most:
        logger.info(
            "%.2f GB are free on %s and one of the %s takes about %.0f MB: %d at once, not %d",
            free / 1e9, backbone.device, what, each / 1e6, size, most,
        )  # fmt: skip
    return BatchSize(size, what=what)

"""A frozen causal language model: embeddings in, hidden states and chosen logits out; and what families differ in.

Most multiply the last hidden state with the output embedding and nothing else. Granite divides the product
(`logits_scaling`), Cohere multiplies it (`logit_scale`), Gemma 2 bends it by a soft cap (`final_logit_softcapping`).
Gemma multiplies what it looks up in the embedding table by the square root of its width; Granite multiplies whatever
comes in, looked up or handed in.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Sequence
from functools import cache as once
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .._device import BatchSize, free_bytes, pick_device
from .._logging import logger
from ..errors import InputError, WeightsError
from ._loading import DType, Quantize, load_files, load_folder, pick_dtype, quantisation
from .resolve import resolve

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

# Families whose logits are known to be the output embedding times the last hidden state and nothing else. All others
# are compared with the model's own at loading.
_PLAIN_HEADS = frozenset({"llama", "mistral", "qwen2", "qwen3", "gpt_neox", "gpt2"})


class _Reached(Exception):  # noqa: N818 - control flow, not an error
    """Ends a forward pass once the wanted layer has run."""


class Backbone:
    """A frozen causal language model of transformers that reads embeddings.

    Soft tokens live where :meth:`embed_tokens` puts words, so that no family scales either of them twice.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str = "custom", sha256: str = ""
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise WeightsError(f"The tokenizer of {name!r} names no end-of-sequence token (eos_token).")
        self.tokenizer, self.name = tokenizer, name
        self.eos_id = int(tokenizer.eos_token_id)  # ends an answer
        self.bos_ids = _bos_ids(tokenizer)  # `[bos]` where the tokenizer puts one before every text, else `[]`
        self.model = model.eval().requires_grad_(False)
        self.sha256 = sha256  # identity of its weights and tokenizer
        self.answers: dict[str, list[int]] = {}  # token ids of the names that were asked about
        # The parts of a transformers model are typed "Tensor | Module": said once here what they are.
        parts: Any = model
        self._embedding = parts.get_input_embeddings()
        self.head = Head(model, name)  # from last hidden states to logits, as the family does it
        self._base = parts.base_model
        # Left out, families count positions from the cache, which is wrong where rows are padded.
        self._takes_positions = "position_ids" in inspect.signature(self._base.forward).parameters
        self.d_llm = int(self._embedding.weight.shape[1])  # width of the input embeddings
        self.layers = _find_layers(self._base, int(model.config.get_text_config().num_hidden_layers))
        self.n_layers = len(self.layers)
        # Models that read with its weights and an adapter, see llm/adapter.py; by adapter, as long as that is held.
        self.twins: WeakKeyDictionary[Any, Backbone] = WeakKeyDictionary()
        check_placement(name, embedding=self._embedding, head=self.head)

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        dtype: DType = "auto",
        device: str = "auto",
        quantize: Quantize | None = None,
        device_map: str | dict[str, Any] | None = None,
    ) -> Backbone:
        """Load a language model by name, folder, `.gguf` file or pinned hub id (see :func:`~.resolve.resolve`), frozen.

        `dtype` `"auto"` is bfloat16 where the processor computes in it, else float32; training and comparisons to 1e-4
        need `"float32"`. `device` `"auto"` is `settings.device`, else the first GPU, else the CPU. `quantize` packs
        blocks into 8 or 4 bits by bitsandbytes, embeddings and head as they are; GPU only. `device_map` spreads the
        blocks over devices or to the disk as transformers does, in place of `device`; embeddings and head must not be
        offloaded.

        Raises :class:`InputError` for an option that is unknown or needs a GPU, :class:`OptionalDependencyError`
        without bitsandbytes, :class:`WeightsError` where the weights are missing, truncated, pickled, need code from
        the folder, or are not a causal language model, and :class:`OfflineError` where they cannot be fetched.
        """
        target = pick_device(device)
        wanted = pick_dtype(dtype, target)
        packing = quantisation(quantize, target, wanted)
        resolved = resolve(name_or_path)
        load = partial(load_folder, dtype=wanted, device=target, quantisation=packing, device_map=device_map)
        model, tokenizer = load_files(resolved, load)
        # After loading: accelerate has placed the blocks by now.
        keep_on_one_device(model)
        backbone = cls(model, tokenizer, name=resolved.name, sha256=resolved.sha256)
        backbone._check_head()
        return backbone

    @cached_property
    def embedding_norm(self) -> float:
        """Mean Euclidean norm of an embedded token, as :meth:`embed_tokens` gives it."""
        norm = float(self._embedding.weight.detach().float().norm(dim=1).mean())
        return norm * lookup_scale(self._embedding)

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the weights."""
        return self._embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._embedding.weight.device

    def to(self, device: str) -> Backbone:
        """Move the weights; `"auto"` leaves them where they are. Spread or quantised ones cannot be moved."""
        if device == "auto" or (target := pick_device(device)) == self.device:
            return self
        if getattr(self.model, "hf_device_map", None) or getattr(self.model, "is_quantized", False):
            raise InputError(f"{self.name!r} was loaded with quantize= or device_map=; load it anew on {device!r}.")
        module: Any = self.model
        module.to(target)
        self.twins.clear()  # they share some weights with it and not others
        return self

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding matrix."""
        return int(self._embedding.weight.shape[0])

    def __repr__(self) -> str:
        return f"Backbone({self.name!r}, d_llm={self.d_llm}, layers={self.n_layers}, {self.dtype}, {self.device})"

    def encode(self, text: str, *, allow_special: bool = True) -> list[int]:
        """Tokenise, adding no special tokens.

        Strings such as `<|im_end|>` become the special token of that name only where `allow_special` says so: False for
        text that users wrote.
        """
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not allow_special))

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Turn token ids into text, as they stand: no spaces are cleaned up."""
        return str(
            self.tokenizer.decode(
                list(map(int, ids)), skip_special_tokens=skip_special, clean_up_tokenization_spaces=False
            )
        )

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """Look up token embeddings: int64 (...) to (..., d_llm) in the model's dtype."""
        return self._embedding(ids.to(self.device))

    def hidden(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None = None,
        past: Cache | None = None,
        position_ids: Tensor | None = None,
        use_cache: bool = False,
    ) -> tuple[Tensor, Cache | None]:
        """Run the model without its head. Gradients flow to `inputs_embeds` (n, T, d_llm) where the caller has them on.

        `attention_mask` is (n, T) or, with a cache `past` of P positions, (n, P + T): 1 for tokens, 0 for padding,
        either side; with T columns only, every cached position counts as a token. transformers extends `past` in place:
        hand in a copy to keep it. `position_ids` (n, T) are the number of tokens before, not counting padding, if not
        given.

        Returns hidden states after the final norm (n, T, d_llm) in the model's dtype, and the cache or None.
        """
        n, length, _ = inputs_embeds.shape
        mask = self._full_mask(attention_mask, n, length, past)
        if position_ids is None:
            # Padding takes no position, on either side.
            position_ids = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -length:]
        extra = {"position_ids": position_ids.to(self.device)} if self._takes_positions else {}
        output = self._base(
            inputs_embeds=inputs_embeds.to(device=self.device, dtype=self.dtype),
            attention_mask=mask,
            use_cache=use_cache,
            **{cache_name(): past},
            **extra,
        )
        return output.last_hidden_state, cache_of(output) if use_cache else None

    def _full_mask(self, mask: Tensor | None, n: int, length: int, past: Cache | None) -> Tensor:
        before = 0 if past is None else int(past.get_seq_length())
        if mask is None:
            return torch.ones(n, before + length, dtype=torch.long, device=self.device)
        mask = mask.to(device=self.device, dtype=torch.long)
        missing = before + length - mask.shape[1]
        return torch.cat([mask.new_ones(n, missing), mask], dim=1) if missing else mask

    def reading_with(self, adapter: Any | None) -> Backbone:
        """Return the model with an :class:`~.adapter.Adapter` merged in, one for all that read so; itself for None."""
        if adapter is None:
            return self
        if adapter not in self.twins:
            self.twins[adapter] = adapter.merged_into(self)
        return self.twins[adapter]

    def logits(self, hidden: Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., vocab_size), float32, of hidden states (..., d_llm)."""
        return self.head.finish(self.head.raw(hidden))

    def layer_states(self, ids: Tensor, attention_mask: Tensor, layer: int) -> Tensor:
        """Hidden states (n, T, d_llm) after `layer` blocks; the blocks behind are not computed.

        `ids` and `attention_mask` are (n, T), padded on the right. Layer 0 gives the token embeddings, `n_layers` the
        states after the last block and the final norm.
        """
        if not 0 <= layer <= self.n_layers:
            raise InputError(f"layer must be in 0..{self.n_layers} for {self.name!r}, found {layer}.")
        embeds = self.embed_tokens(ids)
        if layer == 0:
            # Granite multiplies inside the model what others multiply at lookup or not at all.
            return embeds * float(getattr(self._base, "embedding_multiplier", 1.0))
        if layer == self.n_layers:
            return self.hidden(embeds, attention_mask)[0]
        caught: list[Tensor] = []

        def stop(module: nn.Module, args: Any, output: Any) -> None:
            caught.append(output[0] if isinstance(output, tuple) else output)
            raise _Reached

        # A hook and not `output_hidden_states`, which computes and keeps all layers.
        hook = self.layers[layer - 1].register_forward_hook(stop)
        try:
            with contextlib.suppress(_Reached):
                self.hidden(embeds, attention_mask)
        finally:
            hook.remove()
        return caught[0]

    @torch.no_grad()
    def _check_head(self) -> None:
        """Refuse a family whose logits are more than a linear head, instead of scoring wrongly."""
        if self.model.config.model_type in _PLAIN_HEADS:
            return
        ids = torch.tensor([[self.eos_id, 0, self.eos_id]], device=self.device)
        own = self.model(input_ids=ids).logits.float()
        ours = self.logits(self.hidden(self.embed_tokens(ids))[0])
        tolerance = 1e-3 if self.dtype == torch.float32 else 0.1
        if not torch.allclose(own, ours, atol=tolerance * max(1.0, float(own.abs().max()))):
            raise WeightsError(
                f"{self.name!r} is a {self.model.config.model_type!r} model, whose logits are not a scaled or capped "
                f"product with its output embedding (largest difference {float((own - ours).abs().max()):.3g}). Use a "
                "Llama, Mistral, Qwen, Granite, Gemma, Phi or GPT-NeoX style model."
            )


def _find_layers(base: nn.Module, count: int) -> nn.ModuleList:
    """Find the stack of transformer blocks, whatever it is called."""
    for module in base.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise WeightsError(f"{type(base).__name__} has no list of {count} blocks; use a decoder-only language model.")


def _bos_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    bos = tokenizer.bos_token_id
    # Having a BOS token is not adding it: SmolLM2 names <|im_start|> and puts nothing before a text.
    ids = tokenizer.encode("a", add_special_tokens=True)
    return [int(bos)] if bos is not None and ids and ids[0] == bos else []


_SAMPLE = 64


class Head:
    """The way from last hidden states to logits of a causal language model of transformers, as its family does it.

    `scale` multiplies the product with the output embedding; `cap` is the c of c · tanh(x / c), or None.
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
        return self._linear.weight.device

    def raw(self, hidden: Tensor) -> Tensor:
        """Multiply hidden states (..., d) with the output embedding: (..., vocab_size), float32, nothing else done."""
        weight, bias = self._linear.weight, getattr(self._linear, "bias", None)
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
    # Found out by trying: families name the factor differently, or not at all.
    ids = torch.arange(min(_SAMPLE, table.shape[0]), device=table.device)
    found: Tensor = embedding(ids)
    return float(found.float().norm() / table[ids].float().norm().clamp(min=1e-12))


@once
def cache_name() -> str:
    """Name the argument that takes earlier keys and values: `past_key_values`, or `cache` from transformers 5.24 on."""
    from transformers.modeling_outputs import BaseModelOutputWithPast

    return "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"


def cache_of(output: Any) -> Any:
    """Keys and values in a model's output; None of a model that has none."""
    return getattr(output, cache_name(), None)


def keep_on_one_device(model: PreTrainedModel) -> None:
    """Have a spread model hand its last hidden states back where its embeddings are, and keep the head there.

    Prompts are put together beside the embedding table and read out there, wherever the blocks between are.
    """
    places = getattr(model, "hf_device_map", None) or {}
    if len(set(map(str, places.values()))) < 2:
        return
    from accelerate.hooks import (  # type: ignore[import-untyped]
        AlignDevicesHook,
        add_hook_to_module,
        remove_hook_from_module,
    )

    parts: Any = model
    # Where prompts are put together and read out.
    home, head = parts.get_input_embeddings().weight.device, parts.get_output_embeddings()
    if head.weight.device.type != "meta" and head.weight.device != home:
        remove_hook_from_module(head)
        head.to(home)
    if home.type != "meta":
        hook = AlignDevicesHook(execution_device=home, io_same_device=True, skip_keys=cache_name())
        add_hook_to_module(parts.base_model, hook, append=True)


def check_placement(name: str, *, embedding: nn.Module, head: Head) -> None:
    """Refuse a model whose embedding table or head was left on the disk: label scores read rows of both."""
    table: Any = embedding.weight
    for part, device in (("embedding table", table.device), ("output embedding", head.device)):
        # What lies on the disk shows as a tensor without content.
        if device.type == "meta":
            raise WeightsError(
                f"The {part} of {name!r} was offloaded by device_map=. Keep embeddings and head on a device, offload "
                "blocks ('model.layers.7': 'disk') only."
            )


# ------------------------------------------------------------------ how many rows it reads at once

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

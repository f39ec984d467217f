"""The beginning of a prompt that all rows share, run once, and passes over many short rows behind it.

A row of a dozen tokens behind a beginning of sixty spends more time on copying the beginning's keys and values than on
attending to them. Several rows are therefore laid side by side in one sequence, kept apart by the attention mask, so
that the shared keys and values are repeated once for all of them.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InputError
from .backbone import cache_name, cache_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Cache

    from .backbone import Backbone


class PrefixCache:
    """Keys and values of the prompt's beginning (P, d_llm), computed once and reused by every row and every batch.

    They carry no gradient: what stands in the beginning (the instruction, the start marker) is not trained. Only of a
    language model that itself `learns` they do, and hold for one step. `length` is P.
    """

    def __init__(self, backbone: Backbone, inputs_embeds: Tensor, *, learns: bool = False) -> None:
        embeds = inputs_embeds.reshape(1, -1, backbone.d_llm).to(device=backbone.device, dtype=backbone.dtype)
        learns = learns and torch.is_grad_enabled()
        # Not inference mode, even inside a caller's: its tensors could not serve training later.
        with torch.inference_mode(False), torch.set_grad_enabled(learns):
            embeds = embeds if learns else embeds.detach().clone()
            _, cache = backbone.hidden(embeds, use_cache=True)
        if cache is None or not all(hasattr(layer, "keys") for layer in cache.layers):
            raise InputError(f"{backbone.name!r} keeps no keys and values for each layer; use an attention model.")
        self.length = int(embeds.shape[1])
        self.shared: Cache = cache  # as it is stored, batch size one: hand `expand` to a model, never this

    def expand(self, n: int) -> Cache:
        """Return a new cache of `n` equal rows, which a forward pass may extend; write nothing into its tensors."""
        return expand_cache(self.shared, n)


def suffix_hidden(
    backbone: Backbone,
    prefix: PrefixCache,
    inputs_embeds: Tensor,
    attention_mask: Tensor | None = None,
    *,
    tried: Backbone | None = None,
) -> Tensor:
    """Hidden states (n, T, d_llm) of what follows the prefix: the same as of a pass over prefix and suffix together.

    `attention_mask` (n, T) is 1 for tokens and 0 for padding, on either side, where states mean nothing. Gradients flow
    to `inputs_embeds`. Rows are laid side by side, which changes speed and memory only; whether the model allows that
    is tried out on `tried` in its place.
    """
    mask = suffix_mask(backbone, inputs_embeds, attention_mask)
    n, length, _ = inputs_embeds.shape
    pack = pack_size(length, n)
    check_attention(tried or backbone, prefix.length + pack * length)
    positions = prefix.length + (mask.long().cumsum(1) - 1).clamp(min=0)
    hidden, _ = run_packed(backbone, prefix.shared, inputs_embeds, causal(mask), positions, pack=pack)
    return hidden


def suffix_mask(backbone: Backbone, inputs_embeds: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Which positions of a suffix are tokens: bool (n, T), or (1, T) where all are."""
    if attention_mask is None:
        return torch.ones(1, inputs_embeds.shape[1], dtype=torch.bool, device=backbone.device)
    mask = attention_mask.to(device=backbone.device, dtype=torch.bool)
    # One row stands for all where nothing is padded: masks are then laid once.
    return mask[:1] if bool(mask.all()) else mask


def causal(mask: Tensor) -> Tensor:
    """Which tokens each token of a row sees: itself and the tokens before it; bool (n, T) to (n, T, T)."""
    length = mask.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    # Padding sees itself, so that its states are numbers; nothing else sees it.
    return (before & mask[:, None, :]) | torch.eye(length, dtype=torch.bool, device=mask.device)


# Tokens laid side by side in one sequence. Fewer copy more, more attend to masked neighbours; with SmolLM2-135M and
# suffixes of eight tokens, 24 to 72 differ by less than a tenth and all beat one row a sequence by 40 %.
PACK_TOKENS = 48
_TRIED: weakref.WeakSet[Backbone] = weakref.WeakSet()
_INSTEAD = "Use a Llama, Mistral, Qwen or GPT-NeoX style model."


@dataclass(frozen=True, eq=False)
class RowStates:
    """Keys and values (n, heads, S, head_dim) of each layer: each row's own S tokens, without the shared beginning."""

    layers: list[tuple[Tensor, Tensor]]

    @property
    def length(self) -> int:
        """Tokens S of each row."""
        return int(self.layers[0][0].shape[2])

    def packed(self, rows: Tensor, pack: int) -> list[tuple[Tensor, Tensor]]:
        """Lay `pack` rows side by side: (m / pack, heads, pack · S, head_dim) for the m rows asked for."""

        def one(states: Tensor) -> Tensor:
            chosen = states.index_select(0, rows)
            n, heads, length, dim = chosen.shape
            side_by_side = chosen.view(n // pack, pack, heads, length, dim).transpose(1, 2)
            return side_by_side.reshape(n // pack, heads, pack * length, dim)

        return [(one(keys), one(values)) for keys, values in self.layers]


def check_attention(backbone: Backbone, length: int) -> None:
    """Refuse language models in which a mask and position numbers do not say all about what a token sees.

    A model met for the first time is tried on a handful of tokens, laid side by side and one by one. `length` is the
    longest sequence that will be read, with everything that is laid side by side.
    """
    name = f"{backbone.name!r} ({backbone.model.config.get_text_config().model_type})"
    if length > (window := looks_back(backbone)):
        raise InputError(
            f"The prompt takes {length} positions, {name} looks back {window}. Use fewer or shorter labels, or another "
            "model."
        )
    if backbone in _TRIED:
        return
    if _attention(backbone) not in {"sdpa", "eager"}:
        raise InputError(f"{name} was loaded with attention {_attention(backbone)!r}; load it with 'sdpa' or 'eager'.")
    if "position_ids" not in inspect.signature(backbone.model.base_model.forward).parameters:
        raise InputError(f"{name} takes no position numbers (position_ids), which scoring needs. Use another model.")
    with torch.no_grad(), torch.autocast(backbone.device.type, enabled=False):
        _try_out(backbone, name)
    _TRIED.add(backbone)


def looks_back(backbone: Backbone) -> float:
    """How many positions a layer may see at most, itself included; infinity where all."""
    config = backbone.model.config.get_text_config()
    kinds, window = (getattr(config, name, None) for name in ("layer_types", "sliding_window"))
    return math.inf if window is None or (kinds and "sliding_attention" not in kinds) else window


def _try_out(backbone: Backbone, name: str) -> None:
    ids = torch.arange(8, device=backbone.device) % backbone.model.config.get_text_config().vocab_size
    embeds = backbone.embed_tokens(ids)
    first, rows = embeds[None, :2], embeds[2:].view(2, 3, -1)
    cache = PrefixCache(backbone, first).shared
    allowed = torch.ones(1, 3, 3, dtype=torch.bool, device=backbone.device).tril()
    positions = torch.arange(2, 5, device=backbone.device)[None]
    try:
        packed, _ = run_packed(backbone, cache, rows, allowed, positions, pack=2)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} takes no mask for each token ({error}). {_INSTEAD}") from error
    plain, _ = backbone.hidden(torch.cat([first.expand(2, -1, -1), rows], dim=1))
    wanted = plain[:, 2:].float()
    # As a share of the states' own length: families differ in how large their states are.
    gap = float((packed.float() - wanted).norm() / wanted.norm().clamp(min=1e-12))
    if not gap < (1e-3 if backbone.dtype == torch.float32 else 0.1):
        raise InputError(
            f"{name} gives other states for rows that are laid side by side (relative difference {gap:.2g}): a mask "
            f"does not say all about what its tokens see. {_INSTEAD}"
        )


def _attention(backbone: Backbone) -> str:
    return str(getattr(backbone.model.config.get_text_config(), "_attn_implementation", "eager"))


@contextlib.contextmanager
def _attending(backbone: Backbone, kind: str) -> Iterator[str]:
    before = _attention(backbone)
    if kind == before:
        yield kind
        return
    backbone.model.set_attn_implementation(kind)
    try:
        yield kind
    finally:
        backbone.model.set_attn_implementation(before)


def expand_cache(cache: Cache, n: int, extra: Sequence[tuple[Tensor, Tensor]] | None = None) -> Cache:
    """Return a cache of batch size `n` that begins with `cache` (of batch size one), followed by `extra` in each layer.

    It looks at the stored keys and values; nothing is copied before a forward pass appends to them, which makes new
    tensors. The stored ones are never written to.
    """
    new = copy.copy(cache)
    layers: list[Any] = list(map(copy.copy, cache.layers))
    new.layers = layers
    for i, layer in enumerate(layers):
        keys, values = (part.expand(n, -1, -1, -1) for part in (layer.keys, layer.values))
        if extra is not None:
            keys, values = torch.cat([keys, extra[i][0]], dim=2), torch.cat([values, extra[i][1]], dim=2)
        layer.keys, layer.values = keys, values
    return new


def pack_size(tokens: int, n: int) -> int:
    """How many of `n` rows of `tokens` tokens to lay side by side."""
    return max(1, min(n, round(PACK_TOKENS / tokens)))


def run_packed(
    backbone: Backbone,
    shared: Cache,
    embeds: Tensor,
    allowed: Tensor,
    positions: Tensor,
    *,
    pack: int,
    before: tuple[RowStates, Tensor] | None = None,
    keep: bool = False,
) -> tuple[Tensor, RowStates | None]:
    """Run rows `embeds` (n, T, d_llm) behind the `shared` beginning of P tokens (batch size one, never changed).

    `allowed`, bool (n or 1, T, S + T), says which of the row's own earlier (S) and present (T) tokens each token sees;
    every token must see itself, since a row of nothing but -inf would give NaN, and all see the beginning. `positions`,
    int64 (n or 1, T), are counted from the start of the prompt. `pack` rows are laid side by side. `before` holds keys
    and values of earlier tokens, and which of its rows belong to these, int64 (n,).

    Returns the last hidden states (n, T, d_llm), and keys and values of the T tokens where they are to be kept.
    """
    n, length, width = embeds.shape
    behind = 0 if before is None else before[0].length
    groups = -(-n // pack)
    spare = groups * pack - n
    if spare:
        # Rows to fill the last group; nothing sees them and their states are dropped.
        embeds = torch.cat([embeds, embeds.new_zeros(spare, length, width)])
    extra = None
    if before is not None:
        states, rows = before
        extra = states.packed(torch.cat([rows, rows.new_zeros(spare)]), pack)
    prefix = int(shared.get_seq_length())
    mask = _lay_mask(allowed, groups, pack, prefix, behind)
    positions = _by_row(positions, groups * pack).reshape(groups, pack * length)
    # On a CPU, the fused attention's backward pass costs more than all it saves: plain products train a quarter faster.
    learning = torch.is_grad_enabled() and backbone.device.type == "cpu"
    with _attending(backbone, "eager" if learning else _attention(backbone)) as kind:
        if kind != "sdpa":
            dtype = backbone.dtype
            # Eager attention adds its mask. The least number and not -inf, which gives NaN where a row sees nothing.
            mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
        output = backbone.model.base_model(
            inputs_embeds=embeds.to(device=backbone.device, dtype=backbone.dtype).reshape(groups, pack * length, width),
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            **{cache_name(): expand_cache(shared, groups, extra)},
        )
    hidden = output.last_hidden_state.reshape(groups * pack, length, -1)[:n]
    if not keep:
        return hidden, None

    def own(part: Tensor) -> Tensor:
        heads, dim = part.shape[1], part.shape[3]
        last = part[:, :, -pack * length :].reshape(groups, heads, pack, length, dim)
        return last.transpose(1, 2).reshape(groups * pack, heads, length, dim)[:n]

    return hidden, RowStates([(own(layer.keys), own(layer.values)) for layer in cache_of(output).layers])


def _by_row(values: Tensor, rows: int) -> Tensor:
    """Repeat a common first row, or the last one for the rows that fill the last group."""
    if values.shape[0] == 1:
        return values.expand(rows, *values.shape[1:])
    spare = rows - values.shape[0]
    return torch.cat([values, values[-1:].expand(spare, *values.shape[1:])]) if spare else values


def _lay_mask(allowed: Tensor, groups: int, pack: int, prefix: int, behind: int) -> Tensor:
    """From what each row sees of itself to the mask (groups, 1, pack · T, prefix + pack · (S + T)) of packed rows."""
    length = allowed.shape[1]
    common = allowed.shape[0] == 1
    by_group = (allowed.expand(pack, -1, -1) if common else _by_row(allowed, groups * pack)).reshape(
        -1, pack, length, behind + length
    )
    m = by_group.shape[0]
    mask = torch.zeros(m, pack, length, prefix + pack * (behind + length), dtype=torch.bool, device=allowed.device)
    mask[..., :prefix] = True
    # Columns: the beginning, then all rows' earlier tokens, then all rows' present ones.
    own = prefix + pack * behind
    for i in range(pack):
        mask[:, i, :, prefix + i * behind : prefix + (i + 1) * behind] = by_group[:, i, :, :behind]
        mask[:, i, :, own + i * length : own + (i + 1) * length] = by_group[:, i, :, behind:]
    mask = mask.view(m, 1, pack * length, -1)
    return mask.expand(groups, -1, -1, -1) if common else mask

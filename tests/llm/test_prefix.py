from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from scbioverse.errors import InputError
from scbioverse.llm import prefix as prefixes
from scbioverse.llm.prefix import PrefixCache, suffix_hidden
from tests._precision import STATES

if TYPE_CHECKING:
    from scbioverse.llm.backbone import Backbone


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def full(backbone: Backbone, prefix: Tensor, suffix: Tensor) -> Tensor:
    """States of one row's suffix by one plain forward pass over everything."""
    embeds = torch.cat([prefix, suffix])[None]
    out = backbone.model.base_model(inputs_embeds=embeds, use_cache=False)
    return out.last_hidden_state[0, len(prefix) :]


def read(
    backbone: Backbone, prefix: PrefixCache, suffix: Tensor, mask: Tensor | None = None, pack: int | None = None
) -> Tensor:
    """States without a gradient; with `pack` rows side by side."""
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        if pack is not None:
            patch.setattr(prefixes, "pack_size", lambda tokens, n: min(pack, n))
        return suffix_hidden(backbone, prefix, suffix, mask)


@pytest.fixture(params=["tiny_backbone", "tiny_backbone_untied"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("n", [1, 3, 17])
@pytest.mark.parametrize("pack", [None, 1, 4, 100])
def test_equals_a_full_pass(backbone: Backbone, n: int, pack: int | None) -> None:
    start, suffix = draw(9, backbone.d_llm), draw(n, 5, backbone.d_llm, seed=1)
    hidden = read(backbone, PrefixCache(backbone, start), suffix, pack=pack)
    wanted = torch.stack([full(backbone, start, row) for row in suffix])
    torch.testing.assert_close(hidden, wanted, atol=STATES, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pack", [1, 3])
def test_rows_of_several_lengths(backbone: Backbone, side: str, pack: int) -> None:
    start, lengths = draw(7, backbone.d_llm), [5, 1, 3, 5, 2, 4, 1]
    rows = [draw(k, backbone.d_llm, seed=i) for i, k in enumerate(lengths)]
    suffix = 9.0 * torch.ones(7, 5, backbone.d_llm)  # what stands in the padding must not matter
    mask = torch.zeros(7, 5, dtype=torch.long)
    for i, row in enumerate(rows):
        here = slice(5 - len(row), 5) if side == "left" else slice(len(row))
        suffix[i, here], mask[i, here] = row, 1
    hidden = read(backbone, PrefixCache(backbone, start), suffix, mask, pack=pack)
    assert torch.isfinite(hidden).all()
    for i, row in enumerate(rows):
        torch.testing.assert_close(hidden[i][mask[i].bool()], full(backbone, start, row), atol=STATES, rtol=0)


def test_row_order_and_batch_do_not_matter(backbone: Backbone) -> None:
    prefix, suffix = PrefixCache(backbone, draw(6, backbone.d_llm)), draw(11, 4, backbone.d_llm, seed=1)
    whole = suffix_hidden(backbone, prefix, suffix)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(suffix_hidden(backbone, prefix, suffix[order]), whole[order], atol=STATES, rtol=0)
    parts = torch.cat([suffix_hidden(backbone, prefix, suffix[:2]), suffix_hidden(backbone, prefix, suffix[2:])])
    torch.testing.assert_close(parts, whole, atol=STATES, rtol=0)


@pytest.mark.parametrize("pack", [1, 4])
def test_gradients_equal_those_of_a_full_pass(backbone: Backbone, pack: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = draw(6, backbone.d_llm)
    weight = draw(5, 4, backbone.d_llm, seed=3)
    ours = draw(5, 4, backbone.d_llm, seed=1).requires_grad_()
    monkeypatch.setattr(prefixes, "pack_size", lambda tokens, n: pack)
    (suffix_hidden(backbone, PrefixCache(backbone, start), ours) * weight).sum().backward()
    plain = draw(5, 4, backbone.d_llm, seed=1).requires_grad_()
    (torch.stack([full(backbone, start, row) for row in plain]) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad, atol=STATES, rtol=STATES)
    assert all(p.grad is None for p in backbone.model.parameters())


def test_training_twice_on_one_prefix(backbone: Backbone) -> None:
    with torch.inference_mode():  # as when a user scores first and trains next
        prefix = PrefixCache(backbone, draw(6, backbone.d_llm))
        read(backbone, prefix, draw(2, 3, backbone.d_llm))
    assert not any(layer.keys.is_inference() or layer.values.is_inference() for layer in prefix.shared.layers)
    results = []
    for _ in range(2):
        suffix = draw(5, 3, backbone.d_llm, seed=1).requires_grad_()
        suffix_hidden(backbone, prefix, suffix).square().sum().backward()
        results.append(suffix.grad)
    assert torch.equal(*results)


def test_no_graph_without_grad(tiny_backbone: Backbone) -> None:
    prefix = PrefixCache(tiny_backbone, draw(3, 32).requires_grad_())
    suffix = draw(2, 3, 32).requires_grad_()
    assert not read(tiny_backbone, prefix, suffix).requires_grad
    assert suffix_hidden(tiny_backbone, prefix, suffix).requires_grad
    assert not any(layer.keys.requires_grad for layer in prefix.shared.layers)


def test_stored_keys_and_values_never_change(backbone: Backbone) -> None:
    prefix = PrefixCache(backbone, draw(6, backbone.d_llm))
    kept = [(layer.keys.clone(), layer.values.clone()) for layer in prefix.shared.layers]
    suffix_hidden(backbone, prefix, draw(5, 3, backbone.d_llm))
    first, second = prefix.expand(4), prefix.expand(4)
    backbone.hidden(draw(4, 3, backbone.d_llm), past=first, use_cache=True)
    assert first.get_seq_length() == 9
    assert second.get_seq_length() == prefix.length == 6
    assert prefix.shared.get_seq_length() == 6
    for layer, (keys, values) in zip(prefix.shared.layers, kept, strict=True):
        assert torch.equal(layer.keys, keys)
        assert torch.equal(layer.values, values)


def test_expanded_cache_serves_the_plain_path(backbone: Backbone) -> None:
    start, suffix = draw(6, backbone.d_llm), draw(4, 3, backbone.d_llm, seed=1)
    prefix = PrefixCache(backbone, start)
    hidden, _ = backbone.hidden(suffix, past=prefix.expand(4), use_cache=True)
    torch.testing.assert_close(hidden, read(backbone, prefix, suffix), atol=STATES, rtol=0)
    torch.testing.assert_close(hidden[2], full(backbone, start, suffix[2]), atol=STATES, rtol=0)


def test_prefix_does_not_hold_on_to_its_input(tiny_backbone: Backbone) -> None:
    start, suffix = draw(4, 32), draw(3, 3, 32)
    prefix = PrefixCache(tiny_backbone, start)
    before = suffix_hidden(tiny_backbone, prefix, suffix)
    start.zero_()
    assert torch.equal(suffix_hidden(tiny_backbone, prefix, suffix), before)


def test_language_model_is_unchanged(backbone: Backbone) -> None:
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    suffix = draw(3, 3, backbone.d_llm).requires_grad_()
    suffix_hidden(backbone, PrefixCache(backbone, draw(4, backbone.d_llm)), suffix).sum().backward()
    after = backbone.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_eager_attention_gives_the_same(tiny_backbone: Backbone) -> None:
    start, suffix = draw(6, 32), draw(7, 4, 32, seed=1)
    mask = torch.ones(7, 4, dtype=torch.long)
    mask[2, 0] = 0
    sdpa = read(tiny_backbone, PrefixCache(tiny_backbone, start), suffix, mask, pack=3)
    tiny_backbone.model.set_attn_implementation("eager")
    eager = read(tiny_backbone, PrefixCache(tiny_backbone, start), suffix, mask, pack=3)
    torch.testing.assert_close(sdpa[mask.bool()], eager[mask.bool()], atol=STATES, rtol=0)


def test_training_leaves_the_attention_as_it_was(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    config, seen = tiny_backbone.model.config, []
    whole = tiny_backbone.model.base_model.forward

    def look(*args: object, **kwargs: object) -> object:
        seen.append(config._attn_implementation)
        return whole(*args, **kwargs)

    prefix, suffix = PrefixCache(tiny_backbone, draw(6, 32)), draw(3, 4, 32).requires_grad_()
    read(tiny_backbone, prefix, suffix)
    monkeypatch.setattr(tiny_backbone.model.base_model, "forward", look)
    suffix_hidden(tiny_backbone, prefix, suffix)
    read(tiny_backbone, prefix, suffix)
    assert seen == ["eager", "sdpa"]
    assert config._attn_implementation == "sdpa"


def test_half_precision_weights_take_and_give_gradients(tiny_backbone: Backbone) -> None:
    tiny_backbone.model.to(torch.bfloat16)
    prefix, suffix = PrefixCache(tiny_backbone, draw(6, 32)), draw(5, 3, 32).requires_grad_()
    hidden = suffix_hidden(tiny_backbone, prefix, suffix)
    hidden.float().sum().backward()
    assert hidden.dtype == torch.bfloat16
    assert suffix.grad.dtype == torch.float32
    assert suffix.grad.abs().sum() > 0


def test_autocast_over_float32_weights(tiny_backbone: Backbone) -> None:
    prefix, suffix = PrefixCache(tiny_backbone, draw(6, 32)), draw(5, 3, 32).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = suffix_hidden(tiny_backbone, prefix, suffix)
    hidden.float().sum().backward()
    assert torch.isfinite(suffix.grad).all()
    exact = read(tiny_backbone, prefix, suffix.detach())
    assert ((hidden.float() - exact).norm() / exact.norm()).item() < 0.05


def make(config: object, tiny_backbone: Backbone) -> Backbone:
    from transformers import AutoModelForCausalLM

    from scbioverse.llm.backbone import Backbone

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Backbone(AutoModelForCausalLM.from_config(config).float(), tiny_backbone.tokenizer)


SMALL = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def test_a_window_shorter_than_the_prompt_is_refused(tiny_backbone: Backbone) -> None:
    from transformers import MistralConfig

    config = MistralConfig(**SMALL, intermediate_size=64, num_key_value_heads=2, sliding_window=12)
    backbone = make(config, tiny_backbone)
    prefix, suffix = PrefixCache(backbone, draw(6, 32)), draw(4, 3, 32, seed=1)
    hidden = read(backbone, prefix, suffix, pack=2)
    torch.testing.assert_close(hidden[1], full(backbone, draw(6, 32), suffix[1]), atol=STATES, rtol=0)
    with pytest.raises(InputError, match="looks back 12"):
        read(backbone, prefix, draw(4, 7, 32), pack=1)


def test_a_model_that_counts_positions_itself_is_refused(tiny_backbone: Backbone) -> None:
    from transformers import BloomConfig

    backbone = make(BloomConfig(vocab_size=320, hidden_size=32, n_layer=2, n_head=4), tiny_backbone)
    with pytest.raises(InputError, match="position"):
        suffix_hidden(backbone, PrefixCache(backbone, draw(6, 32)), draw(4, 3, 32))


def test_learned_positions(tiny_backbone: Backbone) -> None:
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2)
    backbone = make(config, tiny_backbone)
    start, suffix = draw(6, 32), draw(5, 3, 32, seed=1)
    hidden = read(backbone, PrefixCache(backbone, start), suffix, pack=3)
    wanted = torch.stack([full(backbone, start, row) for row in suffix])
    torch.testing.assert_close(hidden, wanted, atol=STATES, rtol=0)

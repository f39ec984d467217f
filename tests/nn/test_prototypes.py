from __future__ import annotations

import pytest
import torch

from scbioverse.errors import InputError, MismatchError
from scbioverse.nn import CandidateTokens, PrototypeProjector
from tests._precision import SMALL_NET


def make(**changes: object) -> PrototypeProjector:
    torch.manual_seed(0)
    sizes = {"dim": 6, "n_tokens": 2, "n_soft": 3, "d_llm": 16, "n_prototypes": 5, "share_dropped": 0.1, **changes}
    return PrototypeProjector(**sizes)


def test_shape_and_dtype() -> None:
    soft = make().eval()(torch.randn(4, 2, 6, dtype=torch.float64))
    assert soft.shape == (4, 3, 16)
    assert soft.dtype == torch.float32


def test_an_input_at_a_key_becomes_its_code() -> None:
    projector = make(n_tokens=1).eval()
    keys, codes = torch.eye(6)[:5], torch.randn(5, 3, 16)
    projector.begin_as(keys, codes, 100.0)
    torch.testing.assert_close(projector(keys * 7), codes)


def test_an_input_between_two_keys_becomes_the_mean_of_their_codes() -> None:
    projector = make(n_tokens=1).eval()
    keys, codes = torch.eye(6)[:5], torch.randn(5, 3, 16)
    projector.begin_as(keys, codes, 100.0)
    torch.testing.assert_close(projector(keys[:1] + keys[1:2])[0], (codes[0] + codes[1]) / 2)


def test_attention_adds_up_to_one_and_follows_the_bias() -> None:
    projector, x = make().eval(), torch.randn(7, 2, 6)
    before = projector.attention(x)
    torch.testing.assert_close(before.sum(1), torch.ones(7))
    with torch.no_grad():
        projector.bias[2] += 3
    assert (projector.attention(x)[:, 2] > before[:, 2]).all()


def test_rows_do_not_depend_on_the_batch() -> None:
    projector, x = make().eval(), torch.randn(7, 2, 6)
    alone = torch.cat([projector(row[None]) for row in x])
    torch.testing.assert_close(projector(x), alone, atol=SMALL_NET, rtol=0)


def test_dropout_in_training_only() -> None:
    projector, x = make(share_dropped=0.5), torch.randn(3, 2, 6)
    assert not torch.equal(projector(x), projector(x))
    projector.eval()
    assert torch.equal(projector(x), projector(x))


def test_every_parameter_learns() -> None:
    projector = make()
    projector(torch.randn(8, 2, 6)).pow(2).sum().backward()
    assert [name for name, p in projector.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_an_empty_embedding_gives_finite_soft_tokens() -> None:
    assert make().eval()(torch.zeros(1, 2, 6)).isfinite().all()


def test_refuses_other_shapes() -> None:
    with pytest.raises(MismatchError, match="another encoder"):
        make()(torch.randn(3, 2, 7))
    with pytest.raises(RuntimeError, match="size of tensor"):
        make().begin_as(torch.randn(5, 6), torch.randn(5, 3, 16), 1.0)


@pytest.mark.parametrize("spread", [(1.0,), (1.0, 0.0, 1.0), (1.0, float("nan"), 2.0)])
def test_refuses_a_spread_that_does_not_fit(spread: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="3 positive temperatures"):
        CandidateTokens(5, 3, 16, spread=spread)

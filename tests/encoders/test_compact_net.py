from __future__ import annotations

import pytest
import torch

from scbioverse.encoders.compact import CompactNet


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_l2_output_has_unit_mean_square() -> None:
    out = CompactNet(20, 16, 8).eval()(torch.randn(5, 20))
    assert out.shape == (5, 8)
    torch.testing.assert_close(out.square().mean(1), torch.ones(5))


def test_no_normalisation_leaves_lengths_free() -> None:
    out = CompactNet(20, 16, 8, out_norm="none").eval()(torch.randn(5, 20))
    assert out.norm(dim=1).std() > 1e-3
    with pytest.raises(ValueError, match="out_norm"):
        CompactNet(20, out_norm="l1")


def test_forward_is_first_layer_then_rest() -> None:
    net, z = CompactNet(20, 16, 8, 2).eval(), torch.randn(3, 20)
    torch.testing.assert_close(net.rest(z @ net.first.weight.T + net.first.bias), net(z))


@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_blocks_are_as_many_as_asked_for(n_blocks: int) -> None:
    net = CompactNet(20, 16, 8, n_blocks)
    assert sum(key.endswith("up.weight") for key in net.state_dict()) == n_blocks


def test_dropout_acts_in_training_only() -> None:
    net, z = CompactNet(20, 16, 8, dropout=0.5), torch.randn(3, 20)
    assert not torch.equal(net.train()(z), net(z))
    assert torch.equal(net.eval()(z), net(z))


def test_every_parameter_gets_a_gradient() -> None:
    net = CompactNet(20, 16, 8)
    net(torch.randn(4, 20))[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())

from __future__ import annotations

import pytest
import torch

from scbioverse.errors import MismatchError
from scbioverse.nn import Projector
from tests._precision import SMALL_NET


def make(**changes: object) -> Projector:
    torch.manual_seed(0)
    sizes = {"dim": 6, "n_tokens": 2, "n_soft": 3, "d_llm": 16, "hidden": 32, "dropout": 0.1, **changes}
    return Projector(**sizes)


def test_shape_and_dtype() -> None:
    soft = make().eval()(torch.randn(5, 2, 6, dtype=torch.float64))
    assert soft.shape == (5, 3, 16)
    assert soft.dtype == torch.float32


def test_takes_flat_embeddings_where_there_is_one_token() -> None:
    projector = make(n_tokens=1).eval()
    x = torch.randn(4, 6)
    assert torch.equal(projector(x), projector(x[:, None, :]))


def test_soft_tokens_start_as_long_as_asked() -> None:
    projector = Projector(20, 1, 4, 256, init_norm=3.0).eval()
    lengths = projector(torch.randn(200, 1, 20)).norm(dim=-1)
    assert lengths.mean().item() == pytest.approx(3.0, rel=0.1)


def test_layers_are_those_promised() -> None:
    kinds = [type(layer).__name__ for layer in make().layers]
    assert kinds == ["Linear", "LayerNorm", "ReLU", "Dropout"] * 2


def test_rows_do_not_depend_on_the_batch() -> None:
    projector, x = make().eval(), torch.randn(7, 2, 6)
    whole = projector(x)
    alone = torch.cat([projector(row[None]) for row in x])
    torch.testing.assert_close(whole, alone, atol=SMALL_NET, rtol=0)
    torch.testing.assert_close(projector(x.flip(0)).flip(0), whole, atol=SMALL_NET, rtol=0)


def test_dropout_in_training_only() -> None:
    projector, x = make(dropout=0.5), torch.randn(3, 2, 6)
    assert not torch.equal(projector(x), projector(x))
    projector.eval()
    assert torch.equal(projector(x), projector(x))


def test_every_parameter_learns() -> None:
    projector = make()
    projector(torch.randn(8, 2, 6)).pow(2).sum().backward()
    still = [name for name, p in projector.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_state_survives_bit_for_bit() -> None:
    first, second = make(), Projector(6, 2, 3, 16, 32)
    second.load_state_dict(first.state_dict())
    x = torch.randn(3, 2, 6)
    assert torch.equal(first.eval()(x), second.eval()(x))


@pytest.mark.parametrize("shape", [(4, 2, 5), (4, 1, 6), (4, 12), (2, 6)])
def test_other_embeddings_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MismatchError, match=r"\(n, 2, 6\)"):
        make()(torch.randn(*shape))

from __future__ import annotations

import pytest
import torch

from scbioverse.errors import MismatchError
from scbioverse.nn import PhraseHead, choose_phrases


def test_a_head_learns_which_phrases_hold() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 1, 6)
    held = torch.stack([x[:, 0, 0] > 0, x[:, 0, 1] > 1], dim=1).float()
    head = PhraseHead(6, 1, 2, 16)
    head.begin_as(x, held.mean(dim=0))
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(150):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(head(x), held)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    head.eval()
    assert ((head(x) > 0) == held.bool()).float().mean() > 0.95
    torch.testing.assert_close(head(x[:, 0]), head(x))


def test_biases_begin_as_shares_and_embeddings_are_standardised() -> None:
    x = 5 + 3 * torch.randn(500, 1, 4, generator=torch.Generator().manual_seed(0))
    head = PhraseHead(4, 1, 3, 8)
    head.begin_as(x, torch.tensor([0.0, 0.5, 0.1]))
    assert torch.sigmoid(head.out.bias)[1:].tolist() == pytest.approx([0.5, 0.1])
    assert torch.isfinite(head.out.bias).all()
    flat = (x[:, 0] - head.centre) * head.gain
    assert flat.mean().abs() < 1e-3
    assert flat.std().item() == pytest.approx(1, abs=0.01)


def test_chosen_by_group_the_more_probable_first() -> None:
    logits = torch.tensor([[-9.0, -8.0, 3.0, 1.0, 2.0], [9.0, 0.0, -3.0, -3.0, -3.0]])
    assert choose_phrases(logits, [2, 3], [1, 2], [0.0, 0.5]) == [[1, 2, 4], [0]]


def test_saturated_logits_keep_their_order() -> None:
    assert choose_phrases(torch.tensor([[50.0, 60.0]]), [2], [1], [0.0]) == [[1]]


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match="sum exactly to 4"):
        choose_phrases(torch.zeros(1, 4), [2, 3], [1, 1], [0.0, 0.0])
    with pytest.raises(MismatchError):
        PhraseHead(4, 1, 3, 8)(torch.zeros(2, 1, 5))

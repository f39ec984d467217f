from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from scbioverse.nn import info_nce
from tests._precision import UNIT


def draw(n: int, d: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def plain(a: Tensor, b: Tensor, scale: float, groups: list[int], extra: Tensor | None, related: Tensor | None) -> float:
    """The formula, pair by pair."""
    a, b = normalize(a, dim=1), normalize(b, dim=1)
    n = len(a)

    def one_way(queries: Tensor, keys: Tensor, more: Tensor | None) -> float:
        total = 0.0
        for i in range(n):
            negatives = [
                math.exp(scale * float(queries[i] @ keys[j]))
                for j in range(n)
                if groups[i] != groups[j] and not (related is not None and (related[i, j] or related[j, i]))
            ]
            negatives += [] if more is None else [math.exp(scale * float(queries[i] @ key)) for key in more]
            positives = [math.exp(scale * float(queries[i] @ keys[j])) for j in range(n) if groups[i] == groups[j]]
            total += sum(-math.log(p / (p + sum(negatives))) for p in positives) / len(positives)
        return total / n

    more = None if extra is None else normalize(extra, dim=1)
    return 0.5 * (one_way(a, b, more) + one_way(b, a, None))


@pytest.mark.parametrize("with_extra", [False, True])
@pytest.mark.parametrize("with_related", [False, True])
def test_equals_the_formula(with_extra: bool, with_related: bool) -> None:
    a, b, groups = draw(6), draw(6, seed=1), [0, 1, 0, 2, 3, 2]
    extra = draw(4, seed=2) if with_extra else None
    related = torch.zeros(6, 6, dtype=torch.bool)
    related[0, 1] = related[4, 3] = True
    related = related if with_related else None
    loss = info_nce(a, b, groups=torch.tensor(groups), negatives=extra, scale=4.0, related=related)
    assert loss.item() == pytest.approx(plain(a, b, 4.0, groups, extra, related), abs=UNIT)


def test_without_groups_it_is_the_usual_symmetric_cross_entropy() -> None:
    a, b = draw(7), draw(7, seed=1)
    logits = 3.0 * normalize(a, dim=1) @ normalize(b, dim=1).T
    target = torch.arange(7)
    usual = 0.5 * (
        torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
    )
    torch.testing.assert_close(info_nce(a, b, scale=3.0), usual)


def test_symmetric() -> None:
    a, b = draw(5), draw(5, seed=1)
    groups = torch.tensor([0, 0, 1, 2, 3])
    torch.testing.assert_close(info_nce(a, b, groups=groups), info_nce(b, a, groups=groups))


def test_equal_texts_are_never_pushed_apart() -> None:
    texts = draw(2)
    text = texts[[0, 0, 1]]
    cells = draw(3, seed=1).requires_grad_()
    # The second cell is of the first one's text: moving it must not change the first cell's own terms the wrong way.
    info_nce(cells, text, groups=torch.tensor([0, 0, 1]), scale=5.0).backward()
    step = -cells.grad
    unit = normalize(cells.detach(), dim=1)
    closer = normalize(cells.detach() + 1e-2 * step, dim=1)
    own = normalize(text, dim=1)
    assert ((closer * own).sum(1) > (unit * own).sum(1)).all()


def test_all_in_one_group_gives_zero_and_no_gradient() -> None:
    a, b = draw(4).requires_grad_(), draw(4, seed=1)
    loss = info_nce(a, b, groups=torch.zeros(4, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(a.grad, torch.zeros_like(a))


def test_one_pair_alone() -> None:
    assert info_nce(draw(1), draw(1, seed=1)).item() == 0.0
    assert info_nce(draw(1), draw(1, seed=1), negatives=draw(2, seed=3)).item() > 0.0


def test_related_pairs_do_not_matter() -> None:
    a, b = draw(3), draw(3, seed=1)
    related = torch.zeros(3, 3, dtype=torch.bool)
    related[0, 2] = True
    changed = b.clone()
    changed[2] = draw(1, seed=9)

    def first_row(texts: Tensor) -> float:
        queries = a.clone().requires_grad_()
        info_nce(queries, texts, related=related, scale=2.0).backward()
        return float(queries.grad[0].norm())

    # Cell 0 sees text 2 in neither direction.
    assert first_row(b) == pytest.approx(first_row(changed), rel=UNIT)


def test_further_negatives_push_and_the_scale_learns() -> None:
    a, b, extra = draw(4), draw(4, seed=1), draw(6, seed=2)
    scale = torch.tensor(2.0, requires_grad=True)
    loss = info_nce(a, b, negatives=extra, scale=scale)
    loss.backward()
    assert loss > info_nce(a, b, scale=2.0)
    assert scale.grad.abs() > 0


def test_order_of_rows_does_not_matter() -> None:
    a, b, groups = draw(6), draw(6, seed=1), torch.tensor([0, 1, 0, 2, 3, 2])
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    torch.testing.assert_close(info_nce(a, b, groups=groups), info_nce(a[order], b[order], groups=groups[order]))


def test_half_precision_input_is_computed_in_float32() -> None:
    assert info_nce(draw(3).bfloat16(), draw(3, seed=1).bfloat16()).dtype == torch.float32

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scbioverse.errors import InputError, MismatchError
from scbioverse.nn import BioTokens, Composer

D = 8
TABLE = torch.randn(20, D, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> BioTokens:
    torch.manual_seed(0)
    return BioTokens(["cell", "protein"], D)


@pytest.fixture
def composer(tokens: BioTokens) -> Composer:
    return Composer(lambda ids: TABLE[ids], tokens)


def soft(n: int, k: int, seed: int = 2) -> Tensor:
    return torch.randn(n, k, D, generator=torch.Generator().manual_seed(seed))


def test_every_kind_of_id_gets_its_vector(composer: Composer, tokens: BioTokens) -> None:
    c, p = tokens.placeholder("cell"), tokens.placeholder("protein")
    row = [3, tokens.start_id("cell"), c, c, tokens.end_id("cell"), 4, p, tokens.task_id, 0]
    cell, protein = soft(1, 2), soft(1, 1, 3)
    out = composer.compose([row], {"cell": cell, "protein": protein})
    wanted = torch.stack(
        [
            TABLE[3],
            tokens.fixed[0],
            cell[0, 0],
            cell[0, 1],
            tokens.trained[0],
            TABLE[4],
            protein[0, 0],
            tokens.trained[2],
            TABLE[0],
        ]
    )
    assert torch.equal(out.inputs_embeds[0], wanted)
    assert out.attention_mask.tolist() == [[1] * 9]


def test_rows_of_several_lengths_and_modalities(composer: Composer, tokens: BioTokens) -> None:
    c, p = tokens.placeholder("cell"), tokens.placeholder("protein")
    rows = [[1, c, c, 2], [p, 5, c, c, p, c, c], [7], [c, c, p, 3, 3]]
    cells = [soft(1, 2, 10), soft(2, 2, 11), None, soft(1, 2, 12)[0]]
    proteins = [None, soft(2, 1, 13), None, soft(1, 1, 14)]
    out = composer.compose(rows, {"cell": cells, "protein": proteins})
    assert out.inputs_embeds.shape == (4, 7, D)
    for i, row in enumerate(rows):
        here = out.attention_mask[i].bool()
        assert here.sum() == len(row)
        assert bool(here[0])
        one = {m: [given[i]] for m, given in (("cell", cells), ("protein", proteins))}
        alone = composer.compose([row], one)
        assert torch.equal(out.inputs_embeds[i][here], alone.inputs_embeds[0])
        assert out.inputs_embeds[i][~here].abs().sum() == 0
    cells_in_order = out.inputs_embeds[1][out.attention_mask[1].bool()][[2, 3, 5, 6]]
    assert torch.equal(cells_in_order, cells[1].reshape(4, D))


def test_row_order_does_not_matter(composer: Composer, tokens: BioTokens) -> None:
    c = tokens.placeholder("cell")
    rows, cells = [[i, c, c] for i in range(6)], soft(6, 2)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    whole = composer.compose(rows, {"cell": cells}).inputs_embeds
    mixed = composer.compose([rows[i] for i in order], {"cell": cells[order]}).inputs_embeds
    assert torch.equal(mixed, whole[order])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_wrong_number_of_placeholders_names_row_and_counts(composer: Composer, tokens: BioTokens, count: int) -> None:
    c = tokens.placeholder("cell")
    with pytest.raises(MismatchError, match=rf"Row 1 has {count} placeholders for 'cell', but 2 soft tokens"):
        composer.compose([[1, c, c], [1] + [c] * count], {"cell": soft(2, 2)})


def test_soft_tokens_too_few_in_one_row_are_not_taken_from_another(composer: Composer, tokens: BioTokens) -> None:
    c = tokens.placeholder("cell")
    with pytest.raises(MismatchError, match="Row 0"):
        composer.compose([[c, c, c], [c]], {"cell": soft(2, 2)})


def test_placeholders_without_soft_tokens(composer: Composer, tokens: BioTokens) -> None:
    with pytest.raises(MismatchError, match="Row 0 has 1 placeholders for 'protein', but 0"):
        composer.compose([[tokens.placeholder("protein")]])


def test_soft_tokens_for_another_number_of_rows(composer: Composer, tokens: BioTokens) -> None:
    with pytest.raises(ValueError, match="longer"):
        composer.compose([[tokens.placeholder("cell")]] * 2, {"cell": soft(3, 1)})


def test_result_shares_no_memory_and_inputs_stay(composer: Composer, tokens: BioTokens) -> None:
    c = tokens.placeholder("cell")
    cells, table = soft(2, 1), TABLE.clone()
    kept = cells.clone()
    with torch.no_grad():
        out = composer.compose([[c], [c]], {"cell": cells})
        out.inputs_embeds.zero_()
        composer.compose([[1, tokens.end_id("cell")]]).inputs_embeds.zero_()
    assert torch.equal(cells, kept)
    assert torch.equal(TABLE, table)
    assert tokens.trained.abs().min() > 0


def test_gradients_reach_soft_tokens_and_markers(composer: Composer, tokens: BioTokens) -> None:
    c = tokens.placeholder("cell")
    cells = soft(2, 2).requires_grad_()
    out = composer.compose([[1, c, c, tokens.end_id("cell")], [c, 2, c]], {"cell": cells})
    (out.inputs_embeds * 2).sum().backward()
    assert torch.equal(cells.grad, torch.full_like(cells, 2.0))
    assert tokens.trained.grad[0].tolist() == [2.0] * D
    assert tokens.trained.grad[1].tolist() == [0.0] * D


def test_takes_the_language_models_dtype(tokens: BioTokens) -> None:
    composer = Composer(lambda ids: TABLE[ids].bfloat16(), tokens)
    cells = soft(1, 1).requires_grad_()
    out = composer.compose([[tokens.placeholder("cell"), 1]], {"cell": cells}).inputs_embeds
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert cells.grad.dtype == torch.float32


def test_wrong_input(composer: Composer, tokens: BioTokens) -> None:
    c = tokens.placeholder("cell")
    with pytest.raises(InputError, match="molecule"):
        composer.compose([[1]], {"molecule": soft(1, 1)})
    with pytest.raises(RuntimeError, match="slice shapes"):
        composer.compose([[c]], {"cell": torch.randn(1, 1, D + 1)})
    with pytest.raises(IndexError):
        composer.compose([[-5]])
    with pytest.raises(RuntimeError, match="slice shapes"):
        Composer(lambda ids: torch.zeros(len(ids), D + 1), tokens).compose([[tokens.task_id]])

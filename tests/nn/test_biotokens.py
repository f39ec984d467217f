from __future__ import annotations

import pytest
import torch

from scbioverse.errors import InputError
from scbioverse.nn import BioTokens


def make(**kwargs: object) -> BioTokens:
    torch.manual_seed(0)
    return BioTokens(["cell", "protein"], 8, **kwargs)


def test_ids_are_negative_distinct_and_never_the_ignored_label() -> None:
    tokens = BioTokens([f"m{i}" for i in range(60)], 4)
    ids = [f(m) for m in tokens.modalities for f in (tokens.start_id, tokens.end_id, tokens.placeholder)]
    ids.append(tokens.task_id)
    assert len(set(ids)) == 181
    assert max(ids) < -100


def test_names() -> None:
    tokens = make()
    assert tokens.name(tokens.start_id("cell")) == "<cell>"
    assert tokens.name(tokens.end_id("protein")) == "</protein>"
    assert tokens.name(tokens.task_id) == "<task>"
    assert tokens.name(tokens.placeholder("cell")) == "<cell:soft>"


def test_each_id_has_its_own_vector() -> None:
    tokens = make()
    ids = [tokens.start_id("cell"), tokens.start_id("protein"), tokens.end_id("cell"), tokens.end_id("protein")]
    vectors = tokens.embed(torch.tensor([*ids, tokens.task_id]))
    assert torch.equal(vectors, torch.cat([tokens.fixed, tokens.trained]))


def test_start_markers_stay_when_everything_is_trained() -> None:
    tokens = make()
    before = tokens.fixed.detach().clone()
    ids = torch.tensor([tokens.start_id("cell"), tokens.end_id("cell"), tokens.task_id])
    optimizer = torch.optim.AdamW(tokens.parameters(), lr=0.1, weight_decay=0.5)
    tokens.embed(ids).pow(2).sum().backward()
    optimizer.step()
    assert torch.equal(tokens.fixed, before)
    gradient = tokens.trained.grad
    assert gradient is not None
    assert (gradient.abs().sum(1) > 0).tolist() == [True, False, True]


def test_embed_gives_a_new_tensor() -> None:
    tokens = make()
    with torch.no_grad():
        vectors = tokens.embed(torch.tensor([tokens.end_id("cell")]))
        vectors.zero_()
    assert tokens.trained.abs().min() > 0


def test_vectors_start_as_long_as_asked() -> None:
    tokens = BioTokens(["cell"] + [f"m{i}" for i in range(50)], 256, init_norm=2.5)
    assert tokens.trained.norm(dim=1).mean().item() == pytest.approx(2.5, rel=0.05)
    assert tokens.fixed.norm(dim=1).mean().item() == pytest.approx(2.5, rel=0.05)


def test_state_survives_bit_for_bit() -> None:
    first, second = make(), BioTokens(["cell", "protein"], 8)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.fixed, second.fixed)
    assert torch.equal(first.trained, second.trained)
    assert set(first.state_dict()) == {"fixed", "trained"}


@pytest.mark.parametrize("number", [-1, -100, 5, -2000])
def test_foreign_ids_are_refused(number: int) -> None:
    with pytest.raises(IndexError):
        make().embed(torch.tensor([number]))


def test_placeholders_have_no_vector() -> None:
    tokens = make()
    with pytest.raises(IndexError):
        tokens.embed(torch.tensor([tokens.placeholder("protein")]))


@pytest.mark.parametrize("modalities", [["a cell"], ["task"], [""]])
def test_wrong_modalities_are_refused(modalities: list[str]) -> None:
    with pytest.raises(InputError):
        BioTokens(modalities, 4)


def test_unknown_modality_is_named() -> None:
    with pytest.raises(KeyError, match="molecule"):
        make().start_id("molecule")


def test_markers_begin_as_words() -> None:
    tokens = make()
    words = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    tokens.begin_as(words[0].bfloat16(), words[1], words[2])
    for name in tokens.modalities:
        ids = torch.tensor([tokens.start_id(name), tokens.end_id(name)])
        assert torch.equal(tokens.embed(ids), torch.stack([words[0].bfloat16().float(), words[1]]))
    assert torch.equal(tokens.embed(torch.tensor([tokens.task_id]))[0], words[2])
    assert tokens.trained.requires_grad
    assert not tokens.fixed.requires_grad
    words.zero_()
    assert tokens.trained.abs().min() > 0

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from scbioverse.llm.generate import Choices, generate
from scbioverse.llm.prefix import PrefixCache
from scbioverse.llm.score import LabelTrie, score_labels
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from scbioverse.llm.backbone import Backbone

NAMES = ["naive CD4 T cell", "memory CD4 T cell", "CD8 T cell", "B cell", "B cell precursor"]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def by_full_passes(backbone: Backbone, prefix: Tensor, suffix: Tensor, most: int) -> list[int]:
    """Greedy decoding with one plain forward pass over everything for every token."""
    embeds, written = torch.cat([prefix, suffix])[None], []
    while len(written) < most:
        logits = backbone.model(inputs_embeds=embeds, use_cache=False).logits[0, -1]
        token = int(logits.argmax())
        if token == backbone.eos_id:
            break
        written.append(token)
        embeds = torch.cat([embeds, backbone.embed_tokens(torch.tensor([[token]]))], dim=1)
    return written


def padded(rows: list[Tensor], side: str) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    embeds = 7.0 * torch.ones(len(rows), width, rows[0].shape[1])  # what stands in the padding must not matter
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        here = slice(width - len(row), width) if side == "left" else slice(len(row))
        embeds[i, here], mask[i, here] = row, 1
    return embeds, mask


@pytest.fixture(params=["tiny_backbone", "tiny_backbone_untied"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue(request.param)


@pytest.fixture
def rows(backbone: Backbone) -> list[Tensor]:
    return [draw(k, backbone.d_llm, seed=i) for i, k in enumerate([5, 1, 3, 5, 2, 4, 1])]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_greedy_equals_full_forward_passes(backbone: Backbone, rows: list[Tensor], side: str, batch_size: int) -> None:
    start = draw(6, backbone.d_llm, seed=99)
    embeds, mask = padded(rows, side)
    found = generate(
        backbone, PrefixCache(backbone, start), embeds, attention_mask=mask, max_new_tokens=9, batch_size=batch_size
    )
    wanted = [by_full_passes(backbone, start, row, 9) for row in rows]
    assert [list(one.ids) for one in found] == wanted
    assert [one.ended for one in found] == [len(ids) < 9 for ids in wanted]
    assert len({tuple(ids) for ids in wanted}) > 2  # the rows differ, else this shows nothing


def test_rows_end_at_the_end_token_and_leave_the_batch(tiny_backbone: Backbone) -> None:
    start, suffix = draw(4, 32, seed=9), draw(6, 3, 32, seed=1)
    prefix = PrefixCache(tiny_backbone, start)
    long = generate(tiny_backbone, prefix, suffix, max_new_tokens=6)
    # Whatever the first row writes third now ends every row that writes it.
    tiny_backbone.eos_id = long[0].ids[2]
    short = generate(tiny_backbone, prefix, suffix, max_new_tokens=6)
    for one, whole in zip(short, long, strict=True):
        cut = whole.ids.index(tiny_backbone.eos_id) if tiny_backbone.eos_id in whole.ids else 6
        assert one.ids == whole.ids[:cut]
        assert one.ended == (cut < 6)
    assert len({len(one.ids) for one in short}) > 1


def test_log_probability_is_that_of_the_text(tiny_backbone: Backbone) -> None:
    start, suffix = draw(4, 32, seed=9), draw(1, 3, 32, seed=1)
    (found,) = generate(tiny_backbone, PrefixCache(tiny_backbone, start), suffix, max_new_tokens=5)
    embeds = torch.cat([start[None], suffix, tiny_backbone.embed_tokens(torch.tensor([found.ids]))], dim=1)
    with torch.no_grad():
        log_probs = tiny_backbone.model(inputs_embeds=embeds).logits[0].log_softmax(dim=1)
    wanted = sum(float(log_probs[6 + i, token]) for i, token in enumerate(found.ids))
    wanted += float(log_probs[6 + len(found.ids), tiny_backbone.eos_id]) if found.ended else 0.0
    assert found.log_prob == pytest.approx(wanted, abs=LOG_PROBS)


def test_constrained_text_is_always_a_label(backbone: Backbone, rows: list[Tensor]) -> None:
    sequences = [[*backbone.encode(" " + name), backbone.eos_id] for name in NAMES]
    trie, prefix = LabelTrie(sequences), PrefixCache(backbone, draw(6, backbone.d_llm))
    choices = Choices(trie)
    embeds, mask = padded(rows * 4, "right")
    embeds = embeds + draw(*embeds.shape, seed=5) * mask[..., None]
    found = generate(backbone, prefix, embeds, attention_mask=mask, max_new_tokens=choices.longest, allowed=choices)
    labels = [choices.label(one.ids) for one in found]
    assert [list(one.ids) for one in found] == [sequences[label][:-1] for label in labels]
    assert len(set(labels)) > 1
    # The probability of what was written is the one that scoring gives that label.
    scores = score_labels(backbone, prefix, embeds, trie, attention_mask=mask)
    for one, label, row in zip(found, labels, scores, strict=True):
        assert one.log_prob == pytest.approx(float(row[label]), abs=LOG_PROBS)
    # With a beam for every label, the best label of all is found where mean and sum agree on it.
    beamed = generate(
        backbone, prefix, embeds, attention_mask=mask, max_new_tokens=choices.longest, allowed=choices, beams=5
    )
    for one, row in zip(beamed, scores, strict=True):
        length = [len(sequence) for sequence in sequences]
        assert choices.label(one.ids) == int((torch.tensor(row) / torch.tensor(length)).argmax())


def test_beams_find_more_probable_texts(backbone: Backbone, rows: list[Tensor]) -> None:
    prefix = PrefixCache(backbone, draw(6, backbone.d_llm))
    embeds, mask = padded(rows, "left")
    greedy = generate(backbone, prefix, embeds, attention_mask=mask, max_new_tokens=4)
    beam = generate(backbone, prefix, embeds, attention_mask=mask, max_new_tokens=4, beams=4, batch_size=3)
    mean = [[one.log_prob / (len(one.ids) + one.ended) for one in part] for part in (greedy, beam)]
    assert sum(mean[1]) > sum(mean[0])
    alone = generate(backbone, prefix, embeds[:1], attention_mask=mask[:1], max_new_tokens=4, beams=4)
    assert alone[0].ids == beam[0].ids


def test_the_cached_beginning_stays(tiny_backbone: Backbone) -> None:
    prefix, suffix = PrefixCache(tiny_backbone, draw(4, 32)), draw(3, 3, 32, seed=1)
    before = [layer.keys.clone() for layer in prefix.shared.layers]
    generate(tiny_backbone, prefix, suffix, max_new_tokens=4, beams=2)
    assert all(torch.equal(a, layer.keys) for a, layer in zip(before, prefix.shared.layers, strict=True))


def test_no_text_goes_round_in_circles(tiny_backbone: Backbone) -> None:
    prefix = PrefixCache(tiny_backbone, draw(4, tiny_backbone.d_llm))
    suffix = draw(6, 3, tiny_backbone.d_llm, seed=3)

    def repeats(beams: int, no_repeat: int) -> int:
        found = generate(
            tiny_backbone, prefix, suffix, max_new_tokens=40, beams=beams, no_repeat=no_repeat,
            allowed=lambda _: range(4),  # so few tokens that it cannot but repeat itself, unless it is kept from it
        )  # fmt: skip
        runs = [[one.ids[i : i + 3] for i in range(len(one.ids) - 2)] for one in found]
        return sum(len(some) - len(set(some)) for some in runs)

    assert repeats(1, 0) > 0
    assert repeats(1, 3) == 0
    assert repeats(2, 3) == 0

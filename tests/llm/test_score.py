from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from scbioverse.errors import InputError
from scbioverse.llm.prefix import PrefixCache
from scbioverse.llm.score import LabelTrie, head_rows, score_labels
from tests._naive_scores import naive_scores
from tests._precision import LOG_PROBS, TOTALS

if TYPE_CHECKING:
    from scbioverse.llm.backbone import Backbone

NAMES = [
    "naive CD4 T cell",
    "memory CD4 T cell",
    "CD8 T cell",
    "CD14 monocyte",
    "CD16 monocyte",
    "B cell",
    "natural killer cell",
    "dendritic cell",
    "T cell",
    "T cell, CD4",
]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sequences(backbone: Backbone, names: list[str] = NAMES) -> list[list[int]]:
    return [[*backbone.encode(" " + name), backbone.eos_id] for name in names]


def wide_set(n: int = 60) -> list[list[int]]:
    """Many short random labels with much in common, so that the tree is deep and wide."""
    rng = np.random.default_rng(0)
    found: set[tuple[int, ...]] = set()
    while len(found) < n:
        found.add((*rng.integers(3, 7, size=rng.integers(1, 6)).tolist(), 2))
    return [list(one) for one in sorted(found)]


def by_hand(backbone: Backbone, prefix: Tensor, suffix: Tensor, labels: list[list[int]]) -> Tensor:
    """Log-probabilities of one row, from the model's own logits over its whole vocabulary."""
    scores = []
    for label in labels:
        answer = backbone.model.get_input_embeddings()(torch.tensor(label))
        with torch.no_grad():
            logits = backbone.model(inputs_embeds=torch.cat([prefix, suffix, answer])[None]).logits[0].double()
        start, total = len(prefix) + len(suffix) - 1, 0.0
        for t, token in enumerate(label):
            ways = {other[t] for other in labels if other[:t] == label[:t] and len(other) > t}
            total += float(logits[start + t, token] - logits[start + t, sorted(ways)].logsumexp(0))
        scores.append(total)
    return torch.tensor(scores)


@pytest.fixture(params=["tiny_backbone", "tiny_backbone_untied"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("n", [1, 3, 17])
@pytest.mark.parametrize("batch_size", [1, 3, 17, 128])
def test_equals_the_models_own_logits(backbone: Backbone, n: int, batch_size: int) -> None:
    start, suffix, labels = draw(9, backbone.d_llm), draw(n, 6, backbone.d_llm, seed=1), sequences(backbone)
    scores = score_labels(backbone, PrefixCache(backbone, start), suffix, LabelTrie(labels), batch_size=batch_size)
    assert scores.shape == (n, len(labels))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0, atol=TOTALS)
    for i in range(min(n, 3)):
        np.testing.assert_allclose(scores[-1 - i], by_hand(backbone, start, suffix[-1 - i], labels), atol=LOG_PROBS)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("prune", [None, 1e-12])
def test_rows_of_several_lengths(backbone: Backbone, side: str, prune: float | None) -> None:
    start, lengths, labels = draw(5, backbone.d_llm), [4, 1, 3, 4, 2, 4, 1], sequences(backbone)
    suffix, mask = 9.0 * torch.ones(7, 4, backbone.d_llm), torch.zeros(7, 4)
    rows = [draw(k, backbone.d_llm, seed=i) for i, k in enumerate(lengths)]
    for i, row in enumerate(rows):
        here = slice(4 - len(row), 4) if side == "left" else slice(len(row))
        suffix[i, here], mask[i, here] = row, 1
    prefix = PrefixCache(backbone, start)
    for batch_size in (2, 7):
        scores = score_labels(
            backbone, prefix, suffix, LabelTrie(labels), attention_mask=mask, batch_size=batch_size, prune=prune
        )
        for i, row in enumerate(rows):
            np.testing.assert_allclose(scores[i], by_hand(backbone, start, row, labels), atol=LOG_PROBS)
    naive = naive_scores(backbone, start, suffix, labels, attention_mask=mask, batch_size=13)
    np.testing.assert_allclose(naive, scores, atol=LOG_PROBS)


def test_row_order_does_not_matter(backbone: Backbone) -> None:
    prefix, suffix = PrefixCache(backbone, draw(5, backbone.d_llm)), draw(13, 4, backbone.d_llm, seed=1)
    trie = LabelTrie(sequences(backbone))
    whole = score_labels(backbone, prefix, suffix, trie)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    mixed = score_labels(backbone, prefix, suffix[order], trie, batch_size=5)
    np.testing.assert_allclose(mixed, whole[order.numpy()], atol=LOG_PROBS)


def test_label_order_only_reorders(tiny_backbone: Backbone) -> None:
    prefix, suffix = PrefixCache(tiny_backbone, draw(5, 32)), draw(4, 4, 32, seed=1)
    labels = sequences(tiny_backbone)
    order = np.random.default_rng(0).permutation(len(labels))
    one = score_labels(tiny_backbone, prefix, suffix, LabelTrie(labels))
    two = score_labels(tiny_backbone, prefix, suffix, LabelTrie([labels[i] for i in order]))
    np.testing.assert_allclose(two, one[:, order], atol=LOG_PROBS)


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_a_large_tree_is_read_in_parts(tiny_backbone: Backbone, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scbioverse.llm.score._TREE_TOKENS", most)
    start, suffix, labels = draw(5, 32), draw(5, 3, 32, seed=1), wide_set()
    scores = score_labels(tiny_backbone, PrefixCache(tiny_backbone, start), suffix, LabelTrie(labels))
    np.testing.assert_allclose(scores[2], by_hand(tiny_backbone, start, suffix[2], labels), atol=LOG_PROBS)


@pytest.mark.parametrize("n", [1, 3, 17])
def test_pruning_nothing_is_exact(backbone: Backbone, n: int) -> None:
    start, suffix, labels = draw(5, backbone.d_llm), draw(n, 3, backbone.d_llm, seed=1), wide_set()
    prefix, trie = PrefixCache(backbone, start), LabelTrie(labels)
    exact = score_labels(backbone, prefix, suffix, trie)
    np.testing.assert_allclose(score_labels(backbone, prefix, suffix, trie, prune=1e-30), exact, atol=LOG_PROBS)
    np.testing.assert_allclose(
        score_labels(backbone, prefix, suffix, trie, prune=1e-30, batch_size=4), exact, atol=LOG_PROBS
    )


@pytest.mark.parametrize("prune", [1e-3, 0.05, 0.4])
def test_pruning_keeps_what_is_likely(tiny_backbone: Backbone, prune: float) -> None:
    labels = wide_set()
    prefix, suffix, trie = PrefixCache(tiny_backbone, draw(5, 32)), draw(17, 3, 32, seed=1), LabelTrie(labels)
    exact = score_labels(tiny_backbone, prefix, suffix, trie)
    pruned = score_labels(tiny_backbone, prefix, suffix, trie, prune=prune)
    np.testing.assert_allclose(np.exp(pruned).sum(1), 1.0, atol=TOTALS)
    # A label's probability changes only below a choice that is reached with less than `prune`.
    changed = ~np.isclose(exact, pruned, atol=LOG_PROBS)
    assert changed.any()
    assert (np.exp(exact[changed]) < prune + 1e-6).all()
    assert (np.exp(pruned[changed]) < prune + 1e-6).all()
    np.testing.assert_allclose(
        score_labels(tiny_backbone, prefix, suffix.flip(0), trie, prune=prune, batch_size=6)[::-1],
        pruned,
        atol=LOG_PROBS,
    )


def test_pruning_reads_less(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    whole = tiny_backbone.model.base_model.forward

    def count(*args: object, **kwargs: object) -> object:
        read.append(kwargs["inputs_embeds"].shape[:2].numel())
        return whole(*args, **kwargs)

    prefix, suffix, trie = PrefixCache(tiny_backbone, draw(5, 32)), draw(16, 3, 32, seed=1), LabelTrie(wide_set())
    score_labels(tiny_backbone, prefix, suffix[:1], trie)
    monkeypatch.setattr(tiny_backbone.model.base_model, "forward", count)
    score_labels(tiny_backbone, prefix, suffix, trie)
    exact, read[:] = sum(read), []
    score_labels(tiny_backbone, prefix, suffix, trie, prune=0.3)
    assert sum(read) < 0.5 * exact


def test_a_choice_is_read_with_those_right_behind_it(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    # Choices at the first, second and third token; the last tokens are leaves.
    labels = [[5, 6, 7, 2], [5, 6, 8, 2], [5, 9, 2], [10, 2]]
    trie = LabelTrie(labels)
    assert [(branch.level, branch.parent) for branch in trie.branches] == [(0, -1), (1, 0), (2, 1)]
    prefix, suffix = PrefixCache(tiny_backbone, draw(5, 32)), draw(4, 3, 32, seed=1)
    exact = score_labels(tiny_backbone, prefix, suffix, trie)
    read = []
    whole = tiny_backbone.model.base_model.forward

    def count(*args: object, **kwargs: object) -> object:
        read.append(kwargs["inputs_embeds"].shape[:2].numel())
        return whole(*args, **kwargs)

    monkeypatch.setattr(tiny_backbone.model.base_model, "forward", count)
    np.testing.assert_allclose(score_labels(tiny_backbone, prefix, suffix, trie, prune=1e-9), exact, atol=LOG_PROBS)
    # The suffix, then both tokens on the way to the last choice together.
    assert read == [4 * 3, 4 * 2]


def test_one_label_is_certain(tiny_backbone: Backbone) -> None:
    prefix = PrefixCache(tiny_backbone, draw(5, 32))
    scores = score_labels(tiny_backbone, prefix, draw(3, 2, 32), LabelTrie([[5, 6, 2]]))
    assert scores.tolist() == [[0.0]] * 3


@pytest.mark.parametrize("prune", [None, 0.1])
def test_labels_that_differ_at_once(tiny_backbone: Backbone, prune: float | None) -> None:
    start, suffix, labels = draw(5, 32), draw(3, 2, 32, seed=1), [[t, 20, 21, 2] for t in range(5, 12)]
    scores = score_labels(tiny_backbone, PrefixCache(tiny_backbone, start), suffix, LabelTrie(labels), prune=prune)
    np.testing.assert_allclose(scores[1], by_hand(tiny_backbone, start, suffix[1], labels), atol=LOG_PROBS)


def test_a_common_beginning_costs_no_probability(tiny_backbone: Backbone) -> None:
    start, suffix, labels = draw(5, 32), draw(3, 2, 32, seed=1), [[5, 6, 7, 2], [5, 6, 8, 2], [5, 6, 8, 9, 2]]
    for prune in (None, 1e-20):
        scores = score_labels(tiny_backbone, PrefixCache(tiny_backbone, start), suffix, LabelTrie(labels), prune=prune)
        np.testing.assert_allclose(scores[1], by_hand(tiny_backbone, start, suffix[1], labels), atol=LOG_PROBS)


def test_a_head_with_bias(tiny_backbone: Backbone) -> None:
    head = tiny_backbone.model.get_output_embeddings()
    head.bias = torch.nn.Parameter(draw(head.weight.shape[0], seed=5))
    start, suffix, labels = draw(5, 32), draw(3, 2, 32, seed=1), sequences(tiny_backbone)
    scores = score_labels(tiny_backbone, PrefixCache(tiny_backbone, start), suffix, LabelTrie(labels))
    np.testing.assert_allclose(scores[0], by_hand(tiny_backbone, start, suffix[0], labels), atol=LOG_PROBS)
    np.testing.assert_allclose(naive_scores(tiny_backbone, start, suffix, labels), scores, atol=LOG_PROBS)


def test_nothing_is_changed_and_no_graph_is_kept(tiny_backbone: Backbone) -> None:
    prefix, suffix = PrefixCache(tiny_backbone, draw(5, 32)), draw(6, 3, 32).requires_grad_()
    kept, weights = suffix.detach().clone(), {k: v.clone() for k, v in tiny_backbone.model.state_dict().items()}
    trie = LabelTrie(sequences(tiny_backbone))
    first = score_labels(tiny_backbone, prefix, suffix, trie)
    score_labels(tiny_backbone, prefix, suffix, trie, prune=0.01)
    np.testing.assert_array_equal(score_labels(tiny_backbone, prefix, suffix, trie), first)
    assert torch.equal(suffix, kept)
    assert prefix.shared.get_seq_length() == 5
    assert all(torch.equal(v, weights[k]) for k, v in tiny_backbone.model.state_dict().items())


def test_half_precision_still_adds_up_to_one(tiny_backbone: Backbone) -> None:
    prefix = PrefixCache(tiny_backbone, draw(5, 32))
    suffix, trie = draw(6, 3, 32, seed=1), LabelTrie(sequences(tiny_backbone))
    exact = score_labels(tiny_backbone, prefix, suffix, trie)
    tiny_backbone.model.to(torch.bfloat16)
    half = score_labels(tiny_backbone, PrefixCache(tiny_backbone, draw(5, 32)), suffix, trie)
    np.testing.assert_allclose(np.exp(half).sum(1), 1.0, atol=TOTALS)
    assert np.abs(np.exp(half) - np.exp(exact)).max() < 0.1


def test_head_rows_are_float32(tiny_backbone: Backbone) -> None:
    tiny_backbone.model.to(torch.bfloat16)
    weight, bias = head_rows(tiny_backbone, [3, 1])
    assert weight.dtype == torch.float32
    assert bias is None
    assert torch.equal(weight[1], tiny_backbone.model.get_output_embeddings().weight[1].float())


def test_wrong_input(tiny_backbone: Backbone) -> None:
    prefix, trie = PrefixCache(tiny_backbone, draw(5, 32)), LabelTrie([[3, 2], [4, 2]])
    for wrong in ({"prune": 0.0}, {"prune": 1.0}, {"prune": -1.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            score_labels(tiny_backbone, prefix, draw(2, 3, 32), trie, **wrong)

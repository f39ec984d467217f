from __future__ import annotations

import numpy as np

from scbioverse.llm.score import LabelTrie

# "T cell", "T cell , CD4", "B cell", "naive T cell", "naive B cell" with 0 as the end token
T, CELL, COMMA, CD4, B, NAIVE, END = 11, 12, 13, 14, 15, 16, 0
LABELS = [[T, CELL, END], [T, CELL, COMMA, CD4, END], [B, CELL, END], [NAIVE, T, CELL, END], [NAIVE, B, CELL, END]]


def test_only_choices_and_the_way_to_them_are_read() -> None:
    trie = LabelTrie(LABELS)
    assert sorted(b.children for b in trie.branches) == [(END, COMMA), (T, B), (T, B, NAIVE)]
    assert sorted(trie.tokens.tolist()) == [T, CELL, NAIVE]
    assert trie.n_edges == 7


def test_root_comes_first_and_parents_before_children() -> None:
    trie = LabelTrie(LABELS)
    assert (trie.branches[0].token, trie.branches[0].level, trie.branches[0].edge) == (-1, 0, -1)
    known = {-1, *range(trie.branches[0].edges.stop)}
    for branch in trie.branches[1:]:
        assert branch.edge in known
        known |= set(range(branch.edges.start, branch.edges.stop))


def test_tokens_see_their_ancestors() -> None:
    trie = LabelTrie(LABELS)
    where = {int(token): i for i, token in enumerate(trie.tokens)}
    assert trie.sees[where[CELL]].nonzero()[0].tolist() == sorted([where[T], where[CELL]])
    assert trie.depths[where[CELL]] == 1
    assert not trie.sees[where[NAIVE], where[T]]
    assert np.array_equal(np.diag(trie.sees), np.ones(3, dtype=bool))


def test_a_common_beginning_is_read_and_not_chosen() -> None:
    trie = LabelTrie([[5, 6, 7, 0], [5, 6, 8, 0]])
    assert trie.tokens.tolist() == [5, 6]
    assert trie.depths.tolist() == [0, 1]
    assert trie.branches[0].token == 1
    assert len(trie.branches) == 1


def test_one_label_needs_nothing() -> None:
    trie = LabelTrie([[3, 4, 0]])
    assert (trie.branches, len(trie.tokens), trie.n_edges, trie.label_edges.shape) == ([], 0, 0, (1, 0))


def test_edges_lead_to_labels() -> None:
    rng = np.random.default_rng(0)
    sequences = sorted({(*rng.integers(1, 4, size=rng.integers(1, 6)).tolist(), 0) for _ in range(80)})
    trie = LabelTrie(sequences)
    token_of = {b.first_edge + i: t for b in trie.branches for i, t in enumerate(b.children)}
    branch_of = {e: b for b in trie.branches for e in range(b.edges.start, b.edges.stop)}
    for label, sequence in enumerate(sequences):
        edges = [e for e in trie.label_edges[label].tolist() if e < trie.n_edges]
        wanted = [
            token
            for t, token in enumerate(sequence)
            if len({other[t] for other in sequences if other[:t] == sequence[:t]}) > 1
        ]
        assert [token_of[e] for e in edges] == wanted
        for edge in edges:
            branch = branch_of[edge]
            path = [int(t) for t, seen in zip(trie.tokens, trie.sees[branch.token], strict=True) if seen]
            at = len(path) if branch.token >= 0 else 0
            assert tuple(path[:at] if branch.token >= 0 else ()) == sequence[:at]
            assert sequence[at] == token_of[edge]


def test_shares_add_up_to_one_label_each() -> None:
    trie = LabelTrie(LABELS)
    padded = np.append(np.log(trie.edge_share), 0.0)
    assert np.allclose(np.exp(padded[trie.label_edges].sum(1)).sum(), 1.0)


def test_order_of_labels_only_reorders() -> None:
    order = [3, 1, 4, 0, 2]
    one, two = LabelTrie(LABELS), LabelTrie([LABELS[i] for i in order])
    assert len(one.tokens) == len(two.tokens)
    assert {b.children[0] for b in one.branches} | {END, T} >= {b.children[-1] for b in two.branches} & {END, T}
    assert sorted(map(sorted, (b.children for b in one.branches))) == sorted(
        map(sorted, (b.children for b in two.branches))
    )


def test_the_label_sets_of_use_need_few_tokens() -> None:
    # 40 labels that differ in the first token cost nothing beyond the prompt.
    trie = LabelTrie([[i, 50, 51, 52, 0] for i in range(40)])
    assert len(trie.tokens) == 0
    assert (trie.n_labels, len(trie.branches), len(trie.tokens)) == (40, 1, 0)

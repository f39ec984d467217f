"""A label set as a tree of tokens: what has to be computed to tell its labels apart, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Branch:
    """A point where labels with a common beginning go on differently."""

    token: int  # position in `LabelTrie.tokens` of the last token before the choice; -1 if it is the prompt's last
    level: int  # number of choices before this one
    parent: int  # number of the choice that leads here, -1 if there is none
    edge: int  # which of its edges leads here
    children: tuple[int, ...]  # tokens to choose among, in order of first appearance
    first_edge: int  # number of the first child's edge; the others follow

    @property
    def edges(self) -> slice:
        """Numbers of the children's edges."""
        return slice(self.first_edge, self.first_edge + len(self.children))


class LabelTrie:
    """Labels as token sequences, merged at their common beginnings.

    The probability of a label is the product, over the points where its sequence parts from others, of a softmax over
    the tokens that go on there: the probability that the language model writes it when it may write nothing but one of
    the labels. Tokens that offer no choice cost nothing, and the probabilities of all labels add up to one. Each
    sequence ends in an end token, so that "T cell" and "T cell, CD4" part at the end of the first.

    `branches` are the choices, each after those it depends on, with `n_edges` children together. `tokens`, int64 (K,),
    are to be read for all choices, each after its parent; `depths` how many stand before each in its label; `sees`,
    bool (K, K), whether the column's token is the row's or one of its ancestors. `label_edges`, int64 (n_labels, L),
    are the edges on the way to each label, filled up with `n_edges`; `edge_share` is the share of a branch's labels
    below each edge.
    """

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        self.sequences = tuple(tuple(int(token) for token in sequence) for sequence in sequences)
        self.n_labels = len(self.sequences)
        self._check()
        self.branches: list[Branch] = []
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        share: list[float] = []
        paths: list[list[int]] = [[] for _ in self.sequences]
        # (labels, tokens they share, position in `tokens` of the last shared and kept token, parent, edge, level)
        todo = [(list(range(self.n_labels)), 0, -1, -1, -1, 0)]
        while todo:
            group, depth, kept, parent, edge, level = todo.pop()
            if len(group) == 1:
                continue
            start = depth
            # Tokens that all labels of the group share offer no choice and are no branch.
            while len(ways := self._ways(group, depth)) == 1:
                depth += 1
            # The chosen child and the shared tokens that offered no choice have to be read to come here.
            for at in range(start - (edge >= 0), depth):
                tokens.append(self.sequences[group[0]][at])
                parents.append(kept)
                depths.append(at)
                kept = len(tokens) - 1
            first = len(share)
            number = len(self.branches)
            self.branches.append(Branch(kept, level, parent, edge, tuple(ways), first))
            for way, labels in enumerate(ways.values(), first):
                share.append(len(labels) / len(group))
                for label in labels:
                    paths[label].append(way)
                todo.append((labels, depth + 1, kept, number, way, level + 1))
        self.n_edges = len(share)
        self.edge_share = np.array(share, dtype=np.float64)
        self.tokens = np.array(tokens, dtype=np.int64)
        self.depths = np.array(depths, dtype=np.int64)
        self.sees = np.eye(len(tokens), dtype=bool)
        for i, parent in enumerate(parents):
            # A parent stands before its children: its ancestors are known by now.
            if parent >= 0:
                self.sees[i] |= self.sees[parent]
        longest = max(map(len, paths))
        self.label_edges: NDArray[np.int64] = np.array(
            [path + [self.n_edges] * (longest - len(path)) for path in paths], dtype=np.int64
        ).reshape(self.n_labels, longest)

    def _ways(self, group: list[int], depth: int) -> dict[int, list[int]]:
        ways: dict[int, list[int]] = {}
        for label in group:
            ways.setdefault(self.sequences[label][depth], []).append(label)
        return ways

    def _check(self) -> None:
        if not self.n_labels or not all(self.sequences):
            empty = [i for i, sequence in enumerate(self.sequences) if not sequence]
            raise InputError(
                f"A trie needs at least one label and no empty one, found {self.n_labels}, empty: {empty[:5]}."
            )
        # By content, since two spellings of a label may be one sequence.
        first: dict[tuple[int, ...], int] = {}
        for i, sequence in enumerate(self.sequences):
            if sequence in first:
                raise InputError(f"Labels {first[sequence]} and {i} are the same tokens; give each label once.")
            first[sequence] = i
        for i, sequence in enumerate(self.sequences):
            for length in range(1, len(sequence)):
                if sequence[:length] in first:
                    raise InputError(
                        f"Label {first[sequence[:length]]} is the beginning of label {i}: end each with an end token."
                    )

"""A label set as training sees it: where its token sequences part, and which labels may not count as wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..llm.trie import LabelTrie

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..models import BioVerse


@dataclass(frozen=True)
class _Branch:
    """A point where sequences with a common beginning go on differently."""

    position: int
    tokens: NDArray[np.int64]
    members: NDArray[np.bool_]  # (n_children, n_labels): which labels lie below which child


@dataclass(frozen=True, eq=False)
class Targets:
    """What the restricted loss asks of a batch of r choices, among u tokens."""

    row: Tensor  # int64 (r,): row of the batch
    position: Tensor  # int64 (r,): answer tokens that stand before the choice
    token: Tensor  # int64 (u,): the tokens that any choice is among
    adjust: Tensor  # float32 (r, u), added to the logits: 0 for a child, -inf for what is no choice
    target: Tensor  # int64 (r,): the right child, as a position in `token`
    share: Tensor | None = None  # float32 (r, u): how probable each child should be, where that was asked for


class CandidateSet:
    """Labels to choose from, as token sequences, all different, the end token included.

    The probability of a label is the product, over the points where the label's sequence parts from others, of a
    softmax over the tokens that go on there: what scoring computes, too. Where `related`, bool (m, m), names labels
    that may not count as wrong for a label (its ontology ancestors and descendants), they are taken out of the set for
    it.
    """

    def __init__(
        self,
        names: Sequence[str],
        sequences: Sequence[Sequence[int]],
        *,
        related: NDArray[np.bool_] | None = None,
    ) -> None:
        self.names = tuple(names)
        self.sequences = tuple(tuple(int(token) for token in sequence) for sequence in sequences)
        m = len(self.names)
        if m < 2:
            raise InputError(f"a candidate set needs at least two labels, found {m}.")
        if len(self.sequences) != m or len(set(self.names)) != m:
            raise InputError(f"{m} labels, {len(set(self.names))} different, for {len(self.sequences)} sequences.")
        if len(set(self.sequences)) != m:
            twice = sorted({n for n, s in zip(self.names, self.sequences, strict=True) if self.sequences.count(s) > 1})
            raise InputError(f"labels that read the same to the language model: {twice[:6]}")
        self.related = np.zeros((m, m), bool) if related is None else np.array(related, dtype=bool)
        if self.related.shape != (m, m):
            raise InputError(f"related must be ({m}, {m}), found {self.related.shape}.")
        self._index = {name: i for i, name in enumerate(self.names)}
        trie = LabelTrie(self.sequences)
        self._branches = [
            _Branch(
                0 if one.token < 0 else int(trie.depths[one.token]) + 1,
                np.array(one.children, dtype=np.int64),
                np.stack([(trie.label_edges == edge).any(axis=1) for edge in range(one.edges.start, one.edges.stop)]),
            )
            for one in trie.branches
        ]
        self._token = np.unique(np.concatenate([branch.tokens for branch in self._branches]))
        self._compile()

    @classmethod
    def of(
        cls,
        model: BioVerse,
        names: Sequence[str],
        *,
        related: NDArray[np.bool_] | None = None,
    ) -> CandidateSet:
        """Build the set from names, tokenised as the model's prompt does."""
        return cls(names, [model.answer_ids(name) for name in names], related=related)

    def __len__(self) -> int:
        return len(self.names)

    def index(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return positions of `names` in the set."""
        absent = [name for name in names if name not in self._index]
        if absent:
            raise InputError(f"{len(absent)} answers are not among the {len(self)} candidates, such as {absent[0]!r}.")
        return np.array([self._index[name] for name in names], dtype=np.int64)

    def needed(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Answer tokens that must be read to reach the last choice of each name, (n,)."""
        return self._last[self.index(names)]

    def targets(self, names: Sequence[str], shares: NDArray[np.floating] | None = None) -> Targets:
        """Gather the choices that the answers `names`, one a row, are made of.

        `shares` (n, m) say how probable each label should be for a row, in place of its answer alone. The choices are
        still those on the way to its answer: where answers are drawn by these shares, all of the tree is learned.
        """
        labels = self.index(names)
        rows, at = [], []
        for row, label in enumerate(labels):
            mine = np.arange(self._start[label], self._start[label + 1])
            at.append(mine)
            rows.append(np.full(mine.size, row))
        where, row_of = np.concatenate(at), np.concatenate(rows)
        return Targets(
            row=torch.from_numpy(row_of),
            position=torch.from_numpy(self._position[where]),
            token=torch.from_numpy(self._token),
            adjust=torch.from_numpy(self._adjust[where]),
            target=torch.from_numpy(self._target[where]),
            share=None
            if shares is None
            else torch.from_numpy(self._shared(where, self._usable(labels, shares)[row_of])),
        )

    def _usable(self, labels: NDArray[np.int64], shares: NDArray[np.floating]) -> NDArray[np.float64]:
        """Shares without those of labels that are no alternative to a row's answer."""
        left_out = self.related[labels].copy()
        left_out[np.arange(labels.size), labels] = False
        return np.where(left_out, 0.0, np.asarray(shares, dtype=np.float64))

    def _shared(self, where: NDArray[np.int64], shares: NDArray[np.floating]) -> NDArray[np.float32]:
        """Shares of the children at choices, (r, u), from those of the labels, (r, m)."""
        out = np.zeros((where.size, self._token.size), dtype=np.float32)
        for number in np.unique(self._branch[where]):
            at, branch = np.flatnonzero(self._branch[where] == number), self._branches[number]
            # A label on the way here has a share, unless it fell below what float32 holds.
            held = np.maximum(shares[at] @ branch.members.T.astype(np.float64), 1e-12)
            out[np.ix_(at, np.searchsorted(self._token, branch.tokens))] = held
        out[~np.isfinite(self._adjust[where])] = 0  # related labels, which are no choice
        return out / out.sum(axis=1, keepdims=True)

    def _compile(self) -> None:
        """Lay out the choices of every label as rows of one table, so that a batch only gathers."""
        position, target, adjust, number, counts = [], [], [], [], []
        for label in range(len(self)):
            usable = ~self.related[label]
            usable[label] = True
            choices = [(i, b) for i, b in enumerate(self._branches) if b.members[:, label].any()]
            kept = 0
            for place, branch in sorted(choices, key=lambda one: one[1].position):
                inside = branch.members & usable
                if inside.any(axis=1).sum() < 2:
                    continue  # only related labels part here: nothing to decide for this one
                row = np.full(self._token.size, -np.inf, dtype=np.float32)
                columns = np.searchsorted(self._token, branch.tokens)
                row[columns] = np.where(inside.any(axis=1), 0.0, -np.inf)
                adjust.append(row)
                position.append(branch.position)
                number.append(place)
                target.append(columns[int(np.flatnonzero(branch.members[:, label])[0])])
                kept += 1
            counts.append(kept)
        self._start = np.concatenate([[0], np.cumsum(counts)])
        self._position = np.array(position, dtype=np.int64)
        self._target = np.array(target, dtype=np.int64)
        self._branch = np.array(number, dtype=np.int64)
        self._adjust = np.stack(adjust) if adjust else np.empty((0, self._token.size), dtype=np.float32)
        self._last = np.array(
            [self._position[a:b].max(initial=0) for a, b in zip(self._start[:-1], self._start[1:], strict=True)],
            dtype=np.int64,
        )

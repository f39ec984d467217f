"""Labels as a tree of tokens, and their log-probabilities by one forward pass over each row's suffix and the tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import InputError
from .prefix import RowStates, causal, check_attention, pack_size, run_packed, suffix_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .backbone import Backbone
    from .prefix import PrefixCache

# Tree tokens read together. Each further part reads the suffix again, which is short against this.
_TREE_TOKENS = 128


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
    """Labels as token sequences, all different, merged at their common beginnings.

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
        self.sequences = tuple(tuple(map(int, sequence)) for sequence in sequences)
        self.n_labels = len(self.sequences)
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


@torch.inference_mode()
def score_labels(
    backbone: Backbone,
    prefix: PrefixCache,
    inputs_embeds: Tensor,
    trie: LabelTrie,
    *,
    attention_mask: Tensor | None = None,
    batch_size: int = 128,
    prune: float | None = None,
) -> NDArray[np.float32]:
    """Log-probability of each label after prefix and suffix, among the labels of `trie`: float32 (n, n_labels).

    The tokens of the tree are laid behind each row's suffix (T tokens: soft tokens, end marker, question), each seeing
    the suffix and its own ancestors only, so that one pass gives the states at every choice. With `prune`, choices are
    read two levels at a time instead, and only by rows that come there: a choice that a row reaches with a probability
    below this is not read on, and its labels share that probability equally. Worth it from about a hundred labels on;
    None reads everything, which is exact. `attention_mask` (n, T) is 1 for tokens, on either side; `batch_size` changes
    speed, memory and rounding.
    """
    if prune is not None and not 0.0 < prune < 1.0:
        raise InputError(f"prune is a probability between 0 and 1, found {prune}.")
    scores = np.zeros((len(inputs_embeds), trie.n_labels), dtype=np.float32)
    if not trie.branches:
        return scores
    reader = _Reader(backbone, prefix, trie)
    for rows, embeds, mask in reader.batches(inputs_embeds, attention_mask, batch_size):
        edges = reader.exact(embeds, mask) if prune is None else reader.pruned(embeds, mask, prune)
        scores[rows] = reader.to_labels(edges).cpu().numpy()
    return scores


class _Reader:
    """What is the same for every batch: the tree on the device, its embeddings, the head's rows."""

    def __init__(self, backbone: Backbone, prefix: PrefixCache, trie: LabelTrie) -> None:
        self.backbone, self.prefix, self.trie = backbone, prefix, trie
        device = backbone.device
        self.embeds = backbone.embed_tokens(torch.from_numpy(trie.tokens))
        self.depths = torch.from_numpy(trie.depths).to(device)
        self.sees = torch.from_numpy(trie.sees).to(device)
        self.label_edges = torch.from_numpy(trie.label_edges).to(device)
        self.log_share = torch.from_numpy(np.log(trie.edge_share)).float().to(device)
        self.weight, self.bias = head_rows(backbone, [token for b in trie.branches for token in b.children])

    def batches(
        self, inputs_embeds: Tensor, attention_mask: Tensor | None, size: int
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield which rows are read together, their embeddings, and their masks or the one that holds for all."""
        mask = suffix_mask(self.backbone, inputs_embeds, attention_mask)
        for first in range(0, len(inputs_embeds), size):
            rows = slice(first, first + size)
            yield rows, inputs_embeds[rows], mask if len(mask) == 1 else mask[rows]

    def exact(self, embeds: Tensor, mask: Tensor) -> Tensor:
        """Log-probabilities (n, n_edges) at every choice."""
        edges = embeds.new_empty(embeds.shape[0], self.trie.n_edges, dtype=torch.float32, device=self.backbone.device)
        for branches in self._parts():
            self._read(embeds, mask, branches, edges)
        return edges

    def pruned(self, embeds: Tensor, mask: Tensor, least: float) -> Tensor:
        """Log-probabilities (n, n_edges), equal shares below choices that are reached with less than `least`.

        Levels are read two at a time: a choice together with those right behind it. To come back for these would mean
        reading the way there again.
        """
        branches = self.trie.branches
        # What is never read keeps the share that its labels have of those below the choice.
        edges = self.log_share.repeat(embeds.shape[0], 1)
        states = self._read(embeds, mask, branches[:1], edges, keep=True)
        # Log-probability of taking each edge from the start on; -inf below choices that were not read.
        taken = edges.new_full(edges.shape, -torch.inf)
        taken[:, branches[0].edges] = edges[:, branches[0].edges]
        for level in range(1, 1 + max(branch.level for branch in branches), 2):
            upper = [i for i, branch in enumerate(branches) if branch.level == level]
            lower = [i for i, branch in enumerate(branches) if branch.level == level + 1]
            now = [branches[i] for i in (*upper, *lower)]
            reached = taken[:, [branch.edge for branch in now[: len(upper)]]] >= float(np.log(least))
            alive = reached[:, [*range(len(upper)), *(upper.index(branches[i].parent) for i in lower)]]
            self._read_alive(states, mask, now, alive, edges)
            for i, branch in enumerate(now):
                here = taken[:, branch.edge, None] + edges[:, branch.edges]
                taken[:, branch.edges] = torch.where(alive[:, i, None], here, -torch.inf)
        return edges

    def to_labels(self, edges: Tensor) -> Tensor:
        """Add up (n, n_edges) along the way to each label: (n, n_labels)."""
        # Shorter ways are filled up with an edge of log-probability zero.
        padded = torch.cat([edges, edges.new_zeros(edges.shape[0], 1)], dim=1)
        return padded[:, self.label_edges].sum(dim=2)

    def _parts(self) -> list[list[Branch]]:
        """Split the choices, so that each part needs few enough tokens."""
        parts: list[list[Branch]] = [[]]
        needed = np.zeros(len(self.trie.tokens), dtype=bool)
        for branch in self.trie.branches:
            more = needed | self.trie.sees[branch.token] if branch.token >= 0 else needed
            if parts[-1] and more.sum() > _TREE_TOKENS:
                parts.append([])
                more = self.trie.sees[branch.token].copy()
            parts[-1].append(branch)
            needed = more
        return parts

    def _choose(self, states: Tensor, branch: Branch) -> Tensor:
        """Log-softmax over a branch's children: states (m, d) to (m, n_children)."""
        # Only the children's rows: the whole vocabulary costs as much as eight of SmolLM2-135M's thirty blocks.
        logits = states.float() @ self.weight[branch.edges].T
        if self.bias is not None:
            logits = logits + self.bias[branch.edges]
        return self.backbone.head.finish(logits).log_softmax(dim=1)

    def _read(
        self, embeds: Tensor, mask: Tensor, branches: list[Branch], edges: Tensor, *, keep: bool = False
    ) -> RowStates | None:
        """Read suffix and tree together and fill `edges` at `branches`; keep the suffix's keys and values if asked."""
        n, length, width = embeds.shape
        at = [branch.token for branch in branches if branch.token >= 0]
        need = self.sees[at].any(dim=0).nonzero().squeeze(1)
        k = int(need.numel())
        tree = self.embeds[need].expand(n, k, width)
        together = torch.cat([embeds.to(tree), tree], dim=1)
        m = mask.shape[0]
        allowed = mask.new_zeros(m, length + k, length + k)
        allowed[:, :length, :length] = causal(mask)
        # Every token of the tree sees the whole suffix, and of the tree its own ancestors: labels are blind to each
        # other.
        allowed[:, length:, :length] = mask[:, None, :]
        allowed[:, length:, length:] = self.sees[need][:, need]
        # A token stands where it would stand in its label alone, whatever lies between it and the suffix here.
        place = (mask.long().cumsum(1) - 1).clamp(min=0)
        positions = self.prefix.length + torch.cat([place, mask.sum(1, keepdim=True) + self.depths[need]], dim=1)
        pack = pack_size(length + k, n)
        check_attention(self.backbone, self.prefix.length + pack * (length + k))
        hidden, states = run_packed(
            self.backbone, self.prefix.shared, together, allowed, positions, pack=pack, keep=keep
        )
        # A choice right behind the prompt is read at the suffix's last token, wherever padding puts it.
        last = (mask.long() * torch.arange(1, length + 1, device=mask.device)).argmax(dim=1).expand(n)
        column = {int(token): length + i for i, token in enumerate(need)}
        for branch in branches:
            where = last if branch.token < 0 else column[branch.token]
            here = hidden[torch.arange(n, device=hidden.device), where]
            edges[:, branch.edges] = self._choose(here, branch)
        if states is None:
            return None
        return RowStates([(keys[:, :, :length], values[:, :, :length]) for keys, values in states.layers])

    def _read_alive(self, states: Any, mask: Tensor, branches: list[Branch], alive: Tensor, edges: Tensor) -> None:
        """Fill `edges` at `branches` (m of them) for the rows that are `alive` (n, m) there."""
        to_read = self.sees[[branch.token for branch in branches]]
        need = (alive.float() @ to_read.float()) > 0
        count = need.sum(dim=1)
        # Rows with about as many tokens to read go together: within a factor of two.
        bucket = torch.where(count > 0, (count - 1).clamp(min=0).float().add(1).log2().ceil().long(), -1)
        for size in bucket.unique().tolist():
            if size >= 0:
                self._read_rows(states, mask, branches, alive, need, edges, (bucket == size).nonzero().squeeze(1))

    def _read_rows(
        self,
        states: RowStates,
        mask: Tensor,
        branches: list[Branch],
        alive: Tensor,
        need: Tensor,
        edges: Tensor,
        rows: Tensor,
    ) -> None:
        need = need[rows]
        width = int(need.sum(dim=1).max())
        # Each row's own tokens in tree order, filled up with tokens that are nobody's ancestors and so seen by none.
        chosen = need.int().argsort(dim=1, descending=True, stable=True)[:, :width]
        own = (mask if mask.shape[0] == 1 else mask[rows]).expand(rows.numel(), -1)
        tree = self.sees[chosen[:, :, None], chosen[:, None, :]]
        allowed = torch.cat([own[:, None, :].expand(-1, width, -1), tree], dim=2)
        positions = self.prefix.length + own.sum(1, keepdim=True) + self.depths[chosen]
        pack = pack_size(states.length + width, rows.numel())
        hidden, _ = run_packed(
            self.backbone,
            self.prefix.shared,
            self.embeds[chosen],
            allowed,
            positions,
            pack=pack,
            before=(states, rows),
        )
        rank = need.long().cumsum(1) - 1
        for i, branch in enumerate(branches):
            here = alive[rows, i].nonzero().squeeze(1)
            if here.numel():
                found = self._choose(hidden[here, rank[here, branch.token]], branch)
                edges[rows[here], branch.edges] = found


@torch.inference_mode()
def score_own_lists(
    backbone: Backbone,
    prefix: PrefixCache,
    inputs_embeds: Tensor,
    trie: LabelTrie,
    own: NDArray[np.integer],
    *,
    attention_mask: Tensor | None = None,
    batch_size: int = 128,
) -> NDArray[np.float32]:
    """Log-probability of each of a row's own labels, given that the answer is one of them: float32 (n, k).

    What :func:`score_labels` gives for a tree of the row's labels alone, whatever else is in `trie`: at each choice a
    softmax over those tokens only that lead to one of the row's labels, `own` int (n, k), all different. Rows share the
    passes, and each reads only the tokens that its own choices need.
    """
    lists = np.asarray(own, dtype=np.int64)
    scores = np.zeros(lists.shape, dtype=np.float32)
    if not trie.branches or lists.shape[1] == 1:
        return scores
    reader = _Reader(backbone, prefix, trie)
    for rows, embeds, mask in reader.batches(inputs_embeds, attention_mask, batch_size):
        part = torch.from_numpy(lists[rows]).to(reader.label_edges.device)
        scores[rows] = _score_own(reader, embeds, mask, part)
    return scores


def _score_own(reader: _Reader, embeds: Tensor, mask: Tensor, own: Tensor) -> NDArray[np.float32]:
    trie, n = reader.trie, embeds.shape[0]
    paths = reader.label_edges[own]
    # One column more than edges takes the filling of short paths.
    wanted = torch.zeros(n, trie.n_edges + 1, dtype=torch.bool, device=paths.device)
    wanted.scatter_(1, paths.flatten(1), True)
    choices = torch.stack([wanted[:, branch.edges].sum(dim=1) > 1 for branch in trie.branches], dim=1)
    edges = torch.zeros(n, trie.n_edges + 1, dtype=torch.float32, device=paths.device)
    found = edges[:, : trie.n_edges]
    states = reader._read(embeds, mask, trie.branches[:1], found, keep=True)
    if len(trie.branches) > 1:
        reader._read_alive(states, mask, trie.branches[1:], choices[:, 1:], found)
    for i, branch in enumerate(trie.branches):
        here = found[:, branch.edges].masked_fill(~wanted[:, branch.edges], -torch.inf)
        # A softmax over some of the tokens is that over all of them, normalised again.
        sure = here - here.logsumexp(dim=1, keepdim=True)
        found[:, branch.edges] = torch.where(choices[:, i, None], sure, 0.0)
    edges[:, trie.n_edges] = 0.0
    return edges.gather(1, paths.flatten(1)).view(paths.shape).sum(dim=2).cpu().numpy()


def head_rows(backbone: Backbone, tokens: Sequence[int]) -> tuple[Tensor, Tensor | None]:
    """Rows of the output embedding and its bias for `tokens`, in float32: in bfloat16, logits step by 1/8 nats."""
    head = backbone.model.get_output_embeddings()
    at = torch.tensor(list(tokens), dtype=torch.long, device=head.weight.device)
    bias = getattr(head, "bias", None)
    return head.weight.detach()[at].float(), None if bias is None else bias.detach()[at].float()

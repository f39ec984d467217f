"""Text from soft tokens: greedy and beam decoding behind a cached beginning, for many rows at once.

transformers' own `generate` takes a cache and embedded suffixes without complaint and then writes wrong tokens, so the
loop is our own. Rows of different lengths stand together, padded on either side; a row that has ended leaves the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .backbone import first_batch
from .prefix import looks_back, suffix_mask

if TYPE_CHECKING:
    from ..nn.composer import Composed
    from .backbone import Backbone
    from .prefix import PrefixCache
    from .score import LabelTrie

Allowed = Callable[[tuple[int, ...]], Sequence[int]]
MAX_NEW_TOKENS = 48


@dataclass(frozen=True)
class Generated:
    """What was written for one row."""

    ids: tuple[int, ...]  # without the end token
    log_prob: float  # natural logarithm, of all tokens (and the end) among those that were allowed
    ended: bool  # whether the end came before `max_new_tokens`


class Choices:
    """Which tokens may follow: only those on the way to one of the labels of a trie, each with its end token."""

    def __init__(self, trie: LabelTrie) -> None:
        self._next: dict[tuple[int, ...], list[int]] = {}
        for sequence in trie.sequences:
            for at, token in enumerate(sequence):
                after = self._next.setdefault(sequence[:at], [])
                if token not in after:
                    after.append(token)
        self._label = {sequence[:-1]: number for number, sequence in enumerate(trie.sequences)}
        self.longest = max(map(len, trie.sequences))

    def __call__(self, written: tuple[int, ...]) -> list[int]:
        """Return the tokens that may follow what was `written`."""
        return self._next[written]

    def label(self, written: Sequence[int]) -> int:
        """Return the number of the label that was written."""
        return self._label[tuple(written)]


@torch.inference_mode()
def generate(
    backbone: Backbone,
    prefix: PrefixCache,
    inputs_embeds: Tensor,
    *,
    attention_mask: Tensor | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    allowed: Allowed | None = None,
    beams: int = 1,
    batch_size: int = 32,
    no_repeat: int = 0,
    least: float = -math.inf,
) -> list[Generated]:
    """Let the language model go on after prefix and suffixes (n, T, d_llm); one result a row.

    `attention_mask` (n, T) is 1 for tokens and 0 for padding, on either side. `allowed` gives the tokens that may
    follow what was written, for example :class:`Choices`. With one beam the most probable token is taken every time;
    with more, so many of the best beginnings are kept, and the end result with the highest mean log-probability of a
    token wins. `batch_size` changes speed, memory and rounding. `no_repeat` tokens in a row are not written twice, so
    that no text goes round in circles. With one beam a row whose log-probability falls below `least` is left
    unfinished.
    """
    mask = suffix_mask(backbone, inputs_embeds, attention_mask).expand(inputs_embeds.shape[:2])
    if prefix.length + mask.shape[1] + max_new_tokens > looks_back(backbone):
        batch_size = 1  # a row's padding would take the place of tokens that a window shows
    out: list[Generated] = []
    for first in range(0, len(inputs_embeds), batch_size):
        rows = slice(first, first + batch_size)
        read = mask[rows].any(dim=0).cpu()  # what is padding in every row is left out
        loop = _Loop(backbone, prefix, inputs_embeds[rows][:, read], mask[rows][:, read], beams, no_repeat)
        out += (
            _beam(loop, max_new_tokens, allowed, beams) if beams > 1 else _greedy(loop, max_new_tokens, allowed, least)
        )
    return out


def generate_fitting(
    backbone: Backbone, prefix: PrefixCache, composed: Composed, *, what: str, **options: Any
) -> list[Generated]:
    """Let the language model go on after composed rows, so many at once as fit into memory; see :func:`generate`.

    `what` the rows are is for the log.
    """
    embeds, mask = composed.inputs_embeds, composed.attention_mask
    length = embeds.shape[1] + options.get("max_new_tokens", MAX_NEW_TOKENS)
    memory = first_batch(
        backbone, min(len(embeds), 32), length=length, prefix=prefix.length, logits=1, copies=options.get("beams", 1),
        what=what,
    )  # fmt: skip
    return memory.run(lambda size: generate(backbone, prefix, embeds, attention_mask=mask, batch_size=size, **options))


class _Loop:
    """Keys and values of a batch, and the states after its last tokens."""

    def __init__(
        self, backbone: Backbone, prefix: PrefixCache, embeds: Tensor, mask: Tensor, beams: int, no_repeat: int = 0
    ) -> None:
        self.backbone, self.no_repeat = backbone, no_repeat
        self.mask = mask.long()
        n, length = self.mask.shape
        # Padding takes no position: where it stands must not change what is written.
        self.places = prefix.length + self.mask.sum(dim=1)
        positions = prefix.length + (self.mask.cumsum(dim=1) - 1).clamp(min=0)
        hidden, cache = backbone.hidden(embeds, self._seen(prefix.length), prefix.expand(n), positions, use_cache=True)
        self.cache: Any = cache
        self.before = prefix.length
        # Not the last column where rows are padded on the right.
        last = (self.mask * torch.arange(1, length + 1, device=self.mask.device)).argmax(dim=1)
        self.state = hidden[torch.arange(n, device=hidden.device), last]
        self.written: list[tuple[int, ...]] = [()] * n
        if beams > 1:
            self.keep([i for i in range(n) for _ in range(beams)])

    def _seen(self, before: int) -> Tensor:
        return torch.cat([self.mask.new_ones(len(self.mask), before), self.mask], dim=1)

    def log_probs(self, allowed: Allowed | None) -> Tensor:
        """Log-probabilities (n, vocab) of the next token, float32; -inf where it is not allowed."""
        logits = self.backbone.logits(self.state).float()
        if allowed is not None:
            # Before the softmax: the probabilities are those among the allowed tokens.
            barred = torch.ones_like(logits, dtype=torch.bool)
            for row, written in enumerate(self.written):
                barred[row, list(allowed(written))] = False
            logits = logits.masked_fill(barred, -torch.inf)
        if self.no_repeat:
            for row, written in enumerate(self.written):
                logits[row, _said_before(written, self.no_repeat)] = -torch.inf
        return logits.log_softmax(dim=1)

    def step(self, tokens: Sequence[int]) -> None:
        """Read one more token in every row."""
        ids = torch.tensor(list(tokens), dtype=torch.long)[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        hidden, self.cache = self.backbone.hidden(
            self.backbone.embed_tokens(ids), self._seen(self.before), self.cache, self.places[:, None], use_cache=True
        )
        self.state = hidden[:, -1]
        self.places = self.places + 1
        self.written = [(*row, int(token)) for row, token in zip(self.written, tokens, strict=True)]

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows only, in this order; a row may stand there more than once."""
        if rows == list(range(len(self.mask))):
            return
        at = torch.tensor(rows, dtype=torch.long, device=self.mask.device)
        # Rows that ended leave the cache, so that the others go on as a smaller batch.
        self.cache.batch_select_indices(at)
        self.mask, self.places, self.state = self.mask[at], self.places[at], self.state[at]
        self.written = [self.written[row] for row in rows]


def _said_before(written: tuple[int, ...], length: int) -> list[int]:
    """Tokens that would end a run of `length` tokens that was written before."""
    last = written[len(written) - length + 1 :]
    starts = range(len(written) - length + 1)
    return [written[at + length - 1] for at in starts if written[at : at + length - 1] == last]


def _greedy(loop: _Loop, most: int, allowed: Allowed | None, least: float) -> list[Generated]:
    n = len(loop.mask)
    out: list[Generated] = [Generated((), 0.0, False)] * n
    alive, total = list(range(n)), [0.0] * n
    eos = loop.backbone.eos_id
    for count in range(most):
        scores = loop.log_probs(allowed)
        tokens = scores.argmax(dim=1).tolist()
        stay, rows = [], []
        for i, (row, token) in enumerate(zip(alive, tokens, strict=True)):
            total[row] += float(scores[i, token])
            if token == eos:
                out[row] = Generated(loop.written[i], total[row], True)
            elif count + 1 == most or total[row] < least:
                out[row] = Generated((*loop.written[i], token), total[row], False)
            else:
                stay.append(i)
                rows.append(row)
        if not stay:
            break
        loop.keep(stay)
        loop.step([tokens[i] for i in stay])
        alive = rows
    return out


def _beam(loop: _Loop, most: int, allowed: Allowed | None, beams: int) -> list[Generated]:
    """Keep the best beginnings of each row; the best mean log-probability of a token wins."""
    n = len(loop.mask) // beams
    eos = loop.backbone.eos_id
    # All beams of a row begin equal: only the first may spread, or all would stay equal.
    totals = torch.full((n, beams), -torch.inf)
    totals[:, 0] = 0.0
    alive = list(range(n))
    done: list[list[Generated]] = [[] for _ in range(n)]
    for count in range(most):
        scores = loop.log_probs(allowed).cpu()
        vocab = scores.shape[1]
        ways = totals[alive].reshape(-1, 1) + scores
        # Twice as many as are kept: half of them may be ends.
        best, place = ways.view(len(alive), -1).topk(min(2 * beams, beams * vocab), dim=1)
        kept, tokens, still = [], [], []
        for i, row in enumerate(alive):
            beginnings: list[tuple[float, int, int]] = []
            for value, at in zip(best[i].tolist(), place[i].tolist(), strict=True):
                source, token = i * beams + at // vocab, at % vocab
                if value == -float("inf"):
                    continue
                if token == eos:
                    done[row].append(Generated(loop.written[source], value, True))
                elif len(beginnings) < beams:
                    beginnings.append((value, source, token))
            if count + 1 == most and not done[row]:
                done[row] += [Generated((*loop.written[s], t), v, False) for v, s, t in beginnings]
            if beginnings and len(done[row]) < beams and count + 1 < most:
                still.append(row)
                filled = beginnings + [(-float("inf"), *beginnings[0][1:])] * (beams - len(beginnings))
                totals[row] = torch.tensor([value for value, _, _ in filled])
                kept += [source for _, source, _ in filled]
                tokens += [token for _, _, token in filled]
        alive = still
        if not alive:
            break
        loop.keep(kept)
        loop.step(tokens)
    # The end counts as a token: otherwise the shortest text would always win.
    return [max(row, key=lambda one: one.log_prob / (len(one.ids) + one.ended)) for row in done]

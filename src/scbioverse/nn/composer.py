"""Markers and placeholders of our own, and the one place where soft tokens are spliced into embedded text."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from ..errors import InputError, MismatchError

Soft = Mapping[str, Tensor | Sequence[Tensor | None]]
# Below every id that means something elsewhere (-100 marks positions without a label).
_FIRST = -1001


class BioTokens(nn.Module):
    """Embedding table of the markers around soft tokens, and the ids that stand for them in a prompt.

    Ids are negative and so never meet the language model's own. Per modality there is a start marker (`<cell>`), an end
    marker (`</cell>`) and a placeholder, which stands where one soft token goes and has no embedding; one task token is
    shared by all.

    Start markers, `fixed` (n_modalities, d_llm), belong to the part of the prompt whose keys and values are computed
    once, where no gradient comes, and a weight decay that moved them would make those stale. End markers and, last, the
    task token are `trained`. All begin with the Euclidean length `init_norm`: the mean norm of the language model's
    token embeddings.
    """

    def __init__(self, modalities: Sequence[str], d_llm: int, *, init_norm: float = 1.0) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.d_llm = d_llm
        if wrong := [name for name in self.modalities if not name.isidentifier() or name == "task"]:
            raise InputError(f"Modality names must be plain words other than 'task', found {wrong}.")
        k, std = len(self.modalities), init_norm / math.sqrt(d_llm)
        self.fixed = nn.Parameter(nn.init.normal_(torch.empty(k, d_llm), std=std), requires_grad=False)
        self.trained = nn.Parameter(nn.init.normal_(torch.empty(k + 1, d_llm), std=std))
        # Rows of [fixed; trained], then the placeholders, which have no row.
        names = [f"<{name}>" for name in self.modalities] + [f"</{name}>" for name in self.modalities]
        names += ["<task>", *(f"<{name}:soft>" for name in self.modalities)]
        self._ids = {name: _FIRST - row for row, name in enumerate(names)}
        self._names = {number: name for name, number in self._ids.items()}

    @torch.no_grad()
    def begin_as(self, start: Tensor, end: Tensor, task: Tensor) -> None:
        """Set markers of all modalities to vectors (d_llm,) of words, so that a frozen model can read them at once."""
        k = len(self.modalities)
        self.fixed.copy_(start.to(self.fixed).expand(k, -1))
        self.trained[:k] = end.to(self.trained)
        self.trained[k] = task.to(self.trained)

    @contextlib.contextmanager
    def only_end_of(self, modality: str) -> Iterator[None]:
        """Let training inside move the end marker of a modality alone: the task token belongs to the others, too."""
        kept = torch.zeros_like(self.trained[:, :1])
        kept[self.modalities.index(modality)] = 1
        hook = self.trained.register_hook(lambda gradient: gradient * kept.to(gradient))
        try:
            yield
        finally:
            hook.remove()

    def start_id(self, modality: str) -> int:
        """Return the id of the marker before a modality's soft tokens."""
        return self._ids[f"<{modality}>"]

    def end_id(self, modality: str) -> int:
        """Return the id of the marker after a modality's soft tokens."""
        return self._ids[f"</{modality}>"]

    def placeholder(self, modality: str) -> int:
        """Return the id that stands for one soft token of a modality."""
        return self._ids[f"<{modality}:soft>"]

    @property
    def task_id(self) -> int:
        """Id of the task token."""
        return self._ids["<task>"]

    def name(self, token_id: int) -> str:
        """Return the name of one of the negative ids, such as `"<cell>"`."""
        return self._names[token_id]

    def embed(self, ids: Tensor) -> Tensor:
        """Look up markers and the task token: int64 (...) to a new (..., d_llm), with a gradient to `trained`."""
        return embedding(_FIRST - ids.to(self.trained.device), torch.cat([self.fixed, self.trained]))


@dataclass(frozen=True, eq=False)
class Composed:
    """A batch the language model can read, padded on the right."""

    inputs_embeds: Tensor  # (n, T, d_llm), in the language model's dtype; zero where padded
    attention_mask: Tensor  # int64 (n, T), 1 for tokens


class Composer:
    """Turns token ids with placeholders, and the soft tokens for them, into one batch of embeddings.

    `embed_tokens` is the language model's own lookup, int64 (m,) to (m, d_llm); `tokens` are markers and placeholders.
    """

    def __init__(self, embed_tokens: Callable[[Tensor], Tensor], tokens: BioTokens) -> None:
        self.embed_tokens = embed_tokens
        self.tokens = tokens
        self._placeholders = {tokens.placeholder(name): name for name in tokens.modalities}

    def compose(self, ids: Sequence[Sequence[int]], soft: Soft | None = None) -> Composed:
        """Embed and pad rows of ids, with soft tokens in the place of placeholders.

        A row holds the language model's ids (≥ 0) and those of the bio tokens (< 0). Soft tokens are given by modality.
        A tensor (n, n_soft, d_llm) gives every row one object; a sequence of n items gives each row its own: a tensor
        (k, n_soft, d_llm) of k objects, (n_soft, d_llm) for one, or None. They fill the row's placeholders of that
        modality in order; shorter rows are filled up on the right. Nothing that is returned shares memory with `soft`,
        and gradients flow back to it.

        A :class:`MismatchError` says that a row has more or fewer placeholders of a modality than soft tokens were
        given; an :class:`InputError` that soft tokens are of an unknown modality.
        """
        rows = list(map(list, ids))
        flat = torch.tensor([token for row in rows for token in row], dtype=torch.long)
        lengths = torch.tensor(list(map(len, rows)))
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        soft = soft or {}
        if unknown := sorted(set(soft) - set(self.tokens.modalities)):
            raise InputError(f"Soft tokens of unknown modality {unknown}; there are {list(self.tokens.modalities)}.")
        values = self._embed(flat)
        for number, modality in self._placeholders.items():
            if blocks := self._blocks(rows, number, modality, soft.get(modality, [None] * len(rows))):
                values = _put(values, flat == number, torch.cat(blocks))
        embeds = _put(values.new_zeros(mask.numel(), values.shape[1]), mask.flatten(), values)
        return Composed(embeds.view(*mask.shape, -1), mask.long().to(values.device))

    def _blocks(
        self, rows: list[list[int]], number: int, modality: str, given: Tensor | Sequence[Tensor | None]
    ) -> list[Tensor]:
        """Return the soft tokens of each row that has some, (m, d) each, as many as it has placeholders."""
        blocks = [None if one is None else one.flatten(0, -2) for one in given]
        for i, (row, block) in enumerate(zip(rows, blocks, strict=True)):
            wanted, found = row.count(number), 0 if block is None else len(block)
            if wanted != found:
                raise MismatchError(
                    f"Row {i} has {wanted} placeholders for {modality!r}, but {found} soft tokens were given."
                )
        return [block for block in blocks if block is not None]

    def _embed(self, flat: Tensor) -> Tensor:
        """Embed ids (m,) to (m, d): the language model's and our own from their tables, anything for placeholders."""
        own = (flat < 0) & ~torch.isin(flat, torch.tensor(sorted(self._placeholders)))
        # One lookup for all, a stand-in where the id is not the language model's: it fixes dtype and device.
        values = self.embed_tokens(flat.clamp(min=0))
        return _put(values, own, self.tokens.embed(flat[own])) if bool(own.any()) else values


def _put(values: Tensor, where: Tensor, block: Tensor) -> Tensor:
    """Put the rows of a block in the place of those that a mask names."""
    at = where.nonzero().squeeze(1).to(values.device)
    return values.index_copy(0, at, block.to(device=values.device, dtype=values.dtype))

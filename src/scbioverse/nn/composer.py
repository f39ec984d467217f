"""The one place where soft tokens are spliced into embedded text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ..errors import InputError, MismatchError

if TYPE_CHECKING:
    from .biotokens import BioTokens

PaddingSide = Literal["left", "right"]
Soft = Mapping[str, Tensor | Sequence[Tensor | None]]


@dataclass(frozen=True, eq=False)
class Composed:
    """A batch the language model can read, padded on either side."""

    inputs_embeds: Tensor  # (n, T, d_llm), in the language model's dtype; zero where padded
    attention_mask: Tensor  # int64 (n, T), 1 for tokens
    position_ids: Tensor  # int64 (n, T), number of tokens before each token in its row


class Composer:
    """Turns token ids with placeholders, and the soft tokens for them, into one batch of embeddings.

    `embed_tokens` is the language model's own lookup, int64 (m,) to (m, d_llm); `tokens` are markers and placeholders.
    """

    def __init__(self, embed_tokens: Callable[[Tensor], Tensor], tokens: BioTokens) -> None:
        self.embed_tokens = embed_tokens
        self.tokens = tokens
        self._placeholders = {tokens.placeholder(name): name for name in tokens.modalities}

    def compose(
        self,
        ids: Sequence[Sequence[int]],
        soft: Soft | None = None,
        *,
        padding_side: PaddingSide = "right",
    ) -> Composed:
        """Embed and pad rows of ids, with soft tokens in the place of placeholders.

        A row holds the language model's ids (≥ 0) and those of the bio tokens (< 0). Soft tokens are given by modality.
        A tensor (n, n_soft, d_llm) gives every row one object; a sequence of n items gives each row its own: a tensor
        (k, n_soft, d_llm) of k objects, (n_soft, d_llm) for one, or None. They fill the row's placeholders of that
        modality in order; shorter rows are filled up on the `padding_side`. Nothing that is returned shares memory with
        `soft`, and gradients flow back to it.

        A :class:`MismatchError` says that a row has more or fewer placeholders of a modality than soft tokens were
        given; an :class:`InputError` that there are no rows, an empty one, an unknown id, modality or padding side, or
        soft tokens of another width.
        """
        rows = [list(row) for row in ids]
        if not rows or any(not row for row in rows):
            empty = [i for i, row in enumerate(rows) if not row]
            raise InputError(f"compose needs at least one row and no empty one, found {len(rows)}, empty: {empty[:5]}.")
        if padding_side not in ("left", "right"):
            raise InputError(f"padding_side is 'left' or 'right', found {padding_side!r}.")
        width = max(len(row) for row in rows)
        starts = [width - len(row) if padding_side == "left" else 0 for row in rows]
        flat = torch.tensor([token for row in rows for token in row], dtype=torch.long)
        # Position of each token in the padded batch, counted row after row.
        place = torch.tensor(
            [i * width + starts[i] + t for i, row in enumerate(rows) for t in range(len(row))], dtype=torch.long
        )
        values = self._embed(flat, self._gather(rows, soft or {}))
        mask = torch.zeros(len(rows) * width, dtype=torch.long).index_fill_(0, place, 1).view(len(rows), width)
        embeds = values.new_zeros(len(rows) * width, values.shape[1]).index_copy(0, place.to(values.device), values)
        return Composed(
            inputs_embeds=embeds.view(len(rows), width, -1),
            attention_mask=mask.to(values.device),
            position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(values.device),
        )

    def _gather(self, rows: list[list[int]], soft: Soft) -> dict[int, Tensor]:
        """Check the counts row by row and return, by placeholder id, soft tokens (m, d) in reading order."""
        unknown = sorted(set(soft) - set(self.tokens.modalities))
        if unknown:
            raise InputError(f"Soft tokens of unknown modality {unknown}; there are {list(self.tokens.modalities)}.")
        found: dict[int, Tensor] = {}
        for number, modality in self._placeholders.items():
            blocks = self._blocks(modality, soft.get(modality), len(rows))
            for i, row in enumerate(rows):
                wanted = row.count(number)
                given = 0 if blocks[i] is None else blocks[i].shape[0]  # type: ignore[union-attr]
                if wanted != given:
                    raise MismatchError(
                        f"Row {i} has {wanted} placeholders for {modality!r}, but {given} soft tokens were given."
                    )
            present = [block for block in blocks if block is not None]
            if present:
                found[number] = torch.cat(present)
        return found

    def _blocks(self, modality: str, given: Tensor | Sequence[Tensor | None] | None, n: int) -> list[Tensor | None]:
        """Return one (m, d) tensor or None per row."""
        if given is None:
            return [None] * n
        if len(given) != n:
            raise MismatchError(f"Soft tokens of {modality!r} are for {len(given)} rows, the prompt has {n}.")
        d = self.tokens.d_llm
        blocks: list[Tensor | None] = []
        for i, item in enumerate(given):
            if item is not None and (item.ndim not in (2, 3) or item.shape[-1] != d):
                raise InputError(
                    f"Soft tokens of {modality!r} in row {i} have shape {tuple(item.shape)}, expected (…, n_soft, {d})."
                )
            blocks.append(None if item is None else item.reshape(-1, d))
        return blocks

    def _embed(self, flat: Tensor, soft: dict[int, Tensor]) -> Tensor:
        """Embed ids (m,) to (m, d): each kind of id from its own table."""
        text = flat >= 0
        holders = torch.isin(flat, torch.tensor(sorted(self._placeholders)))
        own = ~text & ~holders
        # One lookup for all, a stand-in where the id is not the language model's: it fixes dtype and device.
        values = self.embed_tokens(flat.clamp(min=0))
        if values.shape[1] != self.tokens.d_llm:
            raise MismatchError(
                f"The language model is {values.shape[1]} wide, the bio tokens are made for {self.tokens.d_llm}."
            )
        parts = [(own, self.tokens.embed(flat[own]))] if bool(own.any()) else []
        parts += [(flat == number, block) for number, block in soft.items()]
        for where, block in parts:
            at = where.nonzero().squeeze(1).to(values.device)
            values = values.index_copy(0, at, block.to(device=values.device, dtype=values.dtype))
        return values

"""How a Hugging Face tokenizer takes SMILES or residues: spelling, special tokens, windows."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# These number their positions from the padding id + 1, so that two of them are never used.
_OFFSET_POSITIONS = frozenset({"roberta", "camembert", "xlm-roberta", "esm", "longformer", "mpnet"})
_NO_LIMIT = 100_000  # tokenizers without a limit say a number far above this
_PROBE = {"protein": "ACDEFGHIK", "molecule": "CCO"}


@dataclass
class Spelling:
    """How texts are written for one tokenizer, found out by trying.

    `spaced`: residues are separated by spaces (ProtBert). `replace`: letters that it does not know, and what stands for
    them. `prefix` and `suffix`: special tokens around a text.
    """

    tokenizer: Any
    modality: str
    spaced: bool = False
    replace: dict[int, str] = field(default_factory=dict)
    prefix: list[int] = field(default_factory=list)
    suffix: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.modality == "protein":
            self._try_residues()
        bare, whole = self.ids([_PROBE[self.modality]])[0], self._call(_PROBE[self.modality], special=True)
        at = next((i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare), None)
        if at is None or not bare:
            raise WeightsError(f"the tokenizer does not read {_PROBE[self.modality]!r}: it gives {whole} and {bare}")
        self.prefix, self.suffix = whole[:at], whole[at + len(bare) :]

    def _try_residues(self) -> None:
        unknown = self.tokenizer.unk_token_id
        for self.spaced in (False, True):
            ids = self.ids([_PROBE["protein"]])[0]
            if ids and unknown not in ids:
                break
        else:
            raise WeightsError(
                f"the tokenizer knows no residues: {_PROBE['protein']!r} gives {ids}, with and without spaces. "
                "Its files (vocab.txt, tokenizer_config.json) may be incomplete, or do_lower_case may be on."
            )
        for letter in string.ascii_uppercase:
            ids = self.ids([letter])[0]
            if not ids or unknown in ids:
                self.replace[ord(letter)] = "X"
        if ord("X") in self.replace:
            # No letter for an unknown residue: leave it to the tokenizer's own unknown token.
            self.replace = {}

    def ids(self, values: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens left out."""
        return [self._call(value, special=False) for value in values]

    def _call(self, value: str, *, special: bool) -> list[int]:
        text = value.translate(self.replace)
        text = " ".join(text) if self.spaced else text
        # verbose=False: a text above the limit is expected here, windows are cut afterwards.
        return list(self.tokenizer(text, add_special_tokens=special, truncation=False, verbose=False)["input_ids"])

    def room(self, config: Any) -> int | None:
        """Most tokens of a text that the network takes at once, None without limit."""
        limits = [getattr(self.tokenizer, "model_max_length", None)]
        if getattr(config, "position_embedding_type", "absolute") != "relative":
            positions = getattr(config, "max_position_embeddings", None)
            offset = 2 if getattr(config, "model_type", "") in _OFFSET_POSITIONS else 0
            limits.append(None if positions is None else positions - offset)
        held = [int(limit) for limit in limits if limit is not None and 0 < limit < _NO_LIMIT]
        if not held:
            return None
        room = min(held) - len(self.prefix) - len(self.suffix)
        if room < 1:
            raise WeightsError(f"the network takes {min(held)} tokens, special ones included: no room for a text")
        return room


def windows(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Cut 0..length into windows of at most `size` that overlap by `overlap` or, the last one, by more.

    Every position is covered, all windows but a single one have the full size.
    """
    if size < 1 or not 0 <= overlap < size:
        raise InputError(f"a window must have at least one token and overlap by less; found {size} and {overlap}")
    if length <= size:
        return [(0, length)]
    starts = [*range(0, length - size, size - overlap), length - size]
    return [(start, start + size) for start in starts]


def coverage_weights(length: int, cuts: list[tuple[int, int]]) -> list[NDArray[np.float32]]:
    """Weight of each token in each window so that every position of the text counts 1 / length in all."""
    covered = np.zeros(length)
    for start, stop in cuts:
        covered[start:stop] += 1
    return [(1 / (covered[start:stop] * length)).astype(np.float32) for start, stop in cuts]

"""What a model can say of a modality that it writes of by phrases."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .._untrusted import FOREIGN, read_json_object
from ..errors import InputError, WeightsError
from .config import check_types

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class PhraseGroup:
    """Phrases of one kind, of which an object gets some; see :class:`PhraseBook`."""

    lead: str  # words before the group's phrases
    phrases: tuple[str, ...]
    most: int = 1  # at most so many are said of an object
    least: float = 0.0  # probability that a phrase needs; 0 says the first ones however improbable they are

    def __post_init__(self) -> None:
        object.__setattr__(self, "phrases", tuple(self.phrases))  # JSON gives a list
        if not self.phrases or self.most < 1 or not 0 <= self.least <= 1:
            raise InputError(
                f"a group needs phrases, most ≥ 1 and least in 0 to 1, found {len(self.phrases)} phrases, {self.most} "
                f"and {self.least}."
            )


@dataclass(frozen=True)
class PhraseBook:
    """How the language model writes of a modality whose projector was trained for retrieval alone.

    A :class:`~scbioverse.nn.PhraseHead` finds phrases that hold of an embedding, and the language model reads the
    embeddings of their words in a prompt of their own: it knows these without training.
    """

    groups: tuple[PhraseGroup, ...]  # in the order in which they are said
    hidden: int  # width of the head
    opening: str  # prompt before the phrases
    closing: str  # prompt behind them
    longest: int = 40  # at most so many tokens of phrases are read

    def __post_init__(self) -> None:
        read = (one if isinstance(one, PhraseGroup) else PhraseGroup(**one) for one in self.groups)
        object.__setattr__(self, "groups", tuple(read))
        if not self.groups or not self.opening.strip() or min(self.hidden, self.longest) < 1:
            raise InputError(
                f"a phrase book needs groups, an opening, hidden ≥ 1 and longest ≥ 1, found {len(self.groups)} groups, "
                f"{self.opening!r:.40}, {self.hidden} and {self.longest}."
            )

    @classmethod
    def read(cls, file: Path) -> PhraseBook:
        """Read what :meth:`write` wrote; a :class:`WeightsError` where the file holds something else."""
        try:
            return check_types(cls(**read_json_object(file, strict=True)))
        except FOREIGN as error:
            raise WeightsError(f"{file} holds no phrases: {error}") from error

    def write(self, file: Path) -> None:
        """Write the book as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def phrases(self) -> list[str]:
        """All phrases, group after group."""
        return [phrase for group in self.groups for phrase in group.phrases]

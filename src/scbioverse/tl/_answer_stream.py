"""An answer, whole or in pieces."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import pandas as pd

from ..errors import InputError
from ..knowledge.sentences import split_sentences

_PIECE = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer and what it rests on.

    Attributes
    ----------
    text
        The answer.
    question
        The question as it was read: one line, bounded.
    kind
        What it was taken to ask for, such as `"count"`, `"markers"` or `"open"`.
    computed
        Whether it was computed from the data; the language model had no part in it then.
    evidence
        The numbers it rests on, one row a group or gene.
    claims
        Every claim about a gene in what the language model wrote, with its verdict.
    prompt
        What the language model was asked; empty where it was not.
    dropped
        Sentences that it wrote and that could not be kept: contradicted by the data, or not testable.
    """

    text: str
    question: str
    kind: str
    computed: bool
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    claims: pd.DataFrame = field(default_factory=pd.DataFrame)
    prompt: str = ""
    dropped: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


class AnswerStream(Iterator[str]):
    """Pieces of an answer as they come; joined, they are its text.

    Attributes
    ----------
    answer
        The whole answer, None before the last piece was taken.
    """

    def __init__(self, pieces: Generator[str, None, Answer]) -> None:
        self._pieces = pieces
        self.answer: Answer | None = None

    def __next__(self) -> str:
        """Return the next piece."""
        try:
            return next(self._pieces)
        except StopIteration as end:
            if end.value is not None:
                self.answer = end.value
            raise StopIteration from None

    def finish(self) -> Answer:
        """Take all pieces that are left and return the answer."""
        for _ in self:
            pass
        if self.answer is None:
            raise InputError("the answer was broken off; ask again.")
        return self.answer


def pieces(text: str, said: bool = False) -> list[str]:
    """Cut a text into words with the space behind them; with `said`, a space goes before the first."""
    return _PIECE.findall(f" {text}" if said else text)


def whole_sentences(pieces: Iterator[str]) -> Iterator[str]:
    """Join pieces of text to whole sentences."""
    text = ""
    for piece in pieces:
        text += piece
        whole = split_sentences(text)
        # The last one may go on.
        yield from whole[:-1]
        text = whole[-1] + (" " if text[-1:].isspace() else "") if whole else ""
    yield from split_sentences(text)

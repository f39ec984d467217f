"""An answer, whole or in pieces, and a conversation of them."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import InputError

if TYPE_CHECKING:
    from .query import Query

_PIECE = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, eq=False)
class Result:
    """What a query gives: sentences, the table they rest on, and as in :class:`Answer` the value by itself."""

    text: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    value: Any = None
    computed: bool = True


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer and what it rests on.

    Attributes
    ----------
    text
        The answer; it begins with what was understood.
    question
        The question as it was read: one line, bounded.
    kind
        What it was taken to ask for, such as `"count"` or `"markers"`; `"refusal"` where it was not answered.
    computed
        Whether every word of the question was understood and all of the answer computed from the data.
    evidence
        The numbers it rests on, one row a group or gene.
    query
        The query that was run, None where the question was not understood.
    value
        What was asked for by itself: a number (a share between 0 and 1), True or False, a list of names, or what each
        of several names has; None of a text, of a refusal, and of what is neither a yes nor a no.
    """

    text: str
    question: str
    kind: str
    computed: bool
    evidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    query: Query | None = None
    value: Any = None

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


def pieces(text: str) -> list[str]:
    """Cut a text into words with the space behind them."""
    return _PIECE.findall(text)

"""`sb.tl.ask`: questions about cells, answered from the data where they can be, and checked where they cannot."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._errors import InputError
from ..knowledge.claims import split_sentences
from ..llm.questions import MAX_QUESTION_CHARS, bounded
from ._question_cells import AskedCells
from ._question_facts import NOT_ENOUGH, compute
from ._question_model import checked, prompt_evidence, retrieve, targets
from ._questions import COMPUTED, Question, read_question

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse

_PIECE = re.compile(r"\S+\s*")


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


def ask(
    adata: AnnData,
    question: str,
    *,
    groupby: str | None = None,
    cells: Any = None,
    model: str | Path | BioVerse = "bioverse-small",
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    key_added: str = "bioverse",
    max_new_tokens: int = 64,
    device: str = "auto",
    stream: bool = False,
) -> Answer | AnswerStream:
    """Ask a question about cells; `adata` is not changed.

    What can be computed is computed, and the answer says so: which genes mark a group, how many cells there are, which
    fraction expresses a gene, where a gene is expressed, how two groups differ. For anything else the model reads the
    mean embedding of each group and names its type, what the Cell Ontology and the marker tables know about it is
    looked up, and the language model writes a sentence from soft tokens and measured evidence. Of that sentence only
    what claims something about genes, and is right about all of it, is kept. Where nothing is left, the answer is that
    there is not enough evidence.

    Parameters
    ----------
    adata
        Counts or log-normalised values, annotated or not.
    question
        In English. It is read as data: control characters and special-token strings have no effect, and only the first
        400 characters are read.
    groupby
        Column of `obs` whose groups are meant. Groups of other categorical columns are found by name, too.
    cells
        Cells asked about: a mask, positions or names. All if not given. "Others" are always the rest of `adata`.
    model
        Name of a model, path of one, or a model; loaded only where it is needed.
    modality
        Which of the model's encoders to use.
    key
        Where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    layer
        Layer to read: `X` if not given, `adata.raw` for `"raw"`.
    key_added
        Stem of the slots in which :func:`scbioverse.tl.annotate` left labels; used where they are there.
    max_new_tokens
        Most tokens the language model writes.
    device
        Where to run the language model, and the encoder if it has a network: a torch device, or `"auto"`:
        `settings.device`, else the first GPU, else the CPU. A model that is handed in is moved.
    stream
        Return an iterator over pieces of text, whose `answer` is filled at the end.

    Returns
    -------
    The answer, or the stream.

    Raises
    ------
    InputError
        The question is empty, or the selection or the data cannot be used.
    MissingKeyError
        `groupby`, `layer` or `key` is not there.
    WeightsError
        The model is needed and not found.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> answer = sb.tl.ask(adata, "Which fraction of B cells expresses MS4A1?", groupby="cell_type")
    >>> print(answer, answer.computed)
    >>> answer.evidence
    """
    asked = AskedCells(
        adata,
        groupby=groupby,
        cells=cells,
        model=model,
        modality=modality,
        key=key,
        layer=layer,
        key_added=key_added,
        device=device,
    )
    pieces = answer_pieces(asked, question, max_new_tokens=max_new_tokens)
    return AnswerStream(pieces.stream) if stream else AnswerStream(pieces.stream).finish()


@dataclass(frozen=True, eq=False)
class Asked:
    """A question that was read, and its answer to come.

    Attributes
    ----------
    question
        As it was read.
    stream
        Yields the answer's pieces and returns the answer.
    """

    question: Question
    stream: Generator[str, None, Answer]


def answer_pieces(
    cells: AskedCells,
    question: str,
    *,
    max_new_tokens: int,
    before: Question | None = None,
    turns: Sequence[tuple[str, str]] = (),
) -> Asked:
    """Read a question and begin to answer it; errors in the input are raised here, not at the first piece."""
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, found {max_new_tokens}.")
    text = bounded(question, MAX_QUESTION_CHARS)
    if not text:
        raise InputError(f"the question {question!r:.60} holds no readable character.")
    read = read_question(text, cells.adata, cells.columns, cells.genes, before=before)
    return Asked(read, _pieces(cells, read, max_new_tokens, turns))


def _pieces(
    cells: AskedCells, question: Question, max_new_tokens: int, turns: Sequence[tuple[str, str]]
) -> Generator[str, None, Answer]:
    if question.kind in COMPUTED:
        fact = compute(question, cells)
        yield from _PIECE.findall(fact.text)
        return Answer(fact.text, question.text, question.kind, True, fact.table)
    said: list[str] = []
    found = [] if question.kind in ("definition", "tissue") else targets(question, cells)
    for sentence in retrieve(question, cells, found):
        yield from _PIECE.findall(sentence if not said else f" {sentence}")
        said.append(sentence)
    evidence = _evidence(found)
    prompt, claims, dropped = "", pd.DataFrame(), []
    if found:
        asks = cells.model.questioner
        made = asks.prompt(
            question.text,
            objects=[(cells.modality, "" if len(found) == 1 else one.name) for one in found[:2]],
            evidence=prompt_evidence(found),
            turns=turns,
        )
        prompt = made.text
        soft = {cells.modality: cells.embed([one.mask for one in found[:2]])}
        parts = []
        # Each sentence is tested as soon as it is whole: what streams has been checked.
        for sentence in _sentences(asks.stream(made, soft, max_new_tokens=max_new_tokens)):
            kept, bad, table = checked(sentence, cells, found)
            dropped += bad
            if len(table):
                parts.append(table)
            if kept and kept not in said:
                yield from _PIECE.findall(kept if not said else f" {kept}")
                said.append(kept)
        claims = pd.concat(parts, ignore_index=True) if parts else claims
    if not said:
        yield from _PIECE.findall(NOT_ENOUGH)
        said.append(NOT_ENOUGH)
    return Answer(" ".join(said), question.text, question.kind, False, evidence, claims, prompt, tuple(dropped))


def _sentences(pieces: Iterator[str]) -> Iterator[str]:
    """Join pieces of text to whole sentences."""
    text = ""
    for piece in pieces:
        text += piece
        whole = split_sentences(text)
        # The last one may go on.
        yield from whole[:-1]
        text = whole[-1] + (" " if text[-1:].isspace() else "") if whole else ""
    yield from split_sentences(text)


def _evidence(found: list[Any]) -> pd.DataFrame:
    parts = []
    for one in found:
        table = one.table.copy()
        table.insert(0, "group", one.name)
        table.insert(1, "label", one.label)
        table.insert(2, "cl_id", one.cl_id or "")
        parts.append(table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

"""`sb.tl.ask`: questions about rows, answered from the data where they can be, and checked where they cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._mudata import anndata_of
from ..errors import InputError
from ..llm.questions import MAX_QUESTION_CHARS, bounded
from ._answer_stream import Answer, AnswerStream, pieces, whole_sentences
from ._asked_sequences import SEQUENCE_MODALITIES, AskedSequences
from ._question_cells import AskedCells
from ._question_facts import NOT_ENOUGH, compute, joined
from ._question_model import checked, prompt_evidence, retrieve, targets
from ._questions import COMPUTED, Question, read_question
from ._sequence_answers import sequence_pieces
from ._sequence_questions import SequenceQuestion, read_sequence_question

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse


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
    reference: AnnData | None = None,
    text_key: str = "text",
) -> Answer | AnswerStream:
    """Ask a question about cells, molecules or proteins; `adata` is not changed.

    What can be computed is computed, and the answer says so: which genes mark a group, how many cells there are, which
    fraction expresses a gene, where a gene is expressed, how two groups differ. For anything else the model reads the
    mean embedding of each group and names its type, what the Cell Ontology and the marker tables know about it is
    looked up, and the language model writes a sentence from soft tokens and measured evidence. Of that sentence only
    what claims something about genes, and is right about all of it, is kept. Where nothing is left, the answer is that
    there is not enough evidence.

    With `modality="molecule"` or `"protein"` a row is one, and a question names it as `obs_names` or a column `name` of
    `obs` do. Numbers, properties, comparisons, the largest and the smallest are computed from SMILES (by rdkit) or
    sequences. "Which ... are antibiotics?" is answered by nearness to the words, "which are most like X?" by nearness
    to the row. What a row is or does is said from `reference`, where given; else from the phrases that the model finds
    in the embedding (`bioverse-small`: of molecules), where the language model writes sentences of which only those
    made of these phrases are kept; else not at all.

    Parameters
    ----------
    adata
        Counts or log-normalised values, annotated or not. Of molecules and proteins a table such as
        :func:`scbioverse.pp.molecules` and :func:`scbioverse.pp.proteins` make.
    question
        In English. It is read as data: control characters and special-token strings have no effect, and only the first
        400 characters are read.
    groupby
        Column of `obs` whose groups are meant. Groups of other categorical columns are found by name, too.
    cells
        Cells (rows) asked about: a mask, positions or names. All if not given. "Others" are always the rest of `adata`.
    model
        Name of a model, path of one, or a model; loaded only where it is needed.
    modality
        Which of the model's encoders to use; with `"molecule"` and `"protein"` also what a row is.
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
    reference, text_key
        For molecules and proteins: rows of the same modality with texts in the column `text_key` of their `obs`, as in
        :func:`scbioverse.tl.describe`. What a row is or does is then said by the text of its nearest row there.

    Returns
    -------
    The answer, or the stream.

    Raises
    ------
    InputError
        The question is empty, the selection or the data cannot be used, or `reference` is given for cells.
    MissingKeyError
        `groupby`, `layer`, `key` or `text_key` is not there.
    OptionalDependencyError
        Molecules are asked about, and rdkit is not installed.
    WeightsError
        The model is needed and not found.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> answer = sb.tl.ask(adata, "Which fraction of B cells expresses MS4A1?", groupby="cell_type")
    >>> print(answer, answer.computed)
    >>> answer.evidence
    >>> drugs = sb.pp.molecules(pd.DataFrame({"smiles": ["CN1C=NC2=C1C(=O)N(C(=O)N2C)C"]}, index=["caffeine"]))
    >>> print(sb.tl.ask(drugs, "What is the molecular weight of caffeine?", modality="molecule"))
    """
    asked = asked_rows(
        adata, groupby=groupby, cells=cells, model=model, modality=modality, key=key, layer=layer, key_added=key_added,
        device=device, reference=reference, text_key=text_key,
    )  # fmt: skip
    begun = answer_pieces(asked, question, max_new_tokens=max_new_tokens)
    return AnswerStream(begun.stream) if stream else AnswerStream(begun.stream).finish()


def asked_rows(
    adata: AnnData, *, modality: str, reference: AnnData | None, text_key: str, **options: Any
) -> AskedCells | AskedSequences:
    """Read what a question is about: molecules and proteins by their structures, anything else by its genes.

    Raises
    ------
    InputError
        There is no such modality, or a reference is given that would not be read.
    """
    adata, reference = anndata_of(adata, modality), anndata_of(reference, modality)
    if modality in SEQUENCE_MODALITIES:
        return AskedSequences(adata, modality=modality, reference=reference, text_key=text_key, **options)
    if modality != "cell":
        raise InputError(f"modality={modality!r}; choose 'cell', 'molecule' or 'protein'.")
    if reference is not None or text_key != "text":
        raise InputError(
            f"reference and text_key are for modality='molecule' and 'protein', not {modality!r}: leave them out. "
            "Cells get the texts of a reference by scbioverse.tl.describe(adata, reference=...)."
        )
    return AskedCells(adata, modality=modality, **options)


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

    question: Question | SequenceQuestion
    stream: Generator[str, None, Answer]


def answer_pieces(
    cells: AskedCells | AskedSequences,
    question: str,
    *,
    max_new_tokens: int,
    before: Question | SequenceQuestion | None = None,
    turns: Sequence[tuple[str, str]] = (),
) -> Asked:
    """Read a question and begin to answer it; errors in the input are raised here, not at the first piece."""
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens must be at least 1, found {max_new_tokens}.")
    if not isinstance(question, str):
        raise InputError(f"question is one text; found a {type(question).__name__}. Ask one question a call.")
    text = bounded(question, MAX_QUESTION_CHARS)
    if not text:
        raise InputError(f"the question {question!r:.60} holds no readable character.")
    if isinstance(cells, AskedSequences):
        found = read_sequence_question(text, cells, before=before if isinstance(before, SequenceQuestion) else None)
        return Asked(found, sequence_pieces(cells, found, max_new_tokens))
    last = before if isinstance(before, Question) else None
    read = read_question(text, cells.adata, cells.columns, cells.genes, before=last)
    return Asked(read, _pieces(cells, read, max_new_tokens, turns))


def _pieces(
    cells: AskedCells, question: Question, max_new_tokens: int, turns: Sequence[tuple[str, str]]
) -> Generator[str, None, Answer]:
    if question.kind in COMPUTED:
        fact = compute(question, cells)
        yield from pieces(fact.text)
        return Answer(fact.text, question.text, question.kind, True, fact.table)
    said: list[str] = []
    found = [] if question.kind in ("definition", "tissue") else targets(question, cells)
    for sentence in retrieve(question, cells, found):
        yield from pieces(sentence, bool(said))
        said.append(sentence)
    evidence = _evidence(found)
    prompt, claims, dropped = "", pd.DataFrame(), []
    if found:
        asks = cells.model.text_writer
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
        for sentence in whole_sentences(asks.stream(made, soft, max_new_tokens=max_new_tokens)):
            kept, bad, table = checked(sentence, cells, found)
            dropped += bad
            if len(table):
                parts.append(table)
            if kept and kept not in said:
                yield from pieces(kept, bool(said))
                said.append(kept)
        claims = pd.concat(parts, ignore_index=True) if parts else claims
    if not said:
        yield from pieces(NOT_ENOUGH)
        said.append(NOT_ENOUGH)
    return Answer(" ".join(said), question.text, question.kind, False, evidence, claims, prompt, tuple(dropped))


def _evidence(found: list[Any]) -> pd.DataFrame:
    parts = []
    for one in found:
        table = one.table.copy()
        table.insert(0, "group", one.name)
        table.insert(1, "label", one.label)
        table.insert(2, "cl_id", one.cl_id or "")
        parts.append(table)
    return joined(parts) if parts else pd.DataFrame()

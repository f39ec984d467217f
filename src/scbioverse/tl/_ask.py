"""`sb.tl.ask` and `sb.Chat`: questions about rows, answered from the data or not at all, one or one after another."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._slots import anndata_of
from ..ask.answer import Answer, AnswerStream, pieces
from ..ask.asked import Asked
from ..ask.read import Both, Grammar
from ..errors import InputError, OptionalDependencyError, WeightsError
from ..io.state import State
from ..llm.resolve import DEFAULT_LLM, KNOWN_LLMS

if TYPE_CHECKING:
    from anndata import AnnData

    from ..ask import Query
    from ..ask.link import Names
    from ..ask.read import Reader
    from ..models import BioVerse


def ask(
    adata: AnnData,
    question: str | Query,
    *,
    groupby: str | None = None,
    cells: Any = None,
    model: str | Path | BioVerse = "bioverse-small",
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    key_added: str = "bioverse",
    device: str = "auto",
    stream: bool = False,
    reference: AnnData | None = None,
    text_key: str = "text",
    reader: str | Path = "auto",
) -> Answer | AnswerStream:
    """Ask a question about cells, molecules or proteins; `adata` is not changed.

    The words of the question are linked to the names of these data (groups, cell types and their kinds, genes with
    older names, columns, properties), then read into a :class:`scbioverse.ask.Query`, which is run. Every number comes
    from the data. A question of which one word stands for nothing, or that can be read in two ways, is not answered:
    the answer names the word and says what can be asked.

    Parameters
    ----------
    adata
        Counts or log-normalised values, annotated or not. Of molecules and proteins a table such as
        :func:`scbioverse.pp.molecules` and :func:`scbioverse.pp.proteins` make.
    question
        In English, or a query. Words are read as data: control characters and special-token strings have no effect,
        and only the first 400 characters are read.
    groupby
        Column of `obs` whose groups are meant. Groups of other categorical columns are found by name, too.
    cells
        Cells (rows) asked about: a mask, positions or names. All if not given. "Others" are always the rest of `adata`.
    model
        Name of a model, path of one, or a model; loaded only where nearness is asked for.
    modality
        `"cell"`, `"molecule"` or `"protein"`: what a row is.
    key
        Where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    layer
        Layer to read: `X` if not given, `adata.raw` for `"raw"`.
    key_added
        Stem of the slots in which :func:`scbioverse.tl.annotate` left labels; used where they are there.
    device
        Where to run the model: a torch device, or `"auto"`. A model that is handed in is moved.
    stream
        Return an iterator over pieces of text, whose `answer` is filled at the end.
    reference, text_key
        For molecules and proteins: rows of the same modality with texts in the column `text_key` of their `obs`, as in
        :func:`scbioverse.tl.describe`. What a row is or does is then said by the text of its nearest row there.
    reader
        `"rules"`; `"both"`: a small language model proposes where these fail; `"auto"`: if installed; or a model.

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
    >>> answer = sb.tl.ask(adata, "Which fraction of B cells expresses MS4A1?", groupby="cell_type")
    >>> print(answer, answer.computed, answer.evidence, answer.query)
    >>> drugs = sb.pp.molecules(pd.DataFrame({"smiles": ["CN1C=NC2=C1C(=O)N(C(=O)N2C)C"]}, index=["caffeine"]))
    >>> print(sb.tl.ask(drugs, "What is the molecular weight of caffeine?", modality="molecule"))
    """
    asked = asked_rows(
        adata, groupby=groupby, cells=cells, model=model, modality=modality, key=key, layer=layer, key_added=key_added,
        device=device, reference=reference, text_key=text_key, reader=reader,
    )  # fmt: skip
    answer = asked.answer(question)
    return AnswerStream(streamed(answer)) if stream else answer


def streamed(answer: Answer) -> Generator[str, None, Answer]:
    """Yield the pieces of an answer and return it."""
    yield from pieces(answer.text)
    return answer


def asked_rows(
    adata: AnnData, *, modality: str, reference: AnnData | None, text_key: str, model: Any, device: str,
    key: str | None, layer: str | None, reader: str | Path = "rules", **options: Any,
) -> Asked:  # fmt: skip
    """Read what a question is about: molecules and proteins by their structures, cells by their genes."""
    from ..ask.cells import Cells
    from ..ask.sequences import KEYS, Sequences

    adata, reference = anndata_of(adata, modality), anndata_of(reference, modality)
    reading: Callable[[Names], Reader] = partial(_reading, reader=reader, device=device)
    if modality in KEYS:
        from ..ask.nearest import Nearness

        rows = Sequences(adata, modality=modality, key=key, text_key=text_key, **options)
        return Asked(
            rows,
            Nearness(rows, model=model, device=device, key=key, layer=layer, reference=reference, text_key=text_key),
            reading,
        )
    if modality != "cell":
        raise InputError(f"modality={modality!r}; choose 'cell', 'molecule' or 'protein'.")
    if reference is not None or text_key != "text":
        raise InputError(
            f"reference and text_key are for modality='molecule' and 'protein', not {modality!r}: leave them out. "
            "Cells get the texts of a reference by scbioverse.tl.describe(adata, reference=...)."
        )
    return Asked(Cells(adata, layer=layer, key=key, **options), reader=reading)


def _reading(names: Names, reader: str | Path, device: str) -> Reader:
    """Make what reads questions about some data; the language model is loaded when the rules do not understand."""

    def opened() -> Reader | None:
        if str(reader) == "auto" and find_spec(KNOWN_LLMS[DEFAULT_LLM].module) is None:
            return None  # found out before torch is imported
        from ..ask.model_reader import model_reader

        try:
            return model_reader(names, reader, device)
        except (WeightsError, OptionalDependencyError):
            if str(reader) != "auto":
                raise
            return None

    rules = Grammar(names)
    return rules if str(reader) == "rules" else Both(rules, opened, names)


class Chat:
    """A conversation: the data are read once, and a follow-up ("and in NK cells?") knows what came before.

    Data that were changed between two questions are read anew.

    Molecules and proteins are talked about in the same way: `modality="molecule"`, "and ibuprofen?".

    Parameters
    ----------
    adata
        The data; not changed.
    groupby, cells, model, modality, key, layer, key_added, device, reference, text_key, reader
        As in :func:`scbioverse.tl.ask`.

    Attributes
    ----------
    history
        Answers given, oldest first; each holds its question and its query.
    modality
        What a row is.

    Examples
    --------
    >>> import scbioverse as sb
    >>> chat = sb.Chat(sb.datasets.pbmc3k(), groupby="cell_type")
    >>> print(chat.ask("How many B cells are there?"))
    >>> print(chat.ask("And NK cells?"))
    """

    def __init__(
        self,
        adata: AnnData,
        *,
        groupby: str | None = None,
        cells: Any = None,
        model: str | Path | BioVerse = "bioverse-small",
        modality: str = "cell",
        key: str | None = None,
        layer: str | None = None,
        key_added: str = "bioverse",
        device: str = "auto",
        reference: AnnData | None = None,
        text_key: str = "text",
        reader: str | Path = "auto",
    ) -> None:
        self._adata, self._reference, self._layer = adata, reference, layer
        self._read = partial(
            asked_rows, adata, groupby=groupby, cells=cells, model=model, modality=modality, key=key, layer=layer,
            key_added=key_added, device=device, reference=reference, text_key=text_key, reader=reader,
        )  # fmt: skip
        self._kept_rows, self.modality = self._read(), modality
        self._seen = self._states()
        self.history: list[Answer] = []

    def _states(self) -> list[State]:
        adata, reference = (anndata_of(one, self.modality) for one in (self._adata, self._reference))
        return [State.of(adata, self._layer), *([State.of(reference)] if reference is not None else [])]

    @property
    def _asked(self) -> Asked:
        """The rows, read anew where the data are no longer what was read."""
        now = self._states()
        if not all(old.same(new) for old, new in zip(self._seen, now, strict=True)):
            self._kept_rows = self._read()
            self._seen = now
        return self._kept_rows

    def ask(self, question: str | Query) -> Answer:
        """Ask and wait for the whole answer; see :func:`scbioverse.tl.ask`."""
        return self.stream(question).finish()

    def stream(self, question: str | Query) -> AnswerStream:
        """Ask and get the answer piece by piece; it joins the history with its last piece."""
        before = next((one.query for one in reversed(self.history) if one.query is not None), None)
        return AnswerStream(self._kept(self._asked.answer(question, before)))

    def _kept(self, answer: Answer) -> Generator[str, None, Answer]:
        yield from streamed(answer)
        self.history.append(answer)
        return answer

    def clear(self) -> None:
        """Forget what was said; the data stay read."""
        self.history.clear()
        self._kept_rows.reader.settle(refused=False)

    def __repr__(self) -> str:
        return f"Chat({self._kept_rows.rows.adata.n_obs} {self.modality}s, {len(self.history)} answers)"

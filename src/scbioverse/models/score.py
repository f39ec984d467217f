"""Label names scored, or written: equal inputs once, blocks small enough for memory, a progress bar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._logging import logger
from .._runs import digest_of, parts_of_run, workers_of_run
from .._settings import settings
from ..errors import InputError, MismatchError
from ..llm.backbone import first_batch
from ..llm.generate import Choices, Generated, generate
from ..llm.score import LabelTrie, score_labels
from .registry import LOADED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .._runs import Parts
    from .candidate_tokens import Candidates
    from .reader import PromptReader

Float = NDArray[np.float32]
# With more tokens in the tree of names than this, reading by levels is quicker than reading all of it; measured with
# SmolLM2-135M on two cores, where nine names (4 tokens) gain a third, 30 names (8 tokens) four fifths.
FEW_TOKENS = 3
# Tree tokens that memory is planned for; of a larger tree a row reads some levels only. 210 names, all levels from a
# probability of 0.001 on, took 3.6 MB a row with SmolLM2-135M, 3.4 by this.
MOST_PLANNED = 48
# On eleven studies, each with its own labels, it changes 2 labels in 1,000 on the mean and 5 after calibration and
# markers (at worst 20 and 43), accuracy by 0.001 and 0.002 (at worst 0.003 and 0.007), macro-F1 of the worst study
# by 0.017. A hundredth changes as many, and takes half as long again where there are 300 labels.
PRUNE = 0.05


# A `BioVerse`, whose class imports this file.
Model = Any


@dataclass(eq=False)
class ScoreJob:
    """Scores names for a block of rows, in this process or in one that loads the same model from its folder."""

    model: Model | None  # a worker loads it from `folder` and checks that it has this `fingerprint`
    candidates: Candidates | None
    modality: str
    names: list[str]
    prune: float | Literal["auto"] | None
    batch_size: int  # rows read at once, fewer where memory runs out
    fingerprint: str = ""
    folder: Path | None = None  # where the model lies; None if nowhere
    parts: Parts | None = None  # where results are kept; None: nowhere

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_trie", "_memory")} | {
            "model": None
        }

    def loaded(self) -> Model:
        """Return the model, loaded at the first call where it was left behind."""
        if self.model is None:
            # By name: the class of models imports this file.
            found = import_module(__package__).load(str(self.folder))
            if found.fingerprint() != self.fingerprint:
                raise MismatchError(
                    f"{self.folder} holds another model on this worker ({found.fingerprint():.12}) than where the run "
                    f"began ({self.fingerprint:.12}). Install the same version of scbioverse everywhere."
                )
            found.modules.eval()
            self.model = found
        return self.model

    def prepare(self) -> None:
        """Make what is the same for all blocks."""
        model = self.loaded()
        reader, what = model.reader, f"{self.modality}s"
        self._trie = LabelTrie(answer_sequences(reader, self.names))
        if self.prune == "auto":
            self.prune = PRUNE if len(self._trie.tokens) > FEW_TOKENS else None
        length = len(reader.prompt(self.modality).head) + min(len(self.names), MOST_PLANNED)
        before = reader.prefix(self.modality).length
        self._memory = first_batch(reader.backbone, self.batch_size, length=length, prefix=before, what=what)
        self.batch_size = self._memory.size

    def __call__(self, block: Float) -> Float:
        """Return log-probabilities (n, m)."""
        key = ""
        if self.parts is not None:
            codes = None if self.candidates is None else self.candidates.codes.cpu().numpy()
            key = digest_of(self.fingerprint, self.modality, self.names, self.prune, codes, block)
            if (held := self.parts.get(key)) is not None:
                return held["log_probs"]
        if not hasattr(self, "_memory"):
            self.prepare()
        forward = partial(self.loaded().forward, modality=self.modality, candidates=self.candidates)
        prune = None if self.prune == "auto" else self.prune  # prepared, it is never "auto"
        with torch.inference_mode():
            found = self._memory.run(
                lambda size: forward(block, partial(score_labels, trie=self._trie, batch_size=size, prune=prune))
            )
        if self.parts is not None:
            self.parts.put(key, {"log_probs": found})
        return found


def score_names(
    model: Model,
    candidates: Candidates | None,
    modality: str,
    rows: Float,
    names: list[str],
    batch_size: int,
    progress: bool | None,
    prune: float | Literal["auto"] | None,
) -> Float:
    """Log-probabilities (n, m) before any temperature; see :meth:`BioVerse.score`.

    `rows` is what the model reads: embeddings, or with `candidates` shares of these.
    """
    job = ScoreJob(model, candidates, modality, names, prune, batch_size)
    job.prepare()
    unique, back = unique_rows(rows.reshape(len(rows), int(np.prod(rows.shape[1:]))))
    out = np.empty((unique.size, len(names)), dtype=np.float32)
    blocks = [slice(start, start + job.batch_size) for start in range(0, unique.size, job.batch_size)]
    job.parts, workers = parts_of_run(), workers_of_run()
    if job.parts is not None or workers is not None:
        job.fingerprint = model.fingerprint()
    if workers is not None:
        job.folder = LOADED.folder_of(job.fingerprint)
        if job.folder is None:
            logger.info("the model lies in no folder that workers could load it from: it scores here. Save it first.")
    show = settings.progress if progress is None else progress
    given = (rows[unique[span]] for span in blocks)
    done = map(job, given) if workers is None or job.folder is None else workers.each(job, ((one,) for one in given))
    with tqdm(total=unique.size, desc="score", unit=modality, disable=not show) as bar:
        for span, found in zip(blocks, done, strict=True):
            out[span] = found
            bar.update(len(found))
    return out[back]


def unique_rows(rows: Float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each different row first stands, and for each row which of these it is, ordered by value.

    Sorting by value and not by place makes the batches, and with them the last bits, independent of the rows' order.
    """
    rows = np.ascontiguousarray(rows)
    if rows.shape[0] == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    packed = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, back = np.unique(packed, return_index=True, return_inverse=True)
    return first.astype(np.int64), back.ravel().astype(np.int64)


def answer_sequences(reader: PromptReader, names: list[str]) -> list[list[int]]:
    """Token ids of names as answers; an :class:`InputError` where there are none, or two read the same."""
    if not names:
        raise InputError("there are no names to score.")
    sequences = [reader.answer_ids(name) for name in names]
    seen: dict[tuple[int, ...], str] = {}
    for name, sequence in zip(names, sequences, strict=True):
        other = seen.setdefault(tuple(sequence), name)
        if other is not name:
            raise InputError(f"names {other!r} and {name!r} read the same to the language model; give each once.")
    return sequences


def write_labels(
    model: Model,
    embeddings: Float,
    names: Sequence[str] | None = None,
    *,
    modality: str = "cell",
    max_new_tokens: int = 24,
    beams: int = 1,
    batch_size: int = 32,
) -> tuple[list[str], Float, NDArray[np.int64]]:
    """Let the language model write a label for each row, freely or one of `names`, which are written to their end.

    Equal embeddings are read once. What is written freely of a modality with phrases of its own (see
    :class:`scbioverse.models.writer.PhraseCaptioner`) is written from these. `batch_size` is the most rows at once:
    fewer where little memory is free.

    Returns the texts; their log-probabilities float32 (n,), among `names` where given; and int64 (n,) which of the
    names each is, -1 for free texts.
    """
    model.check_modality(modality)
    if names is None and modality in model.phrase_books:
        captioner = model.captioner(modality)
        said, likely = captioner.write(embeddings, max_new_tokens=max_new_tokens, beams=beams, batch_size=batch_size)
        return said, likely, np.full(len(said), -1, dtype=np.int64)
    reader = model.writing_reader
    choices = None if names is None else Choices(LabelTrie(answer_sequences(reader, list(names))))
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    unique, back = unique_rows(rows.reshape(len(rows), int(np.prod(rows.shape[1:]))))
    model.modules.eval()
    done: list[Generated] = []
    length = max_new_tokens if choices is None else choices.longest
    memory = first_batch(
        reader.backbone,
        batch_size,
        length=len(reader.prompt(modality).head) + length,
        prefix=reader.prefix(modality).length,
        logits=1,
        copies=beams,
        what=f"{modality}s",
    )
    forward = torch.inference_mode()(partial(model.forward, modality=modality, writes=True))
    write = partial(generate, max_new_tokens=length, allowed=choices, beams=beams)
    with tqdm(total=unique.size, desc="write", unit=modality, disable=not settings.progress) as bar:
        for start in range(0, unique.size, batch_size):
            block = rows[unique[start : start + batch_size]]
            done += memory.run(lambda size, block=block: forward(block, partial(write, batch_size=size)))  # type: ignore[misc]
            bar.update(len(block))
    texts = [" ".join(reader.backbone.decode(one.ids).split()) for one in done]
    log_probs = np.array([one.log_prob for one in done], dtype=np.float32)
    which = np.array([-1 if choices is None else choices.label(one.ids) for one in done], dtype=np.int64)
    return [texts[i] for i in back], log_probs[back], which[back]

"""Label names scored, or written; before that, candidate tokens: shares that become soft tokens of their codes.

Candidate tokens, of which :mod:`scbioverse.models.bioverse` tells, are made in two steps, and the first one decides:
:meth:`CandidateReader.shares`, then :meth:`Candidates.soft_tokens`. Equal inputs are read once, in blocks small enough
for memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from tqdm.auto import tqdm

from .._logging import logger
from .._runs import PARTS, WORKERS, digest_of
from .._settings import settings
from ..errors import InputError, MismatchError
from ..io import row_blocks
from ..knowledge.ontology import candidate_columns, kin_columns
from ..knowledge.phrases import answer_name
from ..llm.backbone import first_batch
from ..llm.generate import Choices, Generated, generate
from ..llm.prompts import MAX_LABEL_CHARS
from ..llm.score import LabelTrie, score_labels
from ..nn import PrototypeProjector
from .registry import LOADED

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .._runs import Parts
    from ..nn import CandidateTokens
    from .config import BioVerseConfig
    from .reader import PromptReader

Float = NDArray[np.float32]
# A candidate without terms resembles a cell as its kin do on average, less this many nats: kin are near, but trained
# terms know their own cells better. Chosen with the studies and types that trainings leave out; of 0 to 4, more finds
# fewer cells of types never trained, less takes more cells of trained types for them.
KIN_NATS = 2.0


def best_of_columns(
    logits: NDArray[np.floating], columns: Sequence[Sequence[int]], kin: Sequence[Sequence[int]] | None = None
) -> NDArray[np.float64] | None:
    """Log-probabilities of m candidates by the best of their terms, from `logits` (n, n_terms).

    `columns` are the positions of each candidate's terms, `kin` those of its nearest of kin
    (:func:`~scbioverse.knowledge.ontology.kin_columns`). A candidate without terms gets the mean of its kin, less
    :data:`KIN_NATS`; without kin it is neither favoured nor ruled out, and gets the median of the others. None where
    fewer than two candidates have terms, so that there is nothing to tell apart.
    """
    held = np.array([len(at) > 0 for at in columns])
    if held.sum() < 2:
        return None
    out = np.zeros((len(logits), len(columns)))
    for i in np.flatnonzero(held).tolist():
        out[:, i] = logits[:, list(columns[i])].max(axis=1)
    strangers = np.flatnonzero(~held).tolist()
    # Rarely there are any: the median of a block takes as long as all of the above.
    middle = np.median(out[:, held], axis=1) if strangers else None
    for i in strangers:
        near = [] if kin is None else list(kin[i])
        out[:, i] = logits[:, near].mean(axis=1) - KIN_NATS if near else middle
    return log_softmax(out, axis=1)


@torch.no_grad()
def attended(
    projector: nn.Module, x: Tensor, terms: Sequence[str], candidates: Sequence[str | None]
) -> NDArray[np.float64] | None:
    """Log-probabilities of candidates by the attention of a projector, no language model: float64 (n, m).

    The attention over prototypes that stand for ontology `terms` is a classifier over these; see
    :func:`best_of_columns`. `candidates` are Cell Ontology ids or None, `x` is (n, n_tokens, dim), where the projector
    is. None where the projector knows no terms, or at most one of the candidates.
    """
    if not isinstance(projector, PrototypeProjector):
        return None
    columns = candidate_columns(candidates, terms)
    kin = kin_columns([None if at else one for one, at in zip(candidates, columns, strict=True)], terms)
    # In float64, so that how many rows are computed together changes nothing that could ever be seen.
    exact = torch.float32 if x.device.type == "mps" else torch.float64
    return best_of_columns(projector.eval().logits(x, dtype=exact).cpu().numpy(), columns, kin)


# Shares are rounded to so many parts: cells of one type then often have the same soft tokens, and are read once. Of 8
# parts in place of 32, half as many are read, and mean accuracies (development, left out, types) fall by 0 to 0.003.
STEPS = 8
_ROWS = 4096  # computed at a time: it changes memory only


def in_steps(shares: NDArray[np.floating], steps: int) -> Float:
    """Round each row of shares (n, m) to multiples of `1 / steps` that add up to 1, by largest remainders.

    Each entry moves by less than one part; of equal remainders the first goes up.
    """
    whole = np.asarray(shares, dtype=np.float64) * steps
    # 7 of 32 parts may come as 6.999...: what is that near to a number of parts is that number.
    low = np.floor(whole + 1e-9)
    missing = np.rint(steps - low.sum(axis=1)).astype(np.int64)
    order = np.argsort(low - whole, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(whole.shape[1]), whole.shape), axis=1)
    return ((low + (rank < missing[:, None])) / steps).astype(np.float32)


@torch.no_grad()
def name_code(reader: PromptReader, name: str, *, max_chars: int = MAX_LABEL_CHARS) -> Tensor:
    """Slots of a text, float32 (n_soft, d_llm): its tokens' input embeddings, the last slot the mean of those left."""
    ids = reader.answer_ids(name, max_chars=max_chars)[:-1]
    words = reader.backbone.embed_tokens(torch.tensor(ids, device=reader.backbone.device)).float()
    n_soft = reader.n_soft
    if len(ids) <= n_soft:
        return torch.cat([words, words[-1:].expand(n_soft - len(ids), -1)])
    return torch.cat([words[: n_soft - 1], words[n_soft - 1 :].mean(dim=0, keepdim=True)])


@dataclass(frozen=True, eq=False)
class Candidates:
    """Codes of the candidates of one question."""

    mix: CandidateTokens  # how shares mix them
    codes: Tensor  # float32 (m, n_soft, d_llm)

    def soft_tokens(self, shares: Tensor | Float) -> Tensor:
        """Mix the codes by shares (n, m): soft tokens (n, n_soft, d_llm)."""
        return self.mix(torch.as_tensor(shares).to(self.codes.device), self.codes)


class CandidateReader:
    """What decides which candidates are said of a modality.

    `known` are its candidate tokens, None for a model without; `ready` returns the projector, and embeddings checked
    and brought to where it is.
    """

    def __init__(
        self,
        config: BioVerseConfig,
        modality: str,
        known: CandidateTokens | None,
        ready: Callable[[Float], tuple[nn.Module, Tensor]],
    ) -> None:
        self.config, self.made, self.known, self.ready = config, config.encoders[modality], known, ready
        self.place = {cl_id: row for row, cl_id in enumerate(self.made.candidates)}

    def tells_apart(self, terms: Sequence[str | None]) -> bool:
        """Whether soft tokens can depend on these candidates: there are codes, and the attention knows two terms."""
        return self.known is not None and sum(map(bool, candidate_columns(terms, self.made.terms))) > 1

    def weighs(self, terms: Sequence[str | None]) -> bool:
        """Whether marker evidence of these terms can be read beside the embedding."""
        return "candidate_tokens" in self.config.calibration and self.tells_apart(terms)

    def temperature(self, terms: Sequence[str | None] | None, *, evidence: bool) -> float:
        """Return what the language model's word about such names is divided by, with or without evidence."""
        table, row = self.config.calibration, "score"
        if terms is not None and self.tells_apart(terms):
            row = "candidate_tokens" if evidence else "candidate_tokens_alone"
        return table.get(row, table["score"]).temperature

    def attention(self, embeddings: Float, terms: Sequence[str | None]) -> NDArray[np.float64] | None:
        """Log-probabilities (n, m) of terms by the projector's attention; see :func:`attended`."""
        if not any(self.made.terms) or not len(embeddings):
            return None
        parts = row_blocks(embeddings, _ROWS)
        found = [attended(*self.ready(embeddings[rows]), self.made.terms, terms) for rows in parts]
        return None if found[0] is None else np.concatenate(found)  # type: ignore[arg-type]

    def shares(
        self,
        embeddings: Float,
        terms: Sequence[str | None],
        *,
        evidence: NDArray[np.floating] | None = None,
        steps: int | None = STEPS,
        first: NDArray[np.int64] | None = None,
    ) -> Float:
        """How much each candidate gets of what is known: float32 (n, m), rows add up to 1.

        That is the attention among the candidates, or, with (n, m) marker evidence, its pool with that by the weights
        of `"candidate_tokens"` in the calibration. Rounded to `steps`; of candidates that could as well be rounded up,
        the one that comes `first` is.
        """
        joint = self.attention(embeddings, terms)
        if joint is None:  # there are no rows: candidates are told apart, or nobody asks
            return np.empty((0, len(terms)), dtype=np.float32)
        if evidence is not None and (row := self.config.calibration.get("candidate_tokens")):
            joint = row.weight("prototypes") * joint
            joint += row.weight("markers") * np.asarray(evidence, dtype=np.float64)
        out = softmax(joint, axis=1)
        if steps is None:
            return out.astype(np.float32)
        order = np.arange(len(terms)) if first is None else first
        out[:, order] = in_steps(out[:, order], steps)
        return out.astype(np.float32)

    def codes(self, names: Sequence[str], terms: Sequence[str | None], reader: PromptReader) -> Candidates:
        """Return the candidates' codes.

        A term's own, where it was learned and the term is asked for by the name that it was learned with; else what the
        language model's own embedding of the name begins with, which a frozen model that was shown lines of copying
        reads.
        """
        known: Any = self.known  # it is there where `tells_apart` says yes
        learned, codes = known.codes.detach(), []
        for name, cl_id in zip(names, terms, strict=True):
            own = cl_id in self.place and answer_name(str(cl_id), self.config.names) == name
            codes.append(learned[self.place[str(cl_id)]] if own else name_code(reader, name).to(learned))
        return Candidates(known, torch.stack(codes))

    def question(
        self,
        embeddings: Float,
        names: Sequence[str],
        terms: Sequence[str | None] | None,
        evidence: Float | None,
        steps: int | None,
        reader: PromptReader,
    ) -> tuple[Float, Candidates | None]:
        """Return what decides the rows' soft tokens, and the candidates' codes where these have a say, else None.

        That is each row's shares of the candidates, float32 (n, m), or the embeddings as they are. See
        :meth:`BioVerse.score` for what is refused.
        """
        if terms is not None and len(terms) != len(names):
            raise InputError(f"{len(names)} names go with {len(terms)} terms.")
        if evidence is not None and (terms is None or not self.weighs(terms)):
            raise InputError(f"model {self.config.name!r} has no weight for evidence of these names.")
        if evidence is not None and np.shape(evidence) != (len(embeddings), len(names)):
            raise InputError(f"{len(embeddings)} rows, {len(names)} names: evidence has shape {np.shape(evidence)}.")
        values = np.asarray(embeddings, dtype=np.float32)
        if terms is None or not self.tells_apart(terms):
            return values, None
        # By name: labels in another order are the same question.
        first = np.argsort(np.array(names), kind="stable")
        return self.shares(values, terms, evidence=evidence, steps=steps, first=first), self.codes(names, terms, reader)


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
        kept = {name: value for name, value in vars(self).items() if name not in ("_trie", "_memory")}
        return kept | {"model": None}

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
    unique, back = unique_rows(rows)
    out = np.empty((unique.size, len(names)), dtype=np.float32)
    blocks = [slice(start, start + job.batch_size) for start in range(0, unique.size, job.batch_size)]
    job.parts, workers = PARTS.get(), WORKERS.get()
    if job.parts is not None or workers is not None:
        job.fingerprint = model.fingerprint()
    if workers is not None:
        job.folder = LOADED.folder_of(job.fingerprint)
        if job.folder is None:
            logger.info("the model lies in no folder that workers could load it from: it scores here. Save it first.")
    given = (rows[unique[span]] for span in blocks)
    done = map(job, given) if workers is None or job.folder is None else workers.each(job, ((one,) for one in given))
    show = settings.progress if progress is None else progress
    with tqdm(total=unique.size, desc="score", unit=modality, disable=not show) as bar:
        for span, found in zip(blocks, done, strict=True):
            out[span] = found
            bar.update(len(found))
    return out[back]


def unique_rows(rows: Float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each different row first stands, and for each row which of these it is, ordered by value.

    Sorting by value and not by place makes the batches, and with them the last bits, independent of the rows' order.
    """
    if not len(rows):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    rows = np.ascontiguousarray(rows.reshape(len(rows), -1))
    packed = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, back = np.unique(packed, return_index=True, return_inverse=True)
    return first.astype(np.int64), back.ravel().astype(np.int64)


def answer_sequences(reader: PromptReader, names: list[str]) -> list[list[int]]:
    """Token ids of names as answers; an :class:`InputError` where there are none, or two read the same."""
    if not names:
        raise InputError("there are no names to score.")
    sequences = list(map(reader.answer_ids, names))
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
    unique, back = unique_rows(rows)
    model.modules.eval()
    done: list[Generated] = []
    length = max_new_tokens if choices is None else choices.longest
    before, needed = reader.prefix(modality).length, len(reader.prompt(modality).head) + length
    memory = first_batch(
        reader.backbone, batch_size, length=needed, prefix=before, logits=1, copies=beams, what=f"{modality}s"
    )
    write = partial(generate, max_new_tokens=length, allowed=choices, beams=beams)

    @torch.inference_mode()
    def written(part: slice) -> list[Generated]:
        block = rows[unique[part]]
        return model.forward(block, partial(write, batch_size=len(block)), modality=modality, writes=True)

    with tqdm(total=unique.size, desc="write", unit=modality, disable=not settings.progress) as bar:
        for _, found in memory.each(unique.size, written):
            done += found
            bar.update(len(found))
    texts = [" ".join(reader.backbone.decode(one.ids).split()) for one in done]
    log_probs = np.array([one.log_prob for one in done], dtype=np.float32)
    which = np.array([-1 if choices is None else choices.label(one.ids) for one in done], dtype=np.int64)
    return [texts[i] for i in back], log_probs[back], which[back]

"""Codes of answers: the frozen language model learns to say how the attention among the names that are asked for falls.

Soft tokens that a projector mixes out of all its prototypes tell the language model of types that nobody asked about;
where a study's cells lie between its own labels and others, that is most of what they tell. Asked about a list of
names, the model takes the attention over these alone, and mixes one code of each name by it
(:class:`scbioverse.nn.CandidateTokens`). The codes begin as the language model's own embeddings of the names and learn
from
lessons as :mod:`recipes.bioverse_small.teaching` draws them; encoder, attention and all that reads other soft tokens
stay as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from recipes.bioverse_small.cuts import CutConfig, nodes_of
from recipes.bioverse_small.teaching import TaughtSampler, TeachingConfig
from scbioverse.errors import MismatchError
from scbioverse.knowledge.ontology import candidate_columns, kin_columns, load_ontology
from scbioverse.knowledge.phrases import answer_name, spoken_name
from scbioverse.models import BioVerse
from scbioverse.models.edit import set_candidate_tokens
from scbioverse.models.score import Candidates, name_code
from scbioverse.predict.whole_ontology import term_ids
from scbioverse.train import AutoregressiveTask, Batch, CandidateSet, fit

logger = logging.getLogger("recipes.bioverse_small")
# Letters of a name that a user could give a label.
LONGEST = 40


@dataclass(frozen=True)
class AnswerConfig:
    """Everything that decides the codes, apart from encoder and data."""

    steps: int = 1000
    batch_size: int = 16
    lr: float = 3e-3
    spread: tuple[float, ...] = (0.25, 1.0)
    hard: float = 0.6
    """How many of the candidate sets hold terms that lie within one another, as those of studies do, and more names
    than others that begin with the same word; and how many hold terms that were never trained."""
    strangers: int = 400
    """How many terms that were never trained take part as names that a cell could be called."""
    # A code goes with one name: other wordings are read by their words.
    teaching: TeachingConfig = field(
        default_factory=lambda: TeachingConfig(cuts=CutConfig(min_size=4, max_size=24, other_name=0.0)),
    )


class AnswerSampler(TaughtSampler):
    """Draws lessons with the names that are asked for, as numbers of their codes.

    To some sets it adds what is hardest to tell from them, and terms that were never trained: the model must not take a
    cell for one of these because it was never told not to. Their numbers follow those of the nodes.
    """

    def __init__(
        self,
        model: BioVerse,
        embeddings: np.ndarray,
        term: np.ndarray,
        terms: list[str],
        *,
        config: AnswerConfig,
        seed: int = 0,
    ) -> None:
        super().__init__(model, embeddings, term, terms, batch_size=config.batch_size, config=config.teaching)
        self.answers = config
        self.strangers = unknown_terms(self.nodes, terms, config.strangers, np.random.default_rng(seed))

    def cut(self, rng: np.random.Generator) -> list[int]:
        """Draw nodes; to some sets, add what lies within them or holds them, and what begins with the same word."""
        nodes = super().cut(rng)
        if rng.random() >= self.answers.hard:
            return nodes
        first = np.array([names[0].split()[0] for names in self._names])
        for one in rng.choice(nodes, min(3, len(nodes)), replace=False):
            for like in (self._clash[one], first == first[one]):
                others = np.setdiff1d(np.flatnonzero(like & self._usable), nodes)
                nodes += [int(rng.choice(others))] if others.size else []
        return nodes

    def named_cut(self, rng: np.random.Generator) -> tuple[list[int], list[str], CandidateSet]:
        """Draw nodes; to some sets, add up to three strangers, two of which begin as one of the nodes does."""
        nodes, names, candidates = super().named_cut(rng)
        if self.strangers and rng.random() < self.answers.hard:
            spoken = [answer_name(one, self.model.config.names) for one in self.strangers]
            firsts = {name.split()[0] for name in names}
            alike = [i for i, name in enumerate(spoken) if name.split()[0] in firsts]
            drawn = [int(rng.choice(some)) for some in (alike, alike, range(len(spoken))) if len(some)]
            added = [i for i in dict.fromkeys(drawn) if spoken[i] not in names]
            nodes = [*nodes, *(len(self.nodes) + i for i in added)]
            names = [*names, *(spoken[i] for i in added)]
            candidates = CandidateSet(names, [self.model.reader.answer_ids(name) for name in names])
        return nodes, names, candidates

    def cells_of(self, nodes: list[int], size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw cells of the nodes; of strangers there are none."""
        return super().cells_of([one for one in nodes if one < len(self.nodes)], size, rng)

    def columns(self, nodes: list[int]) -> tuple[list[list[int]], list[list[int]] | None]:
        """Which prototypes count for each node: as for candidates, a term counts for the narrowest that holds it."""
        known = len(self.nodes)
        asked = [self.nodes[i] if i < known else self.strangers[i - known] for i in nodes]
        return candidate_columns(asked, self.terms), kin_columns(asked, self.terms)

    def drawn(self, rng: np.random.Generator) -> tuple[Batch, list[int]]:
        """Draw one batch with `codes` beside the names, and the nodes."""
        batch, nodes = super().drawn(rng)
        batch["codes"] = np.array(nodes)
        return batch, nodes


class AnswerTask(AutoregressiveTask):
    """The autoregressive loss for what is said of shares; nothing but the codes learns.

    `strangers`, float (k, n_soft, d_llm), are codes of terms that have none to learn.
    """

    def __init__(self, model: BioVerse, strangers: Tensor | None = None) -> None:
        super().__init__(model)
        self.strangers = strangers

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Codes of the answers."""
        yield "codes", self.model.candidate_reader(self.modality).known.codes

    def asked(self, batch: Batch) -> Candidates:
        """Codes of the names that are asked for, which the shares that are to be said mix."""
        mix = self.model.candidate_reader(self.modality).known
        codes = mix.codes if self.strangers is None else torch.cat([mix.codes, self.strangers])
        return Candidates(mix, codes[torch.from_numpy(batch["codes"])])

    def read(self, batch: Batch, answers: list[list[int]]) -> Tensor:
        """Read soft tokens of the names that are asked for, mixed by the shares."""
        return self.model.forward(batch["shares"], candidates=self.asked(batch), answers=answers)


def unknown_terms(nodes: Sequence[str], terms: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    """Draw ontology terms with short names that are no nodes, and that no trained term is or lies below."""
    known = {above for one in terms for above in (one, *load_ontology().ancestors(one))} | set(nodes)
    found = [one for one in term_ids() if one not in known and len(spoken_name(one)) <= LONGEST]
    return [found[i] for i in rng.permutation(len(found))[:most]]


def train_answers(
    model: BioVerse, embeddings: np.ndarray, term: np.ndarray, terms: list[str], config: AnswerConfig, seed: int
) -> pd.DataFrame:
    """Give a model codes of answers: of its terms, and of the broader ones that studies use; returns the history."""
    sampler = AnswerSampler(model, embeddings, term, terms, config=config, seed=seed)
    names = [answer_name(node, model.config.names) for node in sampler.nodes]
    begin = torch.stack([name_code(model.reader, name) for name in names])
    set_candidate_tokens(model, "cell", sampler.nodes, begin, spread=config.spread)
    spoken = [answer_name(one, model.config.names) for one in sampler.strangers]
    strangers = torch.stack([name_code(model.reader, name) for name in spoken]) if spoken else None
    history = fit(AnswerTask(model, strangers), sampler, steps=config.steps, lr=config.lr, seed=seed)
    logger.info("codes of %d answers, restricted loss %.3f", len(names), history["restricted"].tail(50).mean())
    return history


@torch.no_grad()
def take_codes(model: BioVerse, held: BioVerse, terms: list[str]) -> int:
    """Take over what the language model is told of terms from another training; returns how many terms it knows.

    Neither codes of prototypes nor of answers depend on the encoder. Terms that `held` does not know are told by their
    names, as before any training.

    Parameters
    ----------
    model
        Whose prototypes are of `terms`; it gets codes of answers, too.
    held
        A model of the same language model, template and names.

    Raises
    ------
    MismatchError
        It is not, or has no codes of answers.
    """
    made_for = {(one.config.llm.sha256, one.config.template["sha256"], one.config.names) for one in (model, held)}
    learned = held.candidate_reader().known
    if learned is None or len(made_for) > 1:
        raise MismatchError(
            f"codes of {held.name!r} cannot be taken over: it has {'no' if learned is None else 'such'} codes of "
            f"answers, and {'another' if len(made_for) > 1 else 'the same'} language model, template or names."
        )
    mine, theirs = (one.modules["projectors"]["cell"] for one in (model, held))  # type: ignore[index]
    row = {term: i for i, term in enumerate(held.config.encoders["cell"].terms)}
    for i, term in enumerate(terms):
        if term in row:
            mine.codes[i] = theirs.codes[row[term]]
    nodes, found = nodes_of(terms), held.config.encoders["cell"]
    codes = torch.stack([name_code(model.reader, answer_name(node, model.config.names)) for node in nodes])
    known, place = learned.codes, {node: i for i, node in enumerate(found.candidates)}
    for i, node in enumerate(nodes):
        if node in place:
            codes[i] = known[place[node]]
    set_candidate_tokens(model, "cell", nodes, codes, spread=found.spread)
    return len(set(row) & set(terms))

"""How `bioverse-small` writes of molecules: a head that finds phrases, and an adapter that makes sentences of them.

Phrases are what training captions say of a molecule: its kind, its roles, its classes. A head learns them from the
embedding; the language model reads their words, which it knows without training, behind a few examples in words. A
small adapter of its own then learns to make a caption of them. Its lessons give it the phrases of the very caption that
it has to write: which phrases deserve to be said is for the head to decide, the language model is to say them all.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from recipes.bioverse_small.molecules import article
from recipes.bioverse_small.phrases import phrase_of
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.llm.prompts import MAX_TEXT_CHARS, clean_text, encode_plain
from scbioverse.metrics import extract_classes, extract_roles, set_agreement, text_metrics
from scbioverse.models import BioVerse
from scbioverse.models.config import PhraseBook, PhraseGroup
from scbioverse.models.edit import set_phrases
from scbioverse.nn import PhraseHead
from scbioverse.train import Batch, fit
from scbioverse.train.instructions import Example, Instruction, InstructionSampler, InstructionTask, Lessons

logger = logging.getLogger("recipes.bioverse_small")

# A note and the text made of it; none of them is a molecule of any split, only its words are.
EXAMPLES = (
    (
        "a fatty acid anion; role: a human metabolite; class: a straight-chain saturated fatty acid anion",
        "The molecule is a fatty acid anion. It has a role as a human metabolite. It is a straight-chain saturated "
        "fatty acid anion.",
    ),
    ("a dipeptide; class: a L-alanine derivative", "The molecule is a dipeptide. It is a L-alanine derivative."),
    (
        "a steroid ester; role: a plant metabolite, an anti-inflammatory agent; class: a member of phenols, an acetate "
        "ester",
        "The molecule is a steroid ester. It has a role as a plant metabolite and an anti-inflammatory agent. It is a "
        "member of phenols and an acetate ester.",
    ),
)
OPENING = (
    "Every note on a molecule is followed by a text that says what it is.\n"
    + "".join(f"Note: {note}\nText: {text}\n" for note, text in EXAMPLES)
    + "Note:"
)
CLOSING = "\nText:"


# The upper half of SmolLM2's thirty blocks: half the gradient's time, half the size.
UPPER_HALF = AdapterConfig(targets=tuple(f"layers.{i}.self_attn.{part}_proj" for i in range(15, 30) for part in "qkvo"))


@dataclass(frozen=True)
class WritingConfig:
    """Everything that decides how a model writes of molecules, apart from data and seed.

    Attributes
    ----------
    rows
        Training captions that must say a phrase before it is one, by group.
    most, least
        How many phrases of a group are said, and how probable each must be.
    hidden, epochs, batch_size, lr, noise
        The head and its training; `noise` is added to embeddings, in standard deviations.
    longest_lesson, longest_first
        Characters of the longest caption that is a lesson, and of its longest first sentence: what long ones tell of
        positions and parents is not in the phrases.
    adapter, steps, lesson_batch, lesson_lr
        The adapter and its training; 0 steps for none.
    """

    rows: dict[str, int] = field(default_factory=lambda: {"kind": 8, "role": 10, "class": 20})
    most: dict[str, int] = field(default_factory=lambda: {"kind": 1, "role": 3, "class": 5})
    least: dict[str, float] = field(default_factory=lambda: {"kind": 0.0, "role": 0.2, "class": 0.15})
    hidden: int = 256
    epochs: int = 22
    batch_size: int = 256
    lr: float = 3e-3
    noise: float = 0.1
    longest_lesson: int = 300
    longest_first: int = 110
    adapter: AdapterConfig = UPPER_HALF
    steps: int = 192
    lesson_batch: int = 8
    lesson_lr: float = 1e-3


# A sentence ends at a full stop before white space and a capital: "EC 1.1.1.1 inhibitor" is one.
_SENTENCE = re.compile(r"(?<=[.])\s+(?=[A-Z])")
LEADS = {"kind": "", "role": "; role: ", "class": "; class: "}


def said_of(text: str) -> dict[str, set[str]]:
    """Find what a caption says of its molecule, by group; roles and classes in small letters."""
    kind = phrase_of(text)
    return {"kind": {kind} if kind else set(), "role": set(extract_roles(text)), "class": set(extract_classes(text))}


def phrase_book_of(texts: list[str], config: WritingConfig) -> tuple[PhraseBook, Tensor, Tensor]:
    """Choose the phrases that captions say often enough.

    Returns
    -------
    What can be said; float32 (n, n_phrases), 1 where a caption says a phrase; and float32 (n, n_groups), 1 where its
    silence counts: of a kind and of classes, captions that name none at all tell nothing.
    """
    found = [said_of(text) for text in texts]
    groups, columns, counts = [], [], []
    for name, lead in LEADS.items():
        seen = Counter(one for row in found for one in row[name])
        kept = sorted(one for one, n in seen.items() if n >= config.rows[name])
        place = {one: i for i, one in enumerate(kept)}
        held = torch.zeros(len(texts), len(kept))
        for row, what in enumerate(found):
            held[row, [place[one] for one in what[name] if one in place]] = 1
        told = held.any(dim=1) if name == "kind" else torch.tensor([bool(one[name]) or name == "role" for one in found])
        columns.append(held)
        counts.append(told.float())
        spelt = kept if name == "kind" else spelling(kept, texts, found, name)
        said = tuple(article(one) for one in spelt)
        groups.append(PhraseGroup(lead, said, config.most[name], config.least[name]))
    return PhraseBook(tuple(groups), config.hidden, OPENING, CLOSING), torch.cat(columns, 1), torch.stack(counts, 1)


def spelling(phrases: list[str], texts: list[str], found: list[dict[str, set[str]]], name: str) -> list[str]:
    """Restore the capitals that captions write a phrase with, most of the time."""
    forms: dict[str, Counter[str]] = {one: Counter() for one in phrases}
    for text, row in zip(texts, found, strict=True):
        small = text.lower()
        for one in row[name] & set(forms) if len(small) == len(text) else ():
            at = small.rfind(one)
            if at >= 0:
                forms[one][text[at : at + len(one)]] += 1
    return [forms[one].most_common(1)[0][0] if forms[one] else one for one in phrases]


def note_of(text: str) -> str:
    """Write the note that would be right for a caption: what it says, in its own order; `""` where it says too little.

    A lesson shows a kind and a role or class at least.
    """
    found, small = said_of(text), text.lower()
    if not found["kind"] or not (found["role"] or found["class"]) or len(small) != len(text):
        return ""
    parts = []
    for name, lead in LEADS.items():
        places = sorted((small.rfind(one.lower()), one) for one in found[name])
        if places:
            parts.append(lead + ", ".join(article(text[at : at + len(one)]) for at, one in places))
    return "".join(parts)


@dataclass(eq=False)
class PhraseTask:
    """Which phrases a caption says, from the embedding: one of the kinds, any of the others."""

    head: PhraseHead
    held: Tensor
    told: Tensor
    sizes: list[int]

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All of the head."""
        yield from self.head.named_parameters()

    def train(self, mode: bool) -> None:
        """Switch dropout."""
        self.head.train(mode)

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Return the batch whole."""
        return [(batch, 1.0)]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`: softmax over the first group, one logistic loss a phrase of the others."""
        rows = torch.as_tensor(batch["groups"])
        logits = self.head(torch.as_tensor(batch["embeddings"])).split(self.sizes, dim=1)
        held, told = self.held[rows].split(self.sizes, dim=1), self.told[rows]
        kind = -(log_softmax(logits[0], dim=1) * held[0]).sum() / told[:, 0].sum().clamp(min=1)
        others = [
            (binary_cross_entropy_with_logits(z, y, reduction="none").sum(dim=1) * told[:, i + 1]).mean()
            for i, (z, y) in enumerate(zip(logits[1:], held[1:], strict=True))
        ]
        return {"loss": kind + sum(others), "kind": kind.detach()}


@dataclass(eq=False)
class RowSampler:
    """Draws rows of embeddings, blurred; the row numbers stand in the batch as `groups`."""

    embeddings: np.ndarray
    rows: np.ndarray
    batch_size: int
    noise: float

    def __post_init__(self) -> None:
        self.scale = self.noise * self.embeddings.std(axis=0)

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        rows = self.rows[rng.integers(len(self.rows), size=self.batch_size)]
        x = self.embeddings[rows]
        x = x + self.scale * rng.standard_normal(x.shape, dtype=np.float32)
        return Batch(embeddings=x[:, None].astype(np.float32), texts=[""] * len(rows), groups=rows)


def train_head(
    x: np.ndarray, held: Tensor, told: Tensor, sizes: list[int], rows: np.ndarray, config: WritingConfig, seed: int
) -> PhraseHead:
    """Train a head on some rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = PhraseHead(x.shape[1], 1, held.shape[1], config.hidden)
    head.begin_as(torch.from_numpy(x[rows])[:, None], held[rows].mean(dim=0))
    steps = max(1, config.epochs * len(rows) // config.batch_size)
    sampler = RowSampler(x, rows, config.batch_size, config.noise)
    fit(PhraseTask(head, held, told, sizes), sampler, steps=steps, lr=config.lr, weight_decay=0.02, seed=seed)
    return head.eval()


class CaptionTask(InstructionTask):
    """The adapter learns to write texts behind a captioner's notes, which stand in the lessons as questions."""

    def __init__(self, model: BioVerse, lessons: Lessons, config: AdapterConfig, *, seed: int) -> None:
        super().__init__(model, lessons, config, train_projector=False, seed=seed)
        self.captioner = model.captioner("molecule")

    def render(self, row: int) -> Example:
        """Ids of a note and its text, and where the text begins."""
        if row not in self._rendered:
            one = self.lessons.examples[row]
            said = " " + clean_text(one.answer, max_chars=MAX_TEXT_CHARS)
            answer = [*encode_plain(self.backbone, said), self.backbone.eos_id]
            note = self.captioner.ids(one.question)
            self._rendered[row] = Example([*note, *answer], len(note))
        return self._rendered[row]

    def beginning(self, prompt: str, modality: str) -> list[int]:
        """Ids of the captioner's opening."""
        return self.captioner.opening_ids


def lesson_text(text: str) -> str:
    """Keep of a caption what a note can tell: the sentence that says what the molecule is, its roles, its classes.

    What else captions say, above all how the molecule is related to others, would be learned as something to make up.
    """
    first, *others = _SENTENCE.split(text.strip())
    return " ".join([first, *(one for one in others if extract_roles(one) or extract_classes(one))])


def lessons_of(table: pd.DataFrame, config: WritingConfig, *, smiles: bool = False) -> Lessons:
    """Make a lesson of every caption that says a kind and more, and is short; of its SMILES where asked for."""
    examples = []
    for row in table.itertuples():
        text = lesson_text(row.text)
        short = len(text) <= config.longest_lesson and len(_SENTENCE.split(text)[0]) <= config.longest_first
        if short and text.startswith("The molecule is") and (note := note_of(text)):
            read = row.parent if smiles else note
            examples.append(Instruction("describe", read, text, f"{row.source}/{row.row}"))
    return Lessons(examples, {})


def add_writing(model: BioVerse, table: pd.DataFrame, x: np.ndarray, config: WritingConfig, seed: int) -> BioVerse:
    """Return the model with a way to write of molecules; all else in it stays as it is.

    Parameters
    ----------
    model
        Reads molecules.
    table
        Training pairs, see :func:`recipes.bioverse_small.molecules.pairs`.
    x
        float32 (n, dim): their embeddings.
    config
        Settings.
    seed
        Seed.
    """
    started = time.perf_counter()
    new = model.copy()
    speech, held, told = phrase_book_of(table["text"].tolist(), config)
    sizes = [len(one.phrases) for one in speech.groups]
    head = train_head(x, held, told, sizes, np.arange(len(x)), config, seed)
    set_phrases(new, "molecule", speech, head)
    if config.steps:
        lessons = lessons_of(table, config)
        task = CaptionTask(new, lessons, config.adapter, seed=seed)
        sampler = InstructionSampler(lessons, batch_size=config.lesson_batch)
        losses = fit(task, sampler, steps=config.steps, lr=config.lesson_lr, seed=seed)["loss"]
        set_phrases(new, "molecule", speech, head, task.adapter())
    notes: dict[str, Any] = {"phrases": dict(zip(LEADS, sizes, strict=True)), "seed": seed, **asdict(config)}
    if config.steps:
        notes |= {"lessons": len(lessons.examples), "loss_first": float(losses.head(5).mean())}
        notes |= {"loss_last": float(losses.tail(10).mean())}
    notes["seconds"] = round(time.perf_counter() - started)
    new.config.training = {**new.config.training, "writing of molecules": notes}
    return new


def written_measures(
    model: BioVerse, x: np.ndarray, texts: list[str], seed: int, *, n: int = 100
) -> dict[str, dict[str, float]]:
    """Measure written texts of some molecules, and the same dealt to other molecules.

    A text depends on its own molecule alone, so that dealing texts and dealing embeddings come to the same.
    """
    rng = np.random.default_rng([seed, 12])
    some = np.sort(rng.permutation(len(texts))[:n])
    said, _ = model.captioner("molecule").write(x[some][:, None])
    right = [texts[i] for i in some]
    out = {}
    for name, found in {"written": said, "dealt": [said[i] for i in rng.permutation(len(said))]}.items():
        out[name] = {"n": float(len(found)), **text_metrics(found, right), **facts_f1(found, right)}
    return out


def facts_f1(said: list[str], texts: list[str]) -> dict[str, float]:
    """Agreement of the roles and classes that texts say of molecules with those of the captions."""
    readers = {"roles_f1": extract_roles, "classes_f1": extract_classes}
    return {
        name: set_agreement([read(one) for one in said], [read(one) for one in texts])["f1"]
        for name, read in readers.items()
    }

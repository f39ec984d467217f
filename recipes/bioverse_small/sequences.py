"""Add molecules and proteins to a `bioverse-small`: `python -m recipes.bioverse_small.sequences --target FOLDER`.

Takes any folder of that model, trains a projector for each of the two modalities towards the same frozen language model
and text space, each by itself, and writes the folder anew. Nothing of the cell side is trained or changed. Molecules
are read by ChemNet, proteins by counted k-mers; the pairs are those of :mod:`.molecules` and :mod:`.proteins`, split
`"train"`. What is trained is symmetric InfoNCE against the language model's representation of the text, so that texts
find molecules and proteins and the other way round. To be written from, such soft tokens are no good: a warm start
towards the words of a short phrase (the kind of a molecule, the name of a protein) costs retrieval (recall@10 of a test
molecule by its text 0.67 against 0.71), and 40 steps of cross-entropy on whole texts left the frozen model writing
nothing of them. `--lexical-weight` and `--writing-steps` switch both on. Molecules are written of in another way, by
phrases (:mod:`.writing`), which leaves retrieval as it is; `--only-writing` adds it to a folder that has molecules.
Development pairs give the figures on the card.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from recipes.bioverse_small import molecules, proteins
from recipes.bioverse_small.make import TARGET
from recipes.bioverse_small.phrases import phrase_of
from recipes.bioverse_small.sequence_card import note, with_limit
from recipes.bioverse_small.writing import WritingConfig, add_writing, written_measures
from scbioverse.encoders import ChemNetEncoder, KmerEncoder
from scbioverse.encoders._distinct import TextEncoder
from scbioverse.knowledge.phrases import general_texts
from scbioverse.llm.represent import represent
from scbioverse.metrics import retrieval
from scbioverse.models import BioVerse, load
from scbioverse.models.edit import extend, only, set_phrases
from scbioverse.train import AutoregressiveTask, Batch, ContrastiveTask, LexicalTask, MixedTask, fit

logger = logging.getLogger("recipes.bioverse_small")


@dataclass(frozen=True)
class SequenceConfig:
    """What decides one modality's projector, apart from data and seed.

    Attributes
    ----------
    hidden
        Width of the projector.
    pairs
        Training pairs used, drawn at random: each text is read by the language model once, which takes the most time.
    contrastive_steps, batch_size, lr, noise
        First part; `noise` is added to embeddings, in standard deviations.
    lexical_weight
        Weight of the warm start beside the contrastive loss.
    writing_steps, writing_batch, writing_lr
        Second part.
    contrastive_weight
        Weight of the contrastive loss in the second part, so that the first is not forgotten.
    """

    hidden: int = 224
    pairs: int = 7000
    contrastive_steps: int = 1500
    batch_size: int = 256
    lr: float = 1e-3
    noise: float = 0.2
    lexical_weight: float = 0.0
    writing_steps: int = 0
    writing_batch: int = 32
    writing_lr: float = 5e-4
    contrastive_weight: float = 1.0


# Chosen on development pairs. Families of the test are not in training, and counted k-mers know a family at once: the
# protein side learns families by heart unless they are blurred.
CONFIGS = {
    "molecule": SequenceConfig(),
    "protein": SequenceConfig(pairs=6000, contrastive_steps=1000, noise=1.0),
}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Embeddings and texts.

    Attributes
    ----------
    embeddings
        float32 (n, dim).
    texts
        n texts.
    groups
        int64 (n,): pairs that share the object or the text, and are no negatives of each other.
    phrases
        n short phrases, `""` for none.
    """

    embeddings: np.ndarray
    texts: list[str]
    groups: np.ndarray
    phrases: list[str]


def embedded(encoder: TextEncoder, values: Sequence[str], *, batch_size: int = 512) -> np.ndarray:
    """Embed texts that are in the encoder's form already, those of one length together: float32 (n, dim)."""
    order = np.argsort([len(value) for value in values], kind="stable")
    out = np.empty((len(values), encoder.dim), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        out[rows] = encoder.embed_texts([values[row] for row in rows])
    return out


def groups_of(*columns: Sequence[str]) -> np.ndarray:
    """Give rows numbers so that those with an equal value in any column have one number."""
    n = len(columns[0])
    parts, links = [], []
    offset = n
    for column in columns:
        codes, names = pd.factorize(np.asarray(column, dtype=object))
        parts.append(np.arange(n))
        links.append(codes + offset)
        offset += len(names)
    rows, ends = np.concatenate(parts), np.concatenate(links)
    graph = sparse.coo_matrix((np.ones(rows.size, dtype=np.int8), (rows, ends)), shape=(offset, offset))
    return connected_components(graph, directed=False)[1][:n].astype(np.int64)


def pairs_of(modality: str, split: str, encoder: TextEncoder, n: int | None, seed: int) -> Pairs:
    """Draw pairs of one split, at most `n`."""
    table = molecules.pairs(split) if modality == "molecule" else proteins.pairs(split, seed=seed)
    objects = "parent" if modality == "molecule" else "sequence"
    rows = np.random.default_rng([seed, 7]).permutation(len(table))[:n]
    table = table.iloc[rows]
    values, texts = table[objects].tolist(), table["text"].tolist()
    return Pairs(embedded(encoder, values), texts, groups_of(values, texts), [phrase_of(text) for text in texts])


class BatchedContrastive(ContrastiveTask):
    """Represents texts many at a time: in training the last digits do not matter, and it is several times quicker."""

    def prepare(self, texts: Sequence[str]) -> None:
        """Represent `texts` ahead of time."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        if new:
            self._texts |= {text: len(self._texts) + i for i, text in enumerate(new)}
            self._vectors = torch.cat([self._vectors, torch.from_numpy(text_points(self.model, new))])


def text_points(model: BioVerse, texts: Sequence[str]) -> np.ndarray:
    """Place texts in the model's text space, many at a time: float32 (n, d_text)."""
    space, config = model.text_space, model.config.text_space
    if space is None or config is None:
        raise ValueError(f"model {model.name!r} has no text space: its cell side was not aligned.")
    return space.transform(represent(model.backbone, texts, layer=config.layer, batch_size=32))


class FrozenTokensTask(AutoregressiveTask):
    """Leaves markers and task token, which the cell side reads as well, as they are."""

    def named_parameters(self) -> Any:
        """Projector of the modality alone."""
        yield from self.model.trainable(self.modality, shared=False, tokens=False)


@dataclass
class PairSampler:
    """Draws pairs, those with a phrase alone where it is `spoken`; the texts stand in the batch as `cards`."""

    pairs: Pairs
    batch_size: int
    noise: float
    spoken: bool = True

    def __post_init__(self) -> None:
        self.rows = np.flatnonzero([bool(phrase) or not self.spoken for phrase in self.pairs.phrases])
        self.scale = self.noise * self.pairs.embeddings.std(axis=0)

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch without repetition."""
        rows = rng.choice(self.rows, min(self.batch_size, self.rows.size), replace=False)
        x = self.pairs.embeddings[rows]
        x = x + rng.standard_normal(x.shape, dtype=np.float32) * self.scale
        return Batch(
            embeddings=x[:, None].astype(np.float32),
            texts=[self.pairs.phrases[row] for row in rows],
            cards=[self.pairs.texts[row] for row in rows],
            groups=self.pairs.groups[rows],
        )


def train_modality(model: BioVerse, modality: str, pairs: Pairs, config: SequenceConfig, seed: int) -> dict[str, float]:
    """Train the projector and shared-space layer of one modality in place; returns what is worth telling."""
    started = time.perf_counter()
    contrastive = BatchedContrastive(model, modality=modality, negatives=general_texts())
    contrastive.prepare(pairs.texts)
    read = time.perf_counter() - started
    parts: list[tuple[Any, float]] = [(contrastive, 1.0)]
    if config.lexical_weight:
        parts.append((LexicalTask(model, modality=modality), config.lexical_weight))
    sampler = PairSampler(pairs, config.batch_size, config.noise, spoken=len(parts) > 1)
    first = fit(MixedTask(parts), sampler, steps=config.contrastive_steps, lr=config.lr, seed=seed)
    found = {"seconds_reading_texts": round(read), "recall_in_batch": float(first["0_recall"].tail(50).mean())}
    if config.writing_steps:
        both = MixedTask([(FrozenTokensTask(model, modality=modality), 1.0), (contrastive, config.contrastive_weight)])
        writing = PairSampler(pairs, config.writing_batch, config.noise, spoken=True)
        second = fit(both, writing, steps=config.writing_steps, lr=config.writing_lr, seed=seed + 1, micro_batch=32)
        losses = second["0_loss"]
        found |= {"writing_loss_first": float(losses.head(5).mean()), "writing_loss": float(losses.tail(20).mean())}
    return found | {"seconds": round(time.perf_counter() - started)}


def measured(model: BioVerse, modality: str, pairs: Pairs) -> dict[str, float]:
    """Measure retrieval among development pairs, both ways."""
    points, texts = model.coordinates(pairs.embeddings[:, None], modality), text_points(model, pairs.texts)
    out: dict[str, float] = {"n": len(pairs.texts)}
    for name, (a, b) in {"text to object": (texts, points), "object to text": (points, texts)}.items():
        values = retrieval(a, b, groups=pairs.groups)
        out |= {f"{name}, {key}": float(values[key]) for key in values}
    return out


def add(model: BioVerse, configs: dict[str, SequenceConfig], seed: int) -> BioVerse:
    """Return the model with these modalities added, each trained alone; what it read of them before is dropped."""
    model = only(model, [one for one in model.modalities if one not in configs])
    for modality, config in configs.items():
        encoder: TextEncoder = ChemNetEncoder() if modality == "molecule" else KmerEncoder()
        train = pairs_of(modality, "train", encoder, config.pairs, seed)
        model = extend(model, encoder, hidden=config.hidden, rng=seed)
        notes: dict[str, Any] = train_modality(model, modality, train, config, seed)
        figures = measured(model, modality, pairs_of(modality, "dev", encoder, 300, seed))
        logger.info("%s: %s", modality, json.dumps({**notes, **figures}))
        notes |= {"pairs": len(train.texts), "seed": seed, **asdict(config)}
        note(model, modality, notes, figures)
        made = model.config.encoders[modality]
        writes = ("generate",) if config.writing_steps > 0 else ()
        model.config.encoders[modality] = replace(made, methods=("score", "nearest", *writes))
    return model


def with_writing(model: BioVerse, config: WritingConfig, seed: int, *, pairs: int | None = None) -> BioVerse:
    """Add writing of molecules, and write down how good it is among development pairs."""
    encoder = ChemNetEncoder()
    table = molecules.pairs("train")
    table = table.iloc[np.random.default_rng([seed, 7]).permutation(len(table))[:pairs]].reset_index(drop=True)
    new = add_writing(model, table, embedded(encoder, table["parent"].tolist()), config, seed)
    dev = molecules.pairs("dev")
    figures = written_measures(new, embedded(encoder, dev["parent"].tolist()), dev["text"].tolist(), seed)
    logger.info("%s", json.dumps(figures))
    training = dict(new.config.training)
    command = f"python -m recipes.bioverse_small.sequences --only-writing --seed {seed}"
    training["writing of molecules"] = {"command": command, **training["writing of molecules"]}
    new.config.training = {**training, "limits": with_limit(training, "molecule")}
    kept = {title: rows for title, rows in new.config.metrics.items() if not title.startswith("molecules, written")}
    title = "molecules, written texts of development pairs, and the same dealt to other molecules"
    new.config.metrics = {**kept, title: [{"texts": name, **one} for name, one in figures.items()]}
    return new


def taking_writing(model: BioVerse, other: BioVerse) -> BioVerse:
    """Return the model with the writing of molecules that another folder holds, trained on the same encoder."""
    mine, theirs = model.config.encoders["molecule"], other.config.encoders["molecule"]
    if "molecule" not in other.phrase_books or mine.fingerprint != theirs.fingerprint:
        raise SystemExit("not written: the other folder writes of no molecules, or reads them with another encoder")
    new, heads = model.copy(), other.copy().modules["phrases"]
    book, adapter = other.phrase_books["molecule"], other.writing_adapters.get("molecule")
    set_phrases(new, "molecule", book, heads["molecule"], adapter)  # type: ignore[index]
    name = "writing of molecules"
    found = {name: other.config.training[name], "limits": with_limit(new.config.training, "molecule")}
    new.config.training = {**new.config.training, **found}
    titles = [one for one in other.config.metrics if one.startswith("molecules, written")]
    new.config.metrics = {**new.config.metrics, **{one: other.config.metrics[one] for one in titles}}
    return new


def same_cells(before: BioVerse, after: BioVerse) -> bool:
    """Whether everything that reads cells is bit for bit what it was."""
    old, new = only(before, ["cell"]), only(after, ["cell"])
    mine, theirs = old.tensors(), new.tensors()
    return set(mine) == set(theirs) and all(torch.equal(mine[key], theirs[key]) for key in mine)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder to begin with; --target if not given")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, help="of each modality, for a trial; the recipe's if not given")
    parser.add_argument("--lexical-weight", type=float, help="of the warm start towards a short phrase")
    parser.add_argument("--writing-steps", type=int, help="of learning to write that phrase")
    parser.add_argument("--only", choices=tuple(CONFIGS), help="add this modality and leave the other as it is")
    parser.add_argument("--only-writing", action="store_true", help="train writing of molecules and nothing else")
    parser.add_argument("--writing-from", type=Path, help="take writing of molecules from this folder, train nothing")
    parser.add_argument("--lesson-steps", type=int, help="of the adapter that writes of molecules; 0 for none")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    before = load(args.source or args.target)
    given = {"pairs": args.pairs, "lexical_weight": args.lexical_weight, "writing_steps": args.writing_steps}
    changed = {name: value for name, value in given.items() if value is not None}
    configs = {name: replace(one, **changed) for name, one in CONFIGS.items() if args.only in (None, name)}
    model = before if args.only_writing or args.writing_from else add(before, configs, args.seed)
    if args.writing_from:
        model = taking_writing(model, load(args.writing_from))
    elif args.only_writing or "molecule" in configs:
        steps = {} if args.lesson_steps is None else {"steps": args.lesson_steps}
        model = with_writing(model, replace(WritingConfig(), **steps), args.seed, pairs=args.pairs)
    if not same_cells(before, model):
        raise SystemExit("not written: the cell side has changed")
    model.save(args.target, overwrite=True, dtype="float16")
    if not same_cells(before, load(args.target)):
        logger.warning("%s was stored in more than float16: its cell side is rounded now", args.source or args.target)


if __name__ == "__main__":
    main()

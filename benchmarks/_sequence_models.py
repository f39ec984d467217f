"""What a `bioverse-small` with molecules and proteins says of them, beside what needs no language model.

Used by :mod:`benchmarks.sequences`. All texts of a table are measured on the same rows; written ones, which are slow,
on a seeded part of them, where the row that needs no writing is shown again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb
from recipes.bioverse_small import molecules, proteins
from recipes.bioverse_small.sequences import groups_of, phrase_of, text_points
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse
from scbioverse.train import fit
from scbioverse.train.instructions import Instruction, InstructionSampler, InstructionTask, Lessons

Rows = dict[str, dict[str, float]]
ASKED = {"molecule": "What is this molecule?", "protein": "What is this protein?"}
LONGEST = 300  # characters of a text that the adapters learn to write


@dataclass(frozen=True, eq=False)
class Bank:
    """Rows with texts of one modality, embedded.

    Attributes
    ----------
    train, test
        `obs["text"]`, and the embedding of the model's encoder.
    """

    train: ad.AnnData
    test: ad.AnnData


def bank(model: BioVerse, modality: str, rng: np.random.Generator, n_train: int | None, n_test: int | None) -> Bank:
    """Training and test pairs, at most so many, embedded with the model's encoder."""
    made = []
    for split, n in (("train", n_train), ("test", n_test)):
        pairs = (molecules if modality == "molecule" else proteins).pairs(split)
        pairs = pairs.iloc[rng.permutation(len(pairs))[:n]]
        obs = pairs.assign(smiles=pairs["parent"]) if modality == "molecule" else pairs
        one = ad.AnnData(obs=obs.reset_index(drop=True).rename(index=str))
        sb.tl.embed(one, model=model, modality=modality)
        made.append(one)
    return Bank(*made)


def described(data: ad.AnnData, model: BioVerse, modality: str, **options: object) -> list[str]:
    """Descriptions of `sb.tl.describe`."""
    done = sb.tl.describe(data, modality=modality, model=model, copy=True, **options)  # type: ignore[arg-type]
    return done.obs["bioverse_description"].tolist()


def from_reference(bank: Bank, model: BioVerse, modality: str, rng: np.random.Generator) -> Rows:
    """Texts of neighbours: as `describe` chooses them by default, by each other choice, and dealt to other rows."""
    right = bank.test.obs["text"].tolist()
    rows: Rows = {}
    found = described(bank.test, model, modality, reference=bank.train)
    rows["describe, reference"] = sb.metrics.text_metrics(found, right)
    dealt = [found[i] for i in rng.permutation(len(found))]
    rows["describe, reference, shuffled"] = sb.metrics.text_metrics(dealt, right)
    consensus = described(bank.test, model, modality, reference=bank.train, choose="consensus")
    rows["describe, reference, consensus"] = sb.metrics.text_metrics(consensus, right)
    return rows


def rows_to_write(bank: Bank, n: int, rng: np.random.Generator) -> ad.AnnData:
    """Draw n test rows whose text has a phrase, for all ways to write."""
    named = bank.test[[bool(phrase_of(text)) for text in bank.test.obs["text"]]]
    return named[np.sort(rng.permutation(named.n_obs)[:n])].copy()


def written(bank: Bank, model: BioVerse, modality: str, some: ad.AnnData, rng: np.random.Generator) -> Rows:
    """Free writing behind the soft tokens, and behind those of other rows.

    What the recipe trains to be written is a phrase, the kind of a molecule or the name of a protein: `phrase` is the
    share of rows where it is right to the letter, `phrase_words` the ROUGE-1 of its words.
    """
    right = [phrase_of(text) for text in some.obs["text"]]
    rows: Rows = {}
    other = shuffled(some, modality, rng)
    for name, data in (("written from soft tokens", some), ("written from soft tokens, shuffled", other)):
        said = [one.strip(" .") for one in described(data, model, modality, max_new_tokens=24)]
        rows[name] = {
            "phrase": float(np.mean([a.lower() == b.lower() for a, b in zip(said, right, strict=True)])),
            "phrase_words": sb.metrics.rouge(said, right)["rouge1"],
            **sb.metrics.text_metrics(said, some.obs["text"].tolist()),
        }
    again = described(some, model, modality, reference=bank.train)
    found = [phrase_of(text) for text in again]
    rows["describe, reference, the same rows"] = {
        "phrase": float(np.mean([a.lower() == b.lower() for a, b in zip(found, right, strict=True)])),
        "phrase_words": sb.metrics.rouge(found, right)["rouge1"],
        **sb.metrics.text_metrics(again, some.obs["text"].tolist()),
    }
    return rows


def shuffled(data: ad.AnnData, modality: str, rng: np.random.Generator) -> ad.AnnData:
    """Give the rows the embeddings of others."""
    out = data.copy()
    slot = f"X_bioverse_{modality}"
    out.obsm[slot] = out.obsm[slot][rng.permutation(out.n_obs)]
    return out


def adapted(
    bank: Bank,
    model: BioVerse,
    modality: str,
    some: ad.AnnData,
    steps: int,
    rng: np.random.Generator,
    *,
    batch_size: int = 8,
) -> Rows:
    """One budget of adapter training, for soft tokens and for the SMILES or sequence as text."""
    right = some.obs["text"].tolist()
    column = "smiles" if modality == "molecule" else "sequence"
    learnt = bank.train[bank.train.obs["text"].str.len() <= LONGEST]
    learnt = learnt[rng.permutation(learnt.n_obs)[: steps * batch_size]]
    values = np.asarray(learnt.obsm[f"X_bioverse_{modality}"])[:, None]
    rows: Rows = {}
    for name, soft in (("adapter, soft tokens", True), ("adapter, the text of the molecule", False)):
        name = name if modality == "molecule" else name.replace("molecule", "protein")

        def question(text: str, soft: bool = soft) -> str:
            return ASKED[modality] if soft else f"{ASKED[modality]} {text[:300]}"

        examples = [
            Instruction("describe", question(one), text, str(row), ((modality, row, ""),) if soft else ())
            for row, (one, text) in enumerate(zip(learnt.obs[column], learnt.obs["text"], strict=True))
        ]
        new = model.copy(name=name)
        lessons = Lessons(examples, {modality: values})
        task = InstructionTask(new, lessons, AdapterConfig(), train_projector=soft, seed=0)
        history = fit(task, InstructionSampler(lessons, batch_size=batch_size), steps=steps, lr=5e-4, seed=0)
        new.set_adapter(task.adapter())
        if soft:
            said = described(some, new, modality, question=ASKED[modality])
            dealt = described(shuffled(some, modality, rng), new, modality, question=ASKED[modality])
            rows[f"{name}, shuffled"] = sb.metrics.text_metrics(dealt, right)
        else:
            asks = new.questioner
            prompts = [asks.prompt(question(one)) for one in some.obs[column]]
            said = []
            for start in range(0, len(prompts), 32):
                block = prompts[start : start + 32]
                said += asks.write(block, [{}] * len(block), max_new_tokens=96)
        rows[f"{name}, {steps} steps"] = {
            **sb.metrics.text_metrics(said, right),
            "loss": float(history["loss"].tail(10).mean()),
        }
    return rows


def retrieved(bank: Bank, model: BioVerse, modality: str) -> Rows:
    """Text to object and object to text among the test rows."""
    obs = bank.test.obs
    groups = groups_of(obs["smiles" if modality == "molecule" else "sequence"].tolist(), obs["text"].tolist())
    points = model.coordinates(np.asarray(bank.test.obsm[f"X_bioverse_{modality}"])[:, None], modality)
    texts = text_points(model, obs["text"].tolist())
    return {
        f"text to {modality}": sb.metrics.retrieval(texts, points, groups=groups),
        f"{modality} to text": sb.metrics.retrieval(points, texts, groups=groups),
    }


def class_texts(field: str, names: Sequence[str]) -> list[str]:
    """Write a sentence for each class, as the training texts have them."""
    if field == "ec":
        groups = proteins.EC_CLASSES
        return [f"It is {'an' if groups[one][0] in 'oi' else 'a'} {groups[one]}, EC {one}." for one in names]
    return [f"It is found in the {proteins.PLACES.get(one, one[0].lower() + one[1:])}." for one in names]


def aligned_class(model: BioVerse, x: np.ndarray, field: str, names: Sequence[str]) -> np.ndarray:
    """Name the class whose sentence lies nearest in the shared space; no classifier is trained."""
    texts = text_points(model, class_texts(field, names))
    scores = model.coordinates(x[:, None], "protein") @ texts.T
    return np.asarray(names, dtype=object)[scores.argmax(axis=1)]


def voted_class(model: BioVerse, known: np.ndarray, labels: Sequence[str], x: np.ndarray, k: int = 15) -> np.ndarray:
    """Name the class that most of the nearest training proteins in the shared space have, nearer ones counting more."""
    pool, points = (model.coordinates(one[:, None], "protein") for one in (known, x))
    codes, names = pd.factorize(np.asarray(labels, dtype=object))
    similarity = points @ pool.T
    near = np.argpartition(-similarity, k, axis=1)[:, :k]
    weight = np.exp(np.take_along_axis(similarity, near, axis=1) / 0.1)
    votes = np.zeros((len(x), len(names)))
    for column in range(k):
        votes[np.arange(len(x)), codes[near[:, column]]] += weight[:, column]
    return np.asarray(names, dtype=object)[votes.argmax(axis=1)]


def table(title: str, rows: Rows, columns: Sequence[str]) -> str:
    """Lay out rows of measures."""
    frame = pd.DataFrame(rows).T.reindex(columns=list(columns))
    width = max(9, *(len(name) for name in columns)) + 2
    lines = [f"\n{title:<46}" + "".join(f"{name:>{width}}" for name in columns)]
    for name, values in frame.iterrows():
        lines.append(f"{name!s:<46}" + "".join(f"{'' if pd.isna(v) else f'{v:.3f}':>{width}}" for v in values))
    return "\n".join(lines)

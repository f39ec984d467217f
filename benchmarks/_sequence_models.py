"""What a `bioverse-small` with molecules and proteins says of them, beside what needs no language model.

Used by :mod:`benchmarks.sequences`. All texts of a table are measured on the same rows; written ones, which are slow,
on a seeded part of them, where the row that needs no writing is shown again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb
from recipes.bioverse_small import molecules, proteins
from recipes.bioverse_small.phrases import phrase_of
from recipes.bioverse_small.sequences import groups_of, text_points
from recipes.bioverse_small.writing import EXAMPLES, OPENING, CaptionTask, WritingConfig, facts_f1, lessons_of
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse
from scbioverse.models.edit import set_phrases
from scbioverse.train import fit
from scbioverse.train.instructions import Instruction, InstructionSampler, InstructionTask, Lessons

Rows = dict[str, dict[str, float]]
ASKED = {"molecule": "What is this molecule?", "protein": "What is this protein?"}
# Molecules of the prompt's examples: octanoate, alanylalanine, a steroid acetate.
EXAMPLE_SMILES = (
    "CCCCCCCC(=O)[O-]",
    "C[C@H](N)C(=O)N[C@@H](C)C(=O)O",
    "CC(=O)O[C@H]1CC[C@@]2(C)C(=CC[C@@H]3[C@@H]2CC[C@]2(C)C(=O)CC[C@@H]32)C1",
)
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
    """Free writing of the rows, and the same dealt to other rows.

    A text depends on its own row alone: dealing texts and dealing embeddings come to the same. `phrase` is the share of
    rows whose kind (a molecule) or name (a protein) is right to the letter, `phrase_words` the ROUGE-1 of its words.
    """
    if not model.config.encoders[modality].writes:
        return {}
    right = [phrase_of(text) for text in some.obs["text"]]
    rows: Rows = {}
    speaks = modality in model.phrase_books
    said = described(some, model, modality, max_new_tokens=96 if speaks else 24)
    dealt = [said[i] for i in rng.permutation(len(said))]
    for name, found in (("written", said), ("written, shuffled", dealt)):
        rows[name] = compared(found, right, some.obs["text"].tolist(), modality)
    if speaks:
        captioner = model.captioner(modality)
        notes = captioner.notes(np.asarray(some.obsm[f"X_bioverse_{modality}"])[:, None])
        plain = [bare_text(one) for one in notes]
        rows["its phrases alone, no language model"] = compared(plain, right, some.obs["text"].tolist(), modality)
    again = described(some, model, modality, reference=bank.train)
    rows["describe, reference, the same rows"] = compared(again, right, some.obs["text"].tolist(), modality)
    return rows


def compared(said: list[str], phrases: list[str], texts: list[str], modality: str) -> dict[str, float]:
    """Measure texts: the phrase they begin with, the words, and the facts that captions of molecules hold."""
    own = [phrase_of(one) or one.strip(" .") for one in said]
    return {
        "phrase": float(np.mean([a.lower() == b.lower() for a, b in zip(own, phrases, strict=True)])),
        "phrase_words": sb.metrics.rouge(own, phrases)["rouge1"],
        **sb.metrics.text_metrics(said, texts),
        **(facts_f1(said, texts) if modality == "molecule" else {}),
    }


def bare_text(note: str) -> str:
    """Lay the phrases of a note out as sentences, as a program would."""
    kind, *others = note.split("; ")
    begins = {"role": "It has a role as ", "class": "It is "}
    said = [begins[lead] + phrases + "." for lead, phrases in (one.split(": ", 1) for one in others)]
    return " ".join([f"The molecule is {kind}.", *said])


def from_smiles(bank: Bank, model: BioVerse, some: ad.AnnData, steps: int) -> Rows:
    """Lessons, prompt, steps and adapter of the recipe's writing, the SMILES standing where the phrases do."""
    config = replace(WritingConfig(), steps=steps)
    held = model.phrase_books.get("molecule")
    if held is None:
        return {}
    opening = OPENING
    for (note, _), smiles in zip(EXAMPLES, EXAMPLE_SMILES, strict=True):
        opening = opening.replace(f"Note: {note}\n", f"Note: {smiles}\n")
    speech = replace(held, opening=opening, longest=96)
    new = model.copy(name="SMILES")
    head = new.modules["phrases"]["molecule"]  # type: ignore[index]
    set_phrases(new, "molecule", speech, head)
    lessons = lessons_of(bank.train.obs, config, smiles=True)
    task = CaptionTask(new, lessons, config.adapter, seed=0)
    sampler = InstructionSampler(lessons, batch_size=config.lesson_batch)
    history = fit(task, sampler, steps=steps, lr=config.lesson_lr, seed=0)
    set_phrases(new, "molecule", speech, head, task.adapter())
    said, _ = new.captioner("molecule").write_notes(some.obs["smiles"].tolist())
    texts = some.obs["text"].tolist()
    found = compared(said, [phrase_of(text) for text in texts], texts, "molecule")
    return {"written from the SMILES as text": found | {"loss": float(history["loss"].tail(10).mean())}}


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
            asks = new.text_writer
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

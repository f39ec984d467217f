"""Molecules and proteins: `python -m benchmarks.sequences`.

Prints tables, writes a JSON file. First the encoders: speed, and what needs no language model: the caption of the
nearest training molecule by Tanimoto similarity of Morgan fingerprints, and the same captions dealt to other molecules;
the text of the nearest training protein by k-mers, and the same shuffled; EC's first digit and the place in the cell by
logistic regression on the k-mer encoder, beside the commonest class and shuffled embeddings. Then the model
(`--model`): texts from neighbours, written ones, retrieval, classes by the nearest sentence. Splits are those of the
recipe. `--only` runs one part and keeps the figures of the other.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scbioverse as sb
from benchmarks._sequence_models import (
    adapted,
    aligned_class,
    bank,
    from_reference,
    from_smiles,
    retrieved,
    rows_to_write,
    voted_class,
    written,
)
from benchmarks._sequence_models import table as texts_table
from recipes.bioverse_small import molecules, proteins
from scbioverse.encoders import ChemNetEncoder, KmerEncoder, MorganEncoder

RESULTS = Path(__file__).parent / "results" / "sequences.json"
# Figures as published, BLEU-2 and BLEU-4 on all 3,300 test molecules of ChEBI-20, text split by SciBERT's tokenizer.
PUBLISHED = {
    "MolT5-large (published)": {"bleu2": 0.594, "bleu4": 0.508},
    "LLaMA2-chat on Mol-Instructions (published)": {"bleu2": 0.217, "bleu4": 0.143},
}
DIFFERS = (
    "Published rows: other test molecules (all 3,300; here the 1,800 whose captions are openly to be had), another "
    "tokenizer, and models of 0.8 and 7 billion parameters trained on ChEBI-20's own 26,407 captions (MolT5) or on "
    "Mol-Instructions; here captions rebuilt from ChEBI's definitions and 135 million parameters."
)
SHOWN = ("bleu2", "bleu4", "rougeL", "meteor")


def timed(work: Callable[[], object], n: int) -> dict[str, float]:
    """Rows a second by the clock, and by the seconds that the processor worked, which other programs do not slow."""
    clock, busy = time.perf_counter(), time.process_time()
    work()
    return {
        "rows": n,
        "per_second": round(n / (time.perf_counter() - clock), 1),
        "per_cpu_second": round(n / (time.process_time() - busy), 1),
    }


def speed(smiles: list[str], sequences: list[str]) -> dict[str, dict[str, float]]:
    """`sb.tl.embed` from text to slot, parsing included."""
    found = {}
    drugs = ad.AnnData(obs=pd.DataFrame({"smiles": smiles}).rename(index=str))
    chains = ad.AnnData(obs=pd.DataFrame({"sequence": sequences}).rename(index=str))
    for encoder, data in ((ChemNetEncoder(), drugs), (MorganEncoder(), drugs), (KmerEncoder(), chains)):
        modality = encoder.modality
        sb.tl.embed(data[:8].copy(), model=encoder, modality=modality)
        found[encoder.name] = timed(
            lambda data=data, encoder=encoder: sb.tl.embed(data, model=encoder, modality=encoder.modality), data.n_obs
        )
    return found


def nearest(queries: np.ndarray, pool: np.ndarray, *, tanimoto: bool) -> np.ndarray:
    """Position in the pool of each query's nearest, by Tanimoto similarity of bits or by cosine."""
    dots = queries @ pool.T
    if tanimoto:
        union = queries.sum(axis=1)[:, None] + pool.sum(axis=1)[None, :] - dots
        return (dots / np.maximum(union, 1)).argmax(axis=1)
    return (dots / np.linalg.norm(pool, axis=1)).argmax(axis=1)


def texts(found: list[str], right: list[str], rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Measures of the found texts, and of the same dealt to other rows."""
    dealt = [found[i] for i in rng.permutation(len(found))]
    return {"nearest": sb.metrics.text_metrics(found, right), "shuffled": sb.metrics.text_metrics(dealt, right)}


def captions(n_test: int, rng: np.random.Generator) -> dict[str, object]:
    train, test = molecules.pairs("train"), molecules.pairs("test")
    test = test.iloc[rng.permutation(len(test))[:n_test]]
    encoder = MorganEncoder(chirality=True)
    bits = encoder.embed_texts(train["parent"])
    own = nearest(encoder.embed_texts(test["parent"]), bits, tanimoto=True)
    found, right = train["text"].iloc[own].tolist(), test["text"].tolist()
    result: dict[str, object] = {"n_train": len(train), "n_test": len(test), **texts(found, right, rng)}
    for name, read in (("roles", sb.metrics.extract_roles), ("classes", sb.metrics.extract_classes)):
        result[name] = sb.metrics.set_agreement([read(text) for text in found], [read(text) for text in right])
    return result


def protein_texts(n_train: int, n_test: int, rng: np.random.Generator) -> dict[str, object]:
    train, test = proteins.pairs("train"), proteins.pairs("test")
    train = train.iloc[rng.permutation(len(train))[:n_train]]
    test = test.iloc[rng.permutation(len(test))[:n_test]]
    encoder = KmerEncoder()
    own = nearest(encoder.embed_texts(test["sequence"]), encoder.embed_texts(train["sequence"]), tanimoto=False)
    found = train["text"].iloc[own].tolist()
    return {"n_train": len(train), "n_test": len(test), **texts(found, test["text"].tolist(), rng)}


def classes(field: str, n_train: int, rng: np.random.Generator) -> dict[str, float]:
    """Logistic regression on the k-mer encoder, families of the test never seen."""
    known = labelled(field)
    train, test = known.query("split == 'train'"), known.query("split == 'test'")
    train = train.iloc[rng.permutation(len(train))[:n_train]]
    encoder = KmerEncoder()
    x, seen = encoder.embed_texts(train["sequence"]), encoder.embed_texts(test["sequence"])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    model.fit(x, train["label"])
    right, called = test["label"].to_numpy(), model.predict(seen)
    shuffled = model.predict(seen[rng.permutation(len(seen))])
    commonest = train["label"].value_counts().index[0]
    return {
        "n_train": len(train),
        "n_test": len(test),
        "n_classes": int(train["label"].nunique()),
        "accuracy": float((called == right).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(right, called)),
        "shuffled": float((shuffled == right).mean()),
        "majority": float((right == commonest).mean()),
        "chance": 1 / int(train["label"].nunique()),
    }


def with_model(name: str, options: argparse.Namespace) -> dict[str, dict]:
    """Measure what the model's own parts say: texts, retrieval, classes."""
    model = sb.models.load(name)
    result: dict[str, dict] = {"model": {"name": model.name, "fingerprint": model.fingerprint()}}
    for modality, sizes in (
        ("molecule", (options.train_molecules, options.test_molecules)),
        ("protein", (options.train_proteins, options.test_proteins)),
    ):
        rng = np.random.default_rng(0)
        held = bank(model, modality, rng, *sizes)
        found = {"texts": from_reference(held, model, modality, rng), "retrieval": retrieved(held, model, modality)}
        if options.written:
            some = rows_to_write(held, options.written, rng)
            found["written"] = written(held, model, modality, some, rng)
            if options.adapter_steps and modality == "molecule":
                steps = options.adapter_steps
                if modality not in model.phrase_books:
                    found["written"] |= adapted(held, model, modality, some, steps, rng)
                else:
                    found["written"] |= from_smiles(held, model, some, steps)
        found["sizes"] = {"train": held.train.n_obs, "test": held.test.n_obs, "written": options.written}
        result[modality] = found
    for field in ("ec", "location"):
        result[f"aligned_{field}"] = aligned(model, field)
    return result


def aligned(model: sb.models.BioVerse, field: str) -> dict[str, dict[str, float]]:
    """Classes of test proteins in the shared space: by the nearest sentence, and by the nearest training proteins."""
    known = labelled(field)
    test = known.query("split == 'test'")
    names = sorted(known.query("split == 'train'")["label"].unique())
    train = known.query("split == 'train' and shippable")
    x, seen = (KmerEncoder().embed_texts(one["sequence"]) for one in (test, train))
    right = test["label"].to_numpy()
    result: dict[str, dict[str, float]] = {}
    for name, called in {
        "nearest sentence": aligned_class(model, x, field, names),
        "nearest training proteins": voted_class(model, seen, train["label"].tolist(), x),
    }.items():
        result[name] = {
            "n_test": len(test),
            "accuracy": float((called == right).mean()),
            "balanced_accuracy": float(balanced_accuracy_score(right, called)),
            "shuffled": float((np.random.default_rng(0).permutation(called) == right).mean()),
            "majority": float((right == train["label"].value_counts().index[0]).mean()),
            "chance": 1 / len(names),
        }
    return result


def labelled(field: str) -> pd.DataFrame:
    """Proteins with the first digit of their EC number, or with a place in the cell, as `label`."""
    known = proteins.proteins()
    label = known["ec"].str[:1] if field == "ec" else known["location"]
    label = label.where(label.isin(proteins.EC_CLASSES), "") if field == "ec" else label
    return known.assign(label=label)[label != ""]


def model_tables(result: dict[str, dict]) -> str:
    """Tables of :func:`with_model`."""
    lines = []
    for modality in ("molecule", "protein"):
        one = result[modality]
        sizes = one["sizes"]
        rows = one["texts"] | (PUBLISHED if modality == "molecule" else {})
        lines.append(texts_table(f"{modality}s: texts of {sizes['test']} test rows", rows, SHOWN))
        if "written" in one:
            title = f"{modality}s: {sizes['written']} of them, drawn"
            columns = ("phrase", "phrase_words", *SHOWN, "roles_f1", "classes_f1")
            lines.append(texts_table(title, one["written"], columns))
        keys = ("recall@1", "recall@10", "mrr", "chance_recall@1", "chance_recall@10")
        lines.append(texts_table(f"{modality}s: retrieval among the test rows", one["retrieval"], keys))
    titles = {"ec": "EC, first digit", "location": "place in the cell"}
    rows = {f"{titles[field]}, {how}": one for field in titles for how, one in result[f"aligned_{field}"].items()}
    keys = ("accuracy", "balanced_accuracy", "majority", "shuffled", "chance")
    lines.append(texts_table("proteins: classes in the shared space", rows, keys))
    return "\n".join([*lines, "", DIFFERS])


def table(result: dict[str, dict]) -> str:
    lines = [f"{'encoder':<42}{'rows/s':>10}{'rows/CPU s':>12}{'rows':>8}"]
    for name, one in result["speed"].items():
        lines.append(f"{name:<42}{one['per_second']:>10}{one['per_cpu_second']:>12}{one['rows']:>8}")
    lines.append(f"\n{'texts, no language model':<42}" + "".join(f"{name:>10}" for name in SHOWN))
    for name, title in (("captions", "molecule captions"), ("protein_texts", "protein texts")):
        for kind in ("nearest", "shuffled"):
            values = "".join(f"{result[name][kind][key]:>10.3f}" for key in SHOWN)
            lines.append(f"{title + ', ' + kind + ' training neighbour':<42}{values}")
    facts = result["captions"]
    lines += [
        f"{'nearest neighbour, ' + name + ' F1, exact':<42}{facts[name]['f1']:>10.3f}{facts[name]['exact']:>10.3f}"
        for name in ("roles", "classes")
    ]
    head = ("accuracy", "balanced", "majority", "shuffled", "chance")
    lines.append(f"\n{'proteins, logistic regression on k-mers':<42}" + "".join(f"{name:>10}" for name in head))
    for name, title in (("ec", "EC, first digit"), ("location", "place in the cell")):
        one = result[name]
        keys = ("accuracy", "balanced_accuracy", "majority", "shuffled", "chance")
        lines.append(f"{title:<42}" + "".join(f"{one[key]:>10.3f}" for key in keys))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, default=1024, help="molecules embedded for the speeds")
    parser.add_argument("--proteins", type=int, default=2000, help="proteins embedded for the speeds")
    parser.add_argument("--test-captions", type=int, default=500, help="test molecules, of 1,800")
    parser.add_argument("--train-proteins", type=int, default=4000)
    parser.add_argument("--test-proteins", type=int, default=500)
    parser.add_argument("--model", default="bioverse-small", help="name or folder")
    parser.add_argument("--train-molecules", type=int, help="of the reference that texts are taken from; all")
    parser.add_argument("--test-molecules", type=int, help="of 1,800 for texts from neighbours and retrieval; all")
    parser.add_argument("--written", type=int, default=300, help="test rows that texts are written for; 0 for none")
    parser.add_argument("--adapter-steps", type=int, default=192, help="of the adapters compared; 0 for none")
    parser.add_argument("--only", choices=("encoders", "model"), help="run this part and keep the other's figures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    start, load = time.perf_counter(), os.getloadavg()[0]
    result: dict[str, dict] = {}
    if options.only and options.out.is_file():
        result = json.loads(options.out.read_text())
    if options.only != "model":
        train, known = molecules.pairs("train"), proteins.proteins()
        result |= {
            "speed": speed(
                train["smiles"].sample(options.molecules, random_state=0).tolist(),
                known["sequence"].sample(options.proteins, random_state=0).tolist(),
            ),
            "captions": captions(options.test_captions, rng),
            "protein_texts": protein_texts(options.train_proteins, options.test_proteins, rng),
            "ec": classes("ec", options.train_proteins, rng),
            "location": classes("location", options.train_proteins, rng),
        }
    if options.only != "encoders":
        result["with_model"] = with_model(options.model, options)
    result[f"machine, {options.only or 'all'}"] = {
        "cores": os.cpu_count(),
        "threads": options.threads,
        "load_when_started": round(load, 2),
        "seconds": round(time.perf_counter() - start, 1),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    if "speed" in result:
        print(table(result))
    if "with_model" in result:
        print(model_tables(result["with_model"]))


if __name__ == "__main__":
    main()

"""Molecule and protein encoders: speed, and what needs no language model: `python -m benchmarks.sequences`.

Prints one table, writes a JSON file. Captions: the caption of the nearest training molecule by Tanimoto similarity of
Morgan fingerprints, and the same captions dealt to other molecules. Proteins: the text of the nearest training protein
by k-mers, and the same shuffled; EC's first digit and the place in the cell by logistic regression on the k-mer
encoder, beside the commonest class and shuffled embeddings. Splits are those of the recipe.
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
from recipes.bioverse_small import molecules, proteins
from scbioverse.encoders import ChemNetEncoder, KmerEncoder, MorganEncoder

RESULTS = Path(__file__).parent / "results" / "sequences.json"
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
    table = proteins.proteins()
    label = table["ec"].str[:1] if field == "ec" else table["location"]
    label = label.where(label.isin(proteins.EC_CLASSES), "") if field == "ec" else label
    table = table.assign(label=label)[label != ""]
    train, test = table.query("split == 'train'"), table.query("split == 'test'")
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
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    start, load = time.perf_counter(), os.getloadavg()[0]
    train, known = molecules.pairs("train"), proteins.proteins()
    result: dict[str, dict] = {
        "speed": speed(
            train["smiles"].sample(options.molecules, random_state=0).tolist(),
            known["sequence"].sample(options.proteins, random_state=0).tolist(),
        ),
        "captions": captions(options.test_captions, rng),
        "protein_texts": protein_texts(options.train_proteins, options.test_proteins, rng),
        "ec": classes("ec", options.train_proteins, rng),
        "location": classes("location", options.train_proteins, rng),
    }
    result["machine"] = {
        "cores": os.cpu_count(),
        "threads": options.threads,
        "load_when_started": round(load, 2),
        "seconds": round(time.perf_counter() - start, 1),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()

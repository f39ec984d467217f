"""Enzyme classes of proteins whose family no known one is of, by search and by its peers."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import scbioverse as sb
from recipes.bioverse_small import proteins
from scbioverse.encoders import KmerEncoder
from scbioverse.metrics import set_agreement
from scbioverse.predict.homologues import MOST_EXPECTED, MOST_KEPT, Homologues, search, sure_classes
from scbioverse.predict.neighbours import View, items_of, nearest_rows, said_by, vote_weights, voted

SPLITS = ("families", "clusters", "clusters30")
IDENTITY = {"clusters": 0.5, "clusters30": 0.3}  # of sequences of one cluster of MMseqs2, over four fifths of both
FAR = 10.0  # expectation up to which a match is better than k-mers for the first digit
PARTS = ["go_mf", "go_cc", "go_bp"]


def enzymes(split: str, n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Known enzymes and those asked about: `"families"` (the recipe's, by shared 5-mers) or clusters of MMseqs2."""
    table = proteins.proteins()
    table = table[table["ec"] != ""].reset_index(drop=True)
    if split == "families":
        known, asked = table[table["split"] == "train"], table[table["split"] == "test"]
    else:
        group = clusters(table["sequence"].tolist(), IDENTITY[split])
        drawn = np.random.default_rng(seed).permutation(np.unique(group))
        held = np.isin(group, drawn[: len(drawn) // 5])
        known, asked = table[~held], table[held]
    asked = asked.sample(min(n, len(asked)), random_state=seed)
    return known.reset_index(drop=True), asked.reset_index(drop=True)


def clusters(sequences: list[str], identity: float) -> np.ndarray:
    """Cluster of each sequence by MMseqs2; worked out once, then read from the cache folder."""
    key = hashlib.sha256("\n".join([str(identity), *sequences]).encode()).hexdigest()[:16]
    kept = sb.settings.cache_dir / "benchmarks" / f"clusters_{key}.npy"
    if not kept.is_file():
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            (at / "all.fasta").write_text("".join(f">{i}\n{one}\n" for i, one in enumerate(sequences)))
            command = ["mmseqs", "easy-cluster", "all.fasta", "out", "tmp", "--min-seq-id", str(identity), "-c", "0.8"]
            subprocess.run([*command, "--threads", "1", "-v", "1"], cwd=at, check=True)
            pairs = pd.read_csv(at / "out_cluster.tsv", sep="\t", header=None)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, pairs.set_index(1)[0].sort_index().to_numpy())
    found: np.ndarray = np.load(kept)
    return found


def by_tool(command: list[str], known: pd.DataFrame, asked: pd.DataFrame) -> list[str]:
    """Enzyme class of the best hit of a program that writes BLAST's table; `""` for none."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        for name, table in (("known", known), ("asked", asked)):
            (at / f"{name}.fasta").write_text("".join(f">{i}\n{one}\n" for i, one in enumerate(table["sequence"])))
        if command[0] == "diamond":
            subprocess.run(["diamond", "makedb", "--in", "known.fasta", "-d", "known", "--quiet"], cwd=at, check=True)
        subprocess.run(command, cwd=at, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hits = pd.read_csv(at / "out.tsv", sep="\t", header=None)
    best = hits.sort_values(11, ascending=False, kind="stable").drop_duplicates(0).set_index(0)[1]
    return [known["ec"].iloc[best[i]] if i in best.index else "" for i in range(len(asked))]


TOOLS = {
    "DIAMOND, best hit": "diamond blastp -d known -q asked.fasta -o out.tsv --outfmt 6 --very-sensitive -e 0.01 -p 1",
    "DIAMOND, best hit to expectation 10": (
        "diamond blastp -d known -q asked.fasta -o out.tsv --outfmt 6 --very-sensitive -e 10 -p 1"
    ),
    "MMseqs2, best hit": "mmseqs easy-search asked.fasta known.fasta out.tsv tmp -s 7.5 -e 0.01 --threads 1 -v 1",
}


def measured(called: list[str], right: list[str], known: set[str]) -> dict[str, float]:
    """Shares of all proteins: answered, first digit right, whole class right; the last of those a known one is like."""
    pairs = list(zip(called, right, strict=True))
    possible = [pair for pair in pairs if pair[1] in known]
    return {
        "answered": float(np.mean([bool(a) for a in called])),
        "first digit": float(np.mean([a[:1] == b[:1] for a, b in pairs])),
        "exact": float(np.mean([a == b for a, b in pairs])),
        "exact, of known classes": float(np.mean([a == b for a, b in possible])),
    }


def guessed(named: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> list[str]:
    """Class of each protein: first digit by vote, then the class that has it; `""` where nobody votes."""
    called = []
    for some, weight in zip(rows, weights, strict=True):
        held = [named[one] if one >= 0 else "" for one in some]
        digit = next((one for one in said_by([[ec[:1]] for ec in held], weight) if one), "")
        called.append(next((ec for ec in said_by([[ec] for ec in held], weight) if ec and ec[:1] == digit), ""))
    return called


def classified(x: np.ndarray, y: np.ndarray, named: np.ndarray) -> list[str]:
    """First digit of each protein by ridge regression on the k-mers of the known ones."""
    digits = np.unique([ec[:1] for ec in named])
    target = np.array([ec[:1] for ec in named])[:, None] == digits
    weights = np.linalg.solve(y.T @ y + 1000 * np.eye(y.shape[1]), y.T @ (target - target.mean(axis=0)))
    return digits[(x @ weights + target.mean(axis=0)).argmax(axis=1)].tolist()


def terms(known: pd.DataFrame, asked: pd.DataFrame, hits: Homologues, seed: int) -> dict[str, Any]:
    """GO terms of those proteins asked about that have any: by vote, and those of the best match that has any."""
    of_known, right = (
        [[term for part in PARTS for term in items_of(row[part])] for row in one.to_dict("records")]
        for one in (known, asked)
    )
    found = hits.among(np.array([bool(one) for one in of_known]), 10)
    voted_on, _ = voted(of_known, found.near.rows, found.weights())
    best = [of_known[one] if one >= 0 else [] for one in found.near.rows[:, 0]]
    some = np.flatnonzero([bool(one) for one in right])
    dealt = np.random.default_rng(seed).permutation(some)
    called = {
        "vote": [voted_on[i] for i in some], "best match": [best[i] for i in some],
        "vote, dealt to other proteins": [voted_on[i] for i in dealt],
    }  # fmt: skip
    rows = {
        name: {one: float(value) for one, value in set_agreement(said, [right[i] for i in some]).items()}
        for name, said in called.items()
    }
    return {"n": len(some), "rows": rows}


def shares(named: np.ndarray, right: list[str], hits: Homologues) -> dict[str, dict[str, float]]:
    """How sure the vote is of each class, by what agrees alone and as it is said: less where the best match is weak."""
    _, agreed = voted([[ec] for ec in named], hits.near.rows, hits.weights())
    said = [
        next(iter(said_by([[named[one]] if one >= 0 else [] for one in rows], weight)), "")
        for rows, weight in zip(hits.near.rows, hits.weights(), strict=True)
    ]
    found = np.flatnonzero(hits.near.rows[:, 0] >= 0)
    true = np.array([said[i] == right[i] for i in found], dtype=float)
    return {
        name: {
            "matched": found.size, "right": float(true.mean()), "mean share": float(share[found].mean()),
            "Brier score": float(np.mean((share[found] - true) ** 2)),
        }
        for name, share in {"what agrees": agreed, "as said": agreed * hits.sure()}.items()
    }  # fmt: skip


def levels(named: np.ndarray, right: list[str], voting: Homologues, seed: int) -> dict[str, dict[str, float]]:
    """Measure classes said as far as they are sure, by how far that is, beside whole classes by half of the vote."""
    said, _ = sure_classes([[ec] for ec in named], voting)
    whole, _ = voted([[ec] for ec in named], voting.near.rows, voting.weights())
    dealt = said[np.random.default_rng(seed).permutation(len(said))]

    def row(classes: list[str], digits: int = 0) -> dict[str, float]:
        some = [i for i, one in enumerate(classes) if one and (not digits or 4 - one.count("-") == digits)]
        # With the point behind the last digit, so that 1.1.1.1 is not taken for the beginning of 1.1.1.10.
        held = [f"{right[i]}.".startswith(f"{classes[i]}.".split("-")[0]) for i in some]
        return {"answered": len(some) / len(right), "right of these": float(np.mean(held)) if held else float("nan")}

    return {
        "whole class, half of the vote": row([next(iter(one), "") for one in whole]),
        "as far as sure": row(said.tolist()),
        **{f"as far as sure: {digits} digits": row(said.tolist(), digits) for digits in (4, 3, 2, 1)},
        "as far as sure, dealt to other proteins": row(dealt.tolist()),
    }


def enzyme_classes(n: int, seed: int, splits: tuple[str, ...] = SPLITS) -> dict[str, Any]:
    """Measure the search, k-mers, other programs, and the commonest class, on each split."""
    found: dict[str, Any] = {}
    for split in splits:
        if split in IDENTITY and not shutil.which("mmseqs"):
            continue
        known, asked = enzymes(split, n, seed)
        right, named = asked["ec"].tolist(), known["ec"].to_numpy()
        every = np.ones(len(known), dtype=bool)
        mine, theirs = (one["sequence"].tolist() for one in (asked, known))
        far = search(mine, theirs, MOST_KEPT, among=every, expected=FAR)
        hits = far.within(MOST_EXPECTED)
        x, y = (KmerEncoder().embed_texts(one).reshape(len(one), -1) for one in (mine, theirs))
        scale = 1 / np.maximum(y.std(axis=0), 0.05 * y.std(axis=0).mean())
        x, y = (x - y.mean(axis=0)) * scale, (y - y.mean(axis=0)) * scale
        near = nearest_rows([View(x, y)], 10)
        kmers = guessed(named, near.rows, vote_weights(near.similarity, floor=0))
        voting, weak = (one.among(every, 10) for one in (hits, far))
        by_search, by_any = (guessed(named, one.near.rows, one.weights()) for one in (voting, weak))
        dealt = np.random.default_rng(seed).permutation(len(asked))
        called = {
            "search (phmmer), vote": by_search,
            "search, k-mers where it finds nothing": [a or b for a, b in zip(by_search, kmers, strict=True)],
            "search to expectation 10, then k-mers": [a or b for a, b in zip(by_any, kmers, strict=True)],
            "search, a classifier of k-mers where it finds nothing (first digit)": [
                a or b for a, b in zip(by_search, classified(x, y, named), strict=True)
            ],
            "k-mers alone": kmers,
            "commonest class": [known["ec"].value_counts().index[0]] * len(asked),
            "search, dealt to other proteins": [by_search[i] for i in dealt],
        }
        for name, command in TOOLS.items():
            if shutil.which(command.split()[0]):
                called[name] = by_tool(command.split(), known, asked)
        found[split] = {
            "n_known": len(known), "n_asked": len(asked),
            "class is known at all": float(np.mean([ec in set(named) for ec in right])),
            "rows": {name: measured(some, right, set(named)) for name, some in called.items()},
            "shares": shares(named, right, voting),
            "levels": levels(named, right, voting, seed),
            "terms": terms(known, asked, hits, seed),
        }  # fmt: skip
    return found

"""Enzyme classes of proteins whose family no known one is of, by search and by its peers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb
from recipes.bioverse_small import proteins
from scbioverse.predict.homologues import search
from scbioverse.predict.vote import said_by

IDENTITY = 0.5  # sequences of one cluster of MMseqs2


def enzymes(split: str, n: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Known enzymes and those asked about: `"families"` (the recipe's, by shared 5-mers) or `"clusters"` (MMseqs2)."""
    table = proteins.proteins()
    table = table[table["ec"] != ""].reset_index(drop=True)
    if split == "families":
        known, asked = table[table["split"] == "train"], table[table["split"] == "test"]
    else:
        group = clusters(table["sequence"].tolist())
        drawn = np.random.default_rng(seed).permutation(np.unique(group))
        held = np.isin(group, drawn[: len(drawn) // 5])
        known, asked = table[~held], table[held]
    asked = asked.sample(min(n, len(asked)), random_state=seed)
    return known.reset_index(drop=True), asked.reset_index(drop=True)


def clusters(sequences: list[str]) -> np.ndarray:
    """Cluster of each sequence by MMseqs2 at half of the residues identical over four fifths of both."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "all.fasta").write_text("".join(f">{i}\n{one}\n" for i, one in enumerate(sequences)))
        command = ["mmseqs", "easy-cluster", "all.fasta", "out", "tmp", "--min-seq-id", str(IDENTITY), "-c", "0.8"]
        subprocess.run([*command, "--threads", "1", "-v", "1"], cwd=at, check=True)
        pairs = pd.read_csv(at / "out_cluster.tsv", sep="\t", header=None)
    return pairs.set_index(1)[0].sort_index().to_numpy()


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
    "MMseqs2, best hit": "mmseqs easy-search asked.fasta known.fasta out.tsv tmp -s 7.5 -e 0.01 --threads 1 -v 1",
}


def measured(called: list[str], right: list[str]) -> dict[str, float]:
    """Shares of all proteins asked about: answered, first digit right, the whole class right."""
    pairs = list(zip(called, right, strict=True))
    return {
        "answered": float(np.mean([bool(a) for a in called])),
        "first digit": float(np.mean([a[:1] == b[:1] for a, b in pairs])),
        "exact": float(np.mean([a == b for a, b in pairs])),
    }


def enzyme_classes(n: int, seed: int, splits: tuple[str, ...] = ("families", "clusters")) -> dict[str, Any]:
    """Measure the search, k-mers, other programs, and the commonest class, on both splits."""
    found: dict[str, Any] = {}
    for split in splits:
        if split == "clusters" and not shutil.which("mmseqs"):
            continue
        known, asked = enzymes(split, n, seed)
        right = asked["ec"].tolist()
        tables = [ad.AnnData(obs=one[["sequence"]].rename(index=str)) for one in (known, asked)]
        hits = search(*(one["sequence"].tolist() for one in (asked, known)), 10, among=np.ones(len(known), bool))
        named = known["ec"].to_numpy()
        voted = []
        for rows, bits in zip(hits.near.rows, hits.bits, strict=True):
            kept = rows >= 0
            shared = said_by([[ec] for ec in named[rows[kept]]], (bits[kept] / bits[0]) ** 4)
            voted.append(next(iter(shared), ""))
        for one in tables:
            sb.tl.embed(one, model="kmer", modality="protein", key_added="kmer")
        x, y = (np.asarray(one.obsm["X_kmer_protein"], dtype=np.float32) for one in (tables[1], tables[0]))
        x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (x, y))
        kmers = named[(x @ y.T).argmax(axis=1)].tolist()
        commonest = [known["ec"].value_counts().index[0]] * len(asked)
        dealt = np.random.default_rng(seed).permutation(len(asked))
        called = {
            "search (phmmer), vote": voted,
            "search, k-mers where it finds nothing": [a or b for a, b in zip(voted, kmers, strict=True)],
            "k-mers alone": kmers,
            "commonest class": commonest,
            "search, dealt to other proteins": [voted[i] for i in dealt],
        }
        for name, command in TOOLS.items():
            if shutil.which(command.split()[0]):
                called[name] = by_tool(command.split(), known, asked)
        possible = np.mean([ec in set(named) for ec in right])
        found[split] = {
            "n_known": len(known), "n_asked": len(asked), "class is known at all": float(possible),
            "rows": {name: measured(some, right) for name, some in called.items()},
        }  # fmt: skip
    return found

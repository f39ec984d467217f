"""Rank-value encoding: a cell as its genes in order of how far they stand above their usual level.

A count is divided by the cell's total, multiplied by 10,000 and divided by the gene's non-zero median over a large
corpus; genes with counts are then listed from the highest value down (Theodoris et al., Nature 618, 616-624, 2023).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._untrusted import read_json_object, refusing
from ..errors import InputError
from ..io import Cells, match_genes
from ._unpickle import load_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import scipy.sparse as sp
    from numpy.typing import NDArray

SPECIAL = ("<pad>", "<mask>", "<cls>", "<eos>")


@dataclass(frozen=True, eq=False)
class RankVocabulary:
    """Genes with their tokens and medians, in order of their tokens."""

    genes: tuple[str, ...]  # (G,): Ensembl ids
    tokens: NDArray[np.int32]  # int32 (G,): increasing
    medians: NDArray[np.float64]  # float64 (G,): non-zero median of each gene's counts per 10,000 over the corpus
    pad: int = 0
    cls: int | None = None  # None in the first generation, as `eos`
    eos: int | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)  # further names of genes to Ensembl ids

    @property
    def n_special(self) -> int:
        """Tokens around the genes of a cell: 2 with `<cls>` and `<eos>`, else 0."""
        return 0 if self.cls is None else 2

    @property
    def largest_token(self) -> int:
        """Largest token that a cell may hold."""
        return int(max(self.tokens.max(), self.pad, self.cls or 0, self.eos or 0))

    def fingerprint(self) -> str:
        """Sha256, in hex, of what tokens depend on."""
        head = json.dumps([self.genes, self.pad, self.cls, self.eos, sorted(self.symbols.items())])
        digest = hashlib.sha256(head.encode())
        digest.update(self.tokens.astype("<i4").tobytes() + self.medians.astype("<f8").tobytes())
        return digest.hexdigest()

    @classmethod
    def from_tables(
        cls, tokens: Mapping[str, Any], medians: Mapping[str, Any], symbols: Mapping[str, Any] | None = None
    ) -> RankVocabulary:
        """Build the vocabulary from the published dictionaries: ids to tokens, ids to medians, further names to ids."""
        with refusing("the token and median dictionaries are not usable", "Fetch them again."):
            whole = {str(name): int(token) for name, token in tokens.items()}
            if any(whole[name] != token or whole[name] < 0 for name, token in tokens.items()):
                raise ValueError("a token is not a whole number")
            if len(set(whole.values())) != len(whole):
                raise ValueError("two genes have one token")
            special = {name: whole.pop(name) for name in SPECIAL if name in whole}
            if "<pad>" not in special:
                raise ValueError("there is no <pad>")
            if ("<cls>" in special) != ("<eos>" in special):
                raise ValueError("there is one of <cls> and <eos> without the other")
            genes = tuple(sorted((gene for gene in whole if gene in medians), key=whole.__getitem__))
            values = np.array([float(medians[gene]) for gene in genes], dtype=np.float64)
            if not genes or not (np.isfinite(values) & (values > 0)).all():
                raise ValueError("no gene has a median, or a median is not positive")
            names = {str(name): str(gene) for name, gene in (symbols or {}).items() if str(gene) in whole}
            numbers = np.array([whole[gene] for gene in genes], dtype=np.int32)
        return cls(genes, numbers, values, special["<pad>"], special.get("<cls>"), special.get("<eos>"), names)

    @classmethod
    def from_files(cls, tokens: str | Path, medians: str | Path, symbols: str | Path | None = None) -> RankVocabulary:
        """Read the published dictionaries, as pickles (without running them) or JSON."""
        return cls.from_tables(load_table(tokens), load_table(medians), load_table(symbols) if symbols else None)

    def to_json(self) -> bytes:
        """Write as JSON; equal vocabularies give equal bytes."""
        values = {
            "genes": self.genes,
            "tokens": self.tokens.tolist(),
            "medians": self.medians.tolist(),
            "special": {"<pad>": self.pad, "<cls>": self.cls, "<eos>": self.eos},
            "symbols": dict(sorted(self.symbols.items())),
        }
        return json.dumps(values).encode()

    @classmethod
    def from_json(cls, path: Path) -> RankVocabulary:
        """Read what :meth:`to_json` wrote."""
        with refusing(f"cannot read the vocabulary {path}"):
            values = read_json_object(path)
            special = {name: token for name, token in values["special"].items() if token is not None}
            tokens = dict(zip(values["genes"], values["tokens"], strict=True)) | special
            medians = dict(zip(values["genes"], values["medians"], strict=True))
            return cls.from_tables(tokens, medians, values["symbols"])


@dataclass(frozen=True, eq=False)
class RankColumns:
    """Which columns of a data set are which genes of the vocabulary."""

    columns: NDArray[np.int64]  # int64 (m,): columns that are read, increasing
    places: NDArray[np.int64]  # int64 (m,): place of each among `genes`; columns of one gene share one and are summed
    genes: NDArray[np.int64]  # int64 (g,): positions in the vocabulary, increasing
    n_input: int  # columns of the data set
    n_dictionary: int  # columns found by Ensembl id or through the official dictionary
    n_alias: int  # columns found through the bundled gene table

    def describe(self, n_vocabulary: int) -> str:
        """One line for the log."""
        summed = self.columns.size - self.genes.size
        return (
            f"{self.genes.size} of {n_vocabulary} vocabulary genes found among {self.n_input} "
            f"({self.n_dictionary} by Ensembl id or the model's own dictionary, {self.n_alias} by the bundled gene "
            f"table{f'; {summed} columns summed with another of the same gene' if summed else ''})"
        )


def find_columns(cells: Cells, vocabulary: RankVocabulary, *, min_genes: int = 100) -> RankColumns:
    """Find the vocabulary's genes among the columns of a data set, at least `min_genes`.

    A name is an Ensembl id of the vocabulary, with or without version, or is found in the model's own dictionary;
    columns that name the same gene that way are summed, as the published tokeniser does. Genes not found so are looked
    for among the remaining names through the bundled gene table (previous symbols, aliases).
    """
    names = cells.names
    position = {gene: i for i, gene in enumerate(vocabulary.genes)}
    found = np.array([_look_up(name, position, vocabulary.symbols) for name in names], dtype=np.int64)
    known = found >= 0
    held = set(found[known].tolist())
    # Only what is left goes through the gene table; its names may repeat in data where the rest decides.
    rest = [i for i in np.flatnonzero(~known) if names[i]]
    twice = Counter(names[i] for i in rest)
    rest = [i for i in rest if twice[names[i]] == 1]
    n_alias = 0
    match = match_genes([names[i] for i in rest], vocabulary.genes, min_genes=0)
    for i, at in zip(match.columns.tolist(), match.vocab.tolist(), strict=True):
        if at not in held:
            found[rest[i]] = at
            held.add(at)
            n_alias += 1
    if len(held) < min_genes:
        # Says what was found, and which column of var would do better.
        cells.match(vocabulary.genes, min_genes=min_genes)
        raise InputError(
            f"{len(held)} of {len(names)} genes match the vocabulary of {len(vocabulary.genes)} human genes; at least "
            f"{min_genes} are needed."
        )
    cells.judge_names(len(held), len(vocabulary.genes))
    columns = np.flatnonzero(found >= 0)
    genes, places = np.unique(found[columns], return_inverse=True)
    return RankColumns(columns, places.astype(np.int64), genes, len(names), int(known.sum()), n_alias)


def _look_up(name: str, position: Mapping[str, int], symbols: Mapping[str, str]) -> int:
    for candidate in (name, name.partition(".")[0] if name.startswith("ENS") else name):
        if candidate in position:
            return position[candidate]
        if candidate in symbols:
            return position.get(symbols[candidate], -1)
    return -1


TARGET_SUM = 10_000.0
# Rows sorted together: enough to call numpy seldom, few enough that one long cell does not widen many short ones.
_ROWS = 64


class RankedCells(NamedTuple):
    """Cells as sequences of tokens, one behind the other."""

    ids: NDArray[np.int32]  # (sum of lengths,)
    lengths: NDArray[np.int64]  # (n,): tokens of each cell
    n_special: int = 0  # tokens of each that stand around its genes

    @property
    def n_empty(self) -> int:
        """Cells without counts in the vocabulary's genes."""
        return int((self.lengths == self.n_special).sum())

    def cell(self, i: int) -> NDArray[np.int32]:
        """Tokens of cell `i`."""
        stop = int(self.lengths[: i + 1].sum())
        return self.ids[stop - int(self.lengths[i]) : stop]


def rank_values(
    counts: sp.csr_array, totals: NDArray[np.floating], medians: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Value that each stored count (n, m) is ranked by, in the order of `counts.data`.

    Computed in float64, left to right as count / total * 10,000 / median, so that two implementations of the formula
    agree to the last bit and with it on what is a tie. `totals` (n,) are over all genes measured, those outside of the
    vocabulary included.
    """
    per_count = np.repeat(np.asarray(totals, dtype=np.float64), np.diff(counts.indptr))
    return counts.data.astype(np.float64) / per_count * TARGET_SUM / medians[counts.indices]


def rank_tokens(
    counts: sp.csr_array,
    totals: NDArray[np.floating],
    medians: NDArray[np.float64],
    tokens: NDArray[np.int32],
    *,
    max_genes: int,
) -> RankedCells:
    """Order the genes of each cell by their value, highest first, and keep the first `max_genes`.

    Of genes with equal values the one with the smaller token comes first: the result depends neither on the order of
    the data's columns nor on how a sorting routine treats ties. `counts` (n, m) have sorted, unique indices; `totals`
    as for :func:`rank_values`; `medians` and `tokens` (m,), tokens increasing. A cell without counts has an empty
    sequence.
    """
    if (counts.data == 0).any():
        counts = counts.copy()
        counts.eliminate_zeros()
    values = rank_values(counts, totals, medians)
    lengths = np.diff(counts.indptr).astype(np.int64)
    parts = []
    for first in range(0, lengths.size, _ROWS):
        bounds = counts.indptr[first : first + _ROWS + 1]
        filled = np.arange(lengths[first : first + _ROWS].max(initial=0)) < np.diff(bounds)[:, None]
        # Sorted upwards by the negative value, so that a stable sort leaves ties in the order of their tokens.
        block = np.full(filled.shape, np.inf)
        block[filled] = -values[bounds[0] : bounds[-1]]
        order = np.argsort(block, axis=1, kind="stable")[:, :max_genes]
        parts.append((order + bounds[:-1, None])[filled[:, :max_genes]])
    at = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    return RankedCells(tokens[counts.indices[at]], np.minimum(lengths, max_genes))

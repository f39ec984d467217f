"""Match the gene names of a data set to a vocabulary of current human symbols."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_GENES = 100
_ENSEMBL = re.compile(r"^ENSG\d{11}", re.IGNORECASE)
_MOUSE_ID = re.compile(r"^ENSMUSG\d+")
_MOUSE_SYMBOL = re.compile(r"^[A-Z][a-z0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)?$")


@dataclass(frozen=True, eq=False)
class GeneMatch:
    """Which columns of a data set are which genes of a vocabulary.

    Attributes
    ----------
    columns
        int64 (m,): positions among the data set's genes, increasing.
    vocab
        int64 (m,): positions in the vocabulary, each once, beside `columns`.
    n_input, n_vocab
        Genes in the data set and in the vocabulary.
    n_symbol, n_alias, n_ensembl
        How many of the m were matched as symbols as they stand, through an older symbol, alias or other spelling,
        and through an Ensembl id.
    n_collisions
        Columns left out because another column is the same gene.
    """

    columns: NDArray[np.int64]
    vocab: NDArray[np.int64]
    n_input: int
    n_vocab: int
    n_symbol: int
    n_alias: int
    n_ensembl: int
    n_collisions: int = 0

    def describe(self) -> str:
        """One line for the log."""
        parts = [
            f"{n} by {how}"
            for n, how in (
                (self.n_symbol, "symbol"),
                (self.n_alias, "alias, older symbol or spelling"),
                (self.n_ensembl, "Ensembl id"),
            )
            if n
        ]
        dropped = f"; {self.n_collisions} columns name a gene that another column holds" if self.n_collisions else ""
        return (
            f"{self.vocab.size} of {self.n_vocab} vocabulary genes found among {self.n_input} "
            f"({', '.join(parts) or 'none'}{dropped})"
        )


def _harmonise(names: Sequence[str]) -> list[str | None]:
    # Late: the table is read only when a name is not in the vocabulary as it stands.
    from ..knowledge.genes import harmonise

    return harmonise(names)


# Kept between calls: an encoder matches its one vocabulary against every data set.
@lru_cache(maxsize=4)
def _places(vocabulary: tuple[str, ...]) -> dict[str, int]:
    return {gene: i for i, gene in enumerate(vocabulary)}


@lru_cache(maxsize=4)
def _current_places(vocabulary: tuple[str, ...]) -> dict[str, int]:
    """Vocabulary positions by today's symbol, for vocabularies that were written with older ones."""
    return {symbol: i for i, symbol in enumerate(_harmonise(vocabulary)) if symbol is not None}


def match_genes(names: Sequence[str], vocabulary: Sequence[str], *, min_genes: int = MIN_GENES) -> GeneMatch:
    """Match gene names to a vocabulary.

    A name counts as it stands if the vocabulary has it; otherwise through the bundled HGNC table: Ensembl ids with or
    without version, previous symbols, aliases. Where two columns are the same gene, the one named by its symbol wins,
    else the first.

    Parameters
    ----------
    names
        Gene names of the data set, (n_input,), unique.
    vocabulary
        Symbols, (n_vocab,), unique.
    min_genes
        Fewest matches that are accepted.

    Returns
    -------
    The match.

    Raises
    ------
    InputError
        A name occurs twice, or fewer than `min_genes` genes match.
    """
    found = _match(tuple(map(str, names)), tuple(vocabulary), min_genes)
    return replace(found, columns=found.columns.copy(), vocab=found.vocab.copy())


# Kept between calls: a verb that embeds and weighs markers matches the same genes to the same vocabulary twice.
@lru_cache(maxsize=8)
def _match(names: tuple[str, ...], vocabulary: tuple[str, ...], min_genes: int) -> GeneMatch:
    _refuse_duplicates(names)
    place = _places(vocabulary)
    # rank: 0 the symbol as it stands, 1 Ensembl id, 2 alias; lower wins a gene, then the earlier column.
    claims: dict[int, tuple[int, int]] = {}
    n_claims = 0
    rest: list[tuple[int, str]] = []
    for column, name in enumerate(names):
        if name in place:
            n_claims += 1
            claims.setdefault(place[name], (0, column))
        else:
            rest.append((column, name))
    if rest:
        current_place = _current_places(vocabulary)
        for (column, name), symbol in zip(rest, _harmonise([name for _, name in rest]), strict=True):
            at = None if symbol is None else place.get(symbol, current_place.get(symbol))
            if at is None:
                continue
            n_claims += 1
            claim = (1 if _ENSEMBL.match(name) else 2, column)
            claims[at] = min(claims.get(at, claim), claim)
    if len(claims) < min_genes:
        raise InputError(_too_few(names, vocabulary, len(claims), min_genes))
    won = sorted((column, at, rank) for at, (rank, column) in claims.items())
    ranks = Counter(rank for _, _, rank in won)
    return GeneMatch(
        columns=np.array([column for column, _, _ in won], dtype=np.int64),
        vocab=np.array([at for _, at, _ in won], dtype=np.int64),
        n_input=len(names),
        n_vocab=len(vocabulary),
        n_symbol=ranks[0],
        n_ensembl=ranks[1],
        n_alias=ranks[2],
        n_collisions=n_claims - len(claims),
    )


def _refuse_duplicates(names: Sequence[str]) -> None:
    if len(set(names)) == len(names):
        return
    twice = [name for name, n in Counter(names).items() if n > 1]
    raise InputError(
        f"{len(twice)} gene names occur more than once: {', '.join(map(repr, twice[:5]))}"
        f"{', ...' if len(twice) > 5 else ''}. Sum the columns of one gene, or make the names unique, which "
        "keeps the first under its name (adata.var_names_make_unique() for the index of var)."
    )


def looks_like_mouse(names: Sequence[str]) -> bool:
    """Whether most names are written like mouse symbols (`Cd3e`) or are mouse Ensembl ids."""
    sample = [name for name in names if name]
    hits = sum(bool(_MOUSE_SYMBOL.match(name) or _MOUSE_ID.match(name)) for name in sample)
    return hits > 0.5 * max(len(sample), 1)


def _too_few(names: Sequence[str], vocabulary: Sequence[str], n_found: int, min_genes: int) -> str:
    known = set(vocabulary)
    examples = ", ".join(repr(name) for name in names[:5]) or "none"
    message = (
        f"{n_found} of {len(names)} genes match the vocabulary of {len(vocabulary)} human genes; at least {min_genes} "
        f"are needed. Names found: {examples}."
    )
    if looks_like_mouse(names):
        upper = sum(name.upper() in known for name in names)
        return (
            f"{message} They look like mouse genes, and this model reads human ones: map them to human orthologues, "
            f"or, as a rough stand-in, upper-case them (adata.var_names = adata.var_names.str.upper()): {upper} would "
            "then match."
        )
    if names and sum(name.isdigit() for name in names) > 0.5 * len(names):
        return f"{message} They are numbers: set adata.var_names to gene symbols or Ensembl ids."
    return f"{message} Expected human gene symbols or Ensembl ids (ENSG...) in adata.var_names."

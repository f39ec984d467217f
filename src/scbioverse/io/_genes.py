"""Match the gene names of a data set to a vocabulary of current human symbols."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..knowledge.gene_columns import ID, OLDER, SYMBOL, Claim, copy_of, pick
from ._gene_names import too_few

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MIN_GENES = 100
_ENSEMBL = re.compile(r"^ENSG\d{11}", re.IGNORECASE)


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
    rivals
        All columns of each gene that has several, by position in the vocabulary.
    """

    columns: NDArray[np.int64]
    vocab: NDArray[np.int64]
    n_input: int
    n_vocab: int
    n_symbol: int
    n_alias: int
    n_ensembl: int
    n_collisions: int = 0
    rivals: Mapping[int, tuple[Claim, ...]] = field(default_factory=dict, repr=False)

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

    def settle(self, n_expressing: NDArray[np.integer]) -> GeneMatch:
        """Give each gene with several columns the one that :func:`scbioverse.knowledge.gene_columns.pick` picks.

        Parameters
        ----------
        n_expressing
            (n_input,): cells with a value above 0 in each column.
        """
        if not self.rivals:
            return self
        columns = self.columns.copy()
        place = {int(at): i for i, at in enumerate(self.vocab)}
        ranks: Counter[int] = Counter()
        for at, claims in self.rivals.items():
            won = pick(claims, {one.column: int(n_expressing[one.column]) for one in claims})
            columns[place[at]] = won.column
            ranks[won.rank] += 1
            ranks[min(claims).rank] -= 1
        order = np.argsort(columns)
        return replace(
            self,
            columns=columns[order],
            vocab=self.vocab[order],
            n_symbol=self.n_symbol + ranks[SYMBOL],
            n_ensembl=self.n_ensembl + ranks[ID],
            n_alias=self.n_alias + ranks[OLDER],
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
    without version, previous symbols, aliases. `MS4A1-1` and `MS4A1.1` are copies of `MS4A1` if that is a column, too,
    and they are not genes themselves. Where several columns are the same gene, the one named by its symbol stands for
    it until :meth:`GeneMatch.settle` has seen what they hold.

    Parameters
    ----------
    names
        Gene names of the data set, (n_input,), unique but for empty ones, which are no genes.
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
    found = _match(tuple(map(str, names)), tuple(vocabulary))
    if found.vocab.size < min_genes:
        raise InputError(too_few(names, vocabulary, found.vocab.size, min_genes))
    return replace(found, columns=found.columns.copy(), vocab=found.vocab.copy())


# Kept between calls: a verb that embeds and weighs markers matches the same genes to the same vocabulary twice.
@lru_cache(maxsize=8)
def _match(names: tuple[str, ...], vocabulary: tuple[str, ...]) -> GeneMatch:
    _refuse_duplicates(names)
    claims = _claims(names, vocabulary)
    won = sorted((claim.column, at, claim.rank) for at, claim in ((at, min(all_)) for at, all_ in claims.items()))
    ranks = Counter(rank for _, _, rank in won)
    return GeneMatch(
        columns=np.array([column for column, _, _ in won], dtype=np.int64),
        vocab=np.array([at for _, at, _ in won], dtype=np.int64),
        n_input=len(names),
        n_vocab=len(vocabulary),
        n_symbol=ranks[SYMBOL],
        n_ensembl=ranks[ID],
        n_alias=ranks[OLDER],
        n_collisions=sum(map(len, claims.values())) - len(claims),
        rivals={at: tuple(sorted(all_)) for at, all_ in claims.items() if len(all_) > 1},
    )


def _claims(names: Sequence[str], vocabulary: tuple[str, ...]) -> dict[int, list[Claim]]:
    """All columns that name a gene, by its position in the vocabulary."""
    place = _places(vocabulary)
    claims: dict[int, list[Claim]] = {}
    of_name: dict[str, tuple[int, int]] = {}
    rest: list[tuple[int, str]] = []
    for column, name in enumerate(names):
        if name in place:
            of_name[name] = (place[name], SYMBOL)
            claims.setdefault(place[name], []).append(Claim(SYMBOL, name, column))
        elif name:
            rest.append((column, name))
    if not rest:
        return claims
    current_place = _current_places(vocabulary)
    symbols = _harmonise([name for _, name in rest])
    for (column, name), symbol in zip(rest, symbols, strict=True):
        at = None if symbol is None else place.get(symbol, current_place.get(symbol))
        if at is not None:
            of_name[name] = (at, ID if _ENSEMBL.match(name) else OLDER)
            claims.setdefault(at, []).append(Claim(of_name[name][1], name, column))
    for (column, name), symbol in zip(rest, symbols, strict=True):
        copied = copy_of(name, of_name.get) if symbol is None else None
        if copied is not None:
            (at, rank), is_plain = copied
            claims[at].append(Claim(rank if is_plain else OLDER, name, column))
    return claims


def _refuse_duplicates(names: Sequence[str]) -> None:
    if len(set(names)) == len(names):
        return
    twice = [name for name, n in Counter(names).items() if n > 1 and name]
    if not twice:
        return
    raise InputError(
        f"{len(twice)} gene names occur more than once: {', '.join(map(repr, twice[:5]))}"
        f"{', ...' if len(twice) > 5 else ''}. Sum the columns of one gene, or make the names unique, which "
        "keeps the first under its name (adata.var_names_make_unique() for the index of var)."
    )

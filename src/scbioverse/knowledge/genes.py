"""Human genes: approved symbols, the older names that lead to them, Ensembl ids, and what they do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Literal

from ._read import read_columns, read_text

NameKind = Literal["symbol", "alias", "ensembl"]

_ENSEMBL = re.compile(r"^ENSG\d{11}(?:\.\d+)?(?:_PAR_Y)?$", re.IGNORECASE)
# Prefixes that aligners put before the name when two genomes share a reference.
_GENOME_PREFIX = re.compile(r"^(?:GRCh3[78]|hg19|hg38)_+", re.IGNORECASE)
# Written in capitals by many pipelines; the approved form has a lower-case "orf".
_ORF = re.compile(r"^C(\d+|X|Y)ORF(\d+\w*)$")


@dataclass(frozen=True)
class GeneTable:
    """Lookups from any name of a human gene to its approved symbol."""

    symbols: list[str]  # approved, sorted, 43,837
    _ids: list[str] = field(repr=False)
    _older: list[str] = field(repr=False)

    # Each lookup is made when it is first asked for: many data sets have no Ensembl ids.
    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.symbols)

    @cached_property
    def ensembl(self) -> dict[str, str]:
        """Ensembl gene id without version to symbol."""
        return {_full(one): name for one, name in _pairs(self._ids, self.symbols)}

    @cached_property
    def alias(self) -> dict[str, str]:
        """Previous symbol or alias to symbol.

        Previous symbols win over aliases; a name that leads to more than one gene, or that is itself the approved
        symbol of another, is left out.
        """
        return dict(_pairs(self._older, self.symbols))

    def __contains__(self, name: object) -> bool:
        """Whether `name` is an approved symbol, spelt exactly so."""
        return name in self._known

    def lookup(self, name: str) -> tuple[str, NameKind] | None:
        """Approved symbol of `name` and how it was found, or None.

        Case matters, so that mouse symbols (`Cd3e`) do not pass for human ones; only `ENSG` ids and `C1ORF112` forms
        are forgiven. Dots that R puts in place of hyphens (`HLA.A`) and genome prefixes (`GRCh38_CD3E`) are undone.
        """
        if name in self._known:
            return name, "symbol"
        if _ENSEMBL.match(name):
            found = self.ensembl.get(name.upper().split("_", 1)[0].split(".", 1)[0])
            return (found, "ensembl") if found else None
        # R's dots before aliases: NKX6.1 is NKX6-1, though it is on the list of NKX6-2's other names, too.
        hyphened = name.replace(".", "-")
        if hyphened in self._known:
            return hyphened, "alias"
        if name in self.alias:
            return self.alias[name], "alias"
        changed = _GENOME_PREFIX.sub("", name)
        if changed != name:
            return self.lookup(changed)
        orf = _ORF.match(name)
        if orf:
            return self.lookup(f"C{orf[1]}orf{orf[2]}")
        if hyphened in self.alias:
            return self.alias[hyphened], "alias"
        return None

    def symbol(self, name: str) -> str | None:
        """Approved symbol of `name`, however it is found."""
        hit = self.lookup(name)
        return hit[0] if hit else None


@lru_cache(maxsize=1)
def load_genes() -> GeneTable:
    """Load the bundled gene table (HGNC, with further Ensembl ids and older names from NCBI and Geneformer)."""
    return GeneTable(*read_columns("genes.tsv.gz"))


def _pairs(cells: list[str], symbols: list[str]) -> Iterator[tuple[str, str]]:
    """Each name of a column of names joined by "|", with the symbol of its row."""
    for several, symbol in zip(cells, symbols, strict=True):
        for one in several.split("|") if several else ():
            yield one, symbol


def _full(short: str) -> str:
    return "ENSG" + short.zfill(11)


def harmonise(names: Iterable[str]) -> list[str | None]:
    """Turn symbols, previous symbols, aliases and Ensembl gene ids, with or without version, into approved symbols.

    One for each name, in order; None where it is not a known human gene or leads to several.
    """
    return [load_genes().symbol(str(name)) for name in names]


@lru_cache(maxsize=1)
def gencode_genes() -> frozenset[str]:
    """Ensembl ids without version of the human genes of GENCODE 48, which CELLxGENE takes; the same at every call."""
    return frozenset(f"ENSG{number:011d}" for number in accumulate(map(int, read_text("gencode48.txt.gz").split())))


@lru_cache(maxsize=1)
def gene_summaries() -> dict[str, str]:
    """First sentences of RefSeq's summary of each gene that has one, by approved symbol."""
    symbols, texts = read_columns("summaries.tsv.gz")
    return dict(zip(symbols, texts, strict=True))

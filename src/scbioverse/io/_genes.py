"""Gene names of a data set: which column is which gene of a vocabulary, and what to do about names of none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._logging import first_few
from ..errors import InputError
from ..knowledge.genes import harmonise, load_genes

MIN_GENES = 100
# Real studies reach 0.97 and more, whatever their panel, mouse ones 0.03, ids glued to symbols 0.1. Between these lie
# mixtures, of two species or of genes and other features, where the genes that can be read may be all that is needed.
REFUSED_SHARE = 0.25
WARNED_SHARE = 0.75
# Of fewer names a share says little: the absolute floor decides.
_ENOUGH_NAMES = 100
_MOUSE_ID = re.compile(r"^ENSMUSG\d+")
_MOUSE_SYMBOL = re.compile(r"^[A-Z][a-z0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)?$")
# Genes that no table names: clones, accessions, loci, ids of Ensembl without a symbol, spike-ins.
_UNANNOTATED = re.compile(
    r"(?:(?:GRCh3[78]|hg19|hg38)_+)?"
    r"(?:[A-Z]{1,2}\d{5,8}[.-]\d+|(?:RP[1-9]\d?|CT[ABCD]|KB|XX|XXbac|XXyac|LL\w+|LA16c|GS1|CH\d+|WI2|hsa|CITF\w+|bP)-\S+"
    r"|LOC\d+|FLJ\d+|MGC\d+|KIAA\d+|DKFZ\w+|FKSG\d+|ENSG\d{11}(?:\.\d+)?(?:_PAR_Y)?|MIR\d\S*|SNOR\S+|RNU\S+|LINC\d+"
    r"|C(?:\d+|X|Y)(?:orf|ORF)\d+|HGC\S+|ERCC-\d+)(?:[-.]\d{1,3})?"
)
# Features that lie beside genes in multi-omic files: stretches of chromosomes.
_NO_GENE = re.compile(r"(?:chr)?[\dA-Za-z.]{1,12}[:_-]\d+[_-]\d+")
# What anndata (-1) and R (.1) append to a name that is there already.
_COPY = re.compile(r"^(.+)([-.])\d{1,3}$")


# So many cells more or fewer express a gene by chance, in some thousand.
_CHANCE = 10
SYMBOL, ID, OLDER = 0, 1, 2
_RANKS = {"symbol": SYMBOL, "ensembl": ID, "alias": OLDER}
# Some aliases lead to another gene (CASC7 to AGO2), so a column under a less certain name takes a gene over only where
# it is expressed in over ten times as many cells.
_TAKES_OVER = 10


class Claim(NamedTuple):
    """A column that may be a gene."""

    # 0 for the symbol as it stands, or its copy (`MS4A1-1`); 1 for an Ensembl id, or its copy; 2 for an older symbol,
    # alias or spelling, and for `MS4A1.1`, which may be a version.
    rank: int
    name: str  # as the data have it
    column: int  # position among the data's genes


def pick(claims: Sequence[Claim], n_cells: Mapping[int, int]) -> Claim:
    """Pick the column that stands for a gene: of equally certain names the one that most cells express.

    `n_cells` has the number of cells with a value above 0, by column: cells are counted, not values summed, so that
    counts and their logarithms lead to the same column. A less certain name needs over ten times as many cells as a
    more certain one. Equal numbers are decided by the name.
    """
    # Those of one rank come after their best, and never take over from it.
    won, *others = sorted(claims, key=lambda one: (one.rank, -n_cells[one.column], one.name))
    for one in others:
        if n_cells[one.column] > _TAKES_OVER * (n_cells[won.column] + 1):
            won = one
    return won


@dataclass(frozen=True, eq=False)
class GeneMatch:
    """Which columns of a data set are which genes of a vocabulary."""

    columns: NDArray[np.int64]  # (m,): positions among the data set's genes, in the order of each gene's first column
    vocab: NDArray[np.int64]  # (m,): positions in the vocabulary, each once, beside `columns`
    n_input: int  # genes in the data set
    n_vocab: int  # genes in the vocabulary
    n_symbol: int  # of the m: symbols as they stand
    n_alias: int  # found through an older symbol, alias or other spelling
    n_ensembl: int  # found through an Ensembl id
    n_collisions: int = 0  # columns left out because another column is the same gene
    # All columns of each gene that has several, by position in the vocabulary.
    rivals: Mapping[int, tuple[Claim, ...]] = field(default_factory=dict, repr=False)

    def describe(self) -> str:
        """One line for the log."""
        ways = {
            "symbol": self.n_symbol, "alias, older symbol or spelling": self.n_alias, "Ensembl id": self.n_ensembl,
        }  # fmt: skip
        parts = [f"{n} by {how}" for how, n in ways.items() if n]
        dropped = f"; {self.n_collisions} columns name a gene that another column holds" if self.n_collisions else ""
        return (
            f"{self.vocab.size} of {self.n_vocab} vocabulary genes found among {self.n_input} "
            f"({', '.join(parts) or 'none'}{dropped})"
        )

    def contested(self, n_expressing: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return columns that could stand for a gene, beside others, were the numbers of cells twice as large or half.

        `n_expressing` is that of some of the cells, as :meth:`settle` takes it; int64 (k,).
        """
        found: set[int] = set()
        for claims in self.rivals.values():
            able = set()
            for most in claims:
                n = {one.column: int(n_expressing[one.column]) // 2 for one in claims}
                n[most.column] = 2 * int(n_expressing[most.column]) + _CHANCE
                able.add(pick(claims, n).column)
            found |= able if len(able) > 1 else set()
        return np.array(sorted(found), dtype=np.int64)

    def settle(self, n_expressing: NDArray[np.integer]) -> GeneMatch:
        """Give each gene with several columns the one that :func:`pick` picks.

        `n_expressing`, (n_input,), is how many cells have a value above 0 in each column.
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
        # The order of the genes stays: it does not tell which of the columns won, nor do sums over the genes.
        return replace(
            self,
            columns=columns,
            n_symbol=self.n_symbol + ranks[SYMBOL],
            n_ensembl=self.n_ensembl + ranks[ID],
            n_alias=self.n_alias + ranks[OLDER],
        )


# Kept between calls: an encoder matches its one vocabulary against every data set.
@lru_cache(maxsize=4)
def _places(vocabulary: tuple[str, ...]) -> dict[str, int]:
    return {gene: i for i, gene in enumerate(vocabulary)}


@lru_cache(maxsize=4)
def _current_places(vocabulary: tuple[str, ...]) -> dict[str, int]:
    """Vocabulary positions by today's symbol, for vocabularies that were written with older ones."""
    return {symbol: i for i, symbol in enumerate(harmonise(vocabulary)) if symbol is not None}


def match_genes(names: Sequence[str], vocabulary: Sequence[str], *, min_genes: int = MIN_GENES) -> GeneMatch:
    """Match gene names (n_input,), unique but for empty ones, which are no genes, to a vocabulary of symbols.

    A name counts as it stands if the vocabulary has it; otherwise through the bundled HGNC table: Ensembl ids with or
    without version, previous symbols, aliases. `MS4A1-1` and `MS4A1.1` are copies of `MS4A1` if that is a column, too,
    and they are not genes themselves. Where several columns are the same gene, the one named by its symbol stands for
    it until :meth:`GeneMatch.settle` has seen what they hold. An :class:`InputError` where a name occurs twice, or
    fewer than `min_genes` genes match.
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
    of_name: dict[str, tuple[int, int]] = {}  # place and rank of each name that is read

    def claim(at: int, rank: int, name: str, column: int) -> None:
        of_name[name] = at, rank
        claims.setdefault(at, []).append(Claim(rank, name, column))

    for column, name in enumerate(names):
        if name in place:
            claim(place[name], SYMBOL, name, column)
    if of_name.keys() >= set(names) - {""}:
        return claims
    current, unknown = _current_places(vocabulary), []
    for column, name in enumerate(names):
        if name in place or not name:
            continue
        symbol, how = load_genes().lookup(name) or ("", "")
        if not symbol:
            unknown.append((column, name))
        elif symbol in place:  # a symbol behind the name of a genome, `GRCh38_FCAR`, is one
            claim(place[symbol], _RANKS[how], name, column)
        elif symbol in current:
            claim(current[symbol], OLDER if how == "symbol" else _RANKS[how], name, column)
    for column, name in unknown:
        copied = _COPY.match(name)
        if copied is not None and copied[1] in of_name:
            at, rank = of_name[copied[1]]
            # `MS4A1-1` is a copy beyond doubt; `MS4A1.1` may be a version.
            claims[at].append(Claim(rank if copied[2] == "-" else OLDER, name, column))
    return claims


def claims_of(names: Sequence[str]) -> dict[str, list[Claim]]:
    """Find all columns of each approved symbol, copies included."""
    symbols = load_genes().symbols
    return {symbols[at]: claims for at, claims in _claims(names, tuple(symbols)).items()}


def _refuse_duplicates(names: Sequence[str]) -> None:
    if twice := [name for name, n in Counter(names).items() if n > 1 and name]:
        raise InputError(
            f"{len(twice)} gene names occur more than once: {first_few(map(repr, twice), 5)}. Sum the columns of one "
            "gene, or make the names unique, which keeps the first under its name (adata.var_names_make_unique() for "
            "the index of var)."
        )


# ---------------------------------------------------------------- names that are not read


@lru_cache(maxsize=8)
def _read_names(names: tuple[str, ...]) -> tuple[int, list[str]]:
    """Return how many names name a human gene, a clone, locus or id without a symbol included, and those that do not.

    Empty ones and stretches of chromosomes are neither.
    """
    looked_at = [name for name in names if name and not _NO_GENE.fullmatch(name)]
    unknown = _unknown(looked_at)
    return len(looked_at) - len(unknown), unknown


def _unknown(names: Sequence[str]) -> list[str]:
    """Names that are those of no human gene, nor copies of such."""
    found = zip(names, harmonise(names), strict=True)
    good = {name for name, symbol in found if symbol is not None or _UNANNOTATED.fullmatch(name)}
    return [name for name in names if name not in good and _COPY.sub(r"\1", name) not in good]


def _n_known(names: Sequence[str]) -> int:
    return len(names) - len(_unknown(names))


def judge_names(names: Sequence[str], *, n_found: int, n_vocabulary: int) -> str:
    """Say it where many of the names are not read, empty if not; `n_found` of them are of a vocabulary of so many.

    An :class:`InputError` where fewer than a quarter are read. Where half of a vocabulary is there, what lies beside it
    is no reason to refuse.
    """
    n_known, unknown = _read_names(tuple(names))
    n_names = n_known + len(unknown)
    # A vocabulary may have names of its own, which no table of human genes knows.
    n_known = max(n_known, n_found)
    share = n_known / max(n_names, 1)
    if n_names < _ENOUGH_NAMES or share >= WARNED_SHARE:
        return ""
    percent = f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
    said = (
        f"only {n_known} of {n_names} gene names ({percent}) are known human genes, and "
        f"{n_found} are read. Not read, for example: {', '.join(map(repr, unknown[:5]))}."
    )
    if share < REFUSED_SHARE and n_found < n_vocabulary / 2:
        raise InputError(f"{said} {what_would_match(names)}")
    return f"{said} {what_would_match(names, otherwise='The others are left out.')}"


def looks_like_mouse(names: Sequence[str]) -> bool:
    """Whether most names are written like mouse symbols (`Cd3e`) or are mouse Ensembl ids."""
    sample = [name for name in names if name]
    hits = sum(bool(_MOUSE_SYMBOL.match(name) or _MOUSE_ID.match(name)) for name in sample)
    return hits > 0.5 * max(len(sample), 1)


def too_few(names: Sequence[str], vocabulary: Sequence[str], n_found: int, min_genes: int) -> str:
    """Say that too few genes match, and what may be done."""
    examples = ", ".join(map(repr, names[:5])) or "none"
    return (
        f"{n_found} of {len(names)} genes match the vocabulary of {len(vocabulary)} human genes; at least {min_genes} "
        f"are needed. Names found: {examples}. {_why_few(names, min_genes)}"
    )


def _why_few(names: Sequence[str], min_genes: int) -> str:
    """Say whether the names are at fault or there are too few genes, and what to do."""
    known = _n_known(names)
    if known < WARNED_SHARE * len(names):
        return what_would_match(names)
    return (
        f"{known} of the names are human genes, so the names are right, and the genes are too few: pass the matrix "
        "with all genes that were measured (layer='raw' if adata.raw has them), not a selection. A panel that measures "
        f"fewer than {min_genes} genes of the vocabulary cannot be read by this model."
    )


def what_would_match(names: Sequence[str], otherwise: str = "") -> str:
    """Say which change of the names would make them human gene names, by trying."""
    if looks_like_mouse(names):
        upper = _n_known([name.upper() for name in names])
        return (
            "They look like mouse genes, and this model reads human ones: map them to human orthologues, "
            f"or, as a rough stand-in, upper-case them (adata.var_names = adata.var_names.str.upper()): {upper} would "
            "then match."
        )
    if names and sum(name.isdigit() for name in names) > 0.5 * len(names):
        return "They are numbers: set adata.var_names to gene symbols or Ensembl ids."
    if (best := _best_rewrite(names)) is not None:
        code, rewritten, n_known = best
        before, after = next((old, new) for old, new in zip(names, rewritten, strict=True) if old != new)
        return (
            f"{n_known} would match with adata.var_names = adata.var_names{code}, which makes {after!r} of {before!r} "
            "(adata.var_names_make_unique() if some then repeat)."
        )
    return otherwise or "Expected human gene symbols or Ensembl ids (ENSG...) in adata.var_names."


_Change = Callable[[str], str]


def _changes() -> dict[str, _Change]:
    """Ways to rewrite a name, by the code that does it to all."""
    ways: dict[str, _Change] = {
        ".str.upper()": str.upper,
        r""".str.replace(r"^b'(.*)'$", r"\1", regex=True)""": lambda name: re.sub(r"^b'(.*)'$", r"\1", name),
        ".str.strip('\"')": lambda name: name.strip('"'),
    }
    for sign in "_|:;,/~ .-":
        ways[f".str.rsplit({sign!r}, n=1).str[0]"] = lambda name, sign=sign: name.rsplit(sign, 1)[0]  # type: ignore[misc]
        ways[f".str.split({sign!r}, n=1).str[-1]"] = lambda name, sign=sign: name.split(sign, 1)[-1]  # type: ignore[misc]
        ways[f".str.split({sign!r}).str[0]"] = lambda name, sign=sign: name.split(sign)[0]  # type: ignore[misc]
        ways[f".str.split({sign!r}).str[-1]"] = lambda name, sign=sign: name.split(sign)[-1]  # type: ignore[misc]
    return ways


def _best_rewrite(names: Sequence[str]) -> tuple[str, list[str], int] | None:
    """Code, names and number of known ones of the rewriting that helps most; None if none helps a fifth of them."""
    sample = [name for name in names if name][:: max(1, len(names) // 500)]
    now = _n_named(sample)
    counts = {code: _n_named(list(map(change, sample))) for code, change in _changes().items()}
    code = max(counts, key=lambda one: counts[one])
    if counts[code] <= max(now + 0.2 * len(sample), 0.25 * len(sample)):
        return None
    rewritten = [_changes()[code](name) for name in names]
    return code, rewritten, _n_known(rewritten)


def _n_named(names: Sequence[str]) -> int:
    # Equal names would pass for many genes: `ENSG` of every glued id, say.
    return len(set(harmonise(names)) - {None})

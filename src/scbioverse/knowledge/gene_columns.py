"""Which column of a data set is which gene, where several are the same: one rule, whatever the order of the columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .genes import load_genes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# What anndata (-1) and R (.1) append to a name that is there already.
_COPY = re.compile(r"^(.+)([-.])\d{1,3}$")
SYMBOL, ID, OLDER = 0, 1, 2
T = TypeVar("T")
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
    by_rank = [
        min((one for one in claims if one.rank == rank), key=lambda one: (-n_cells[one.column], one.name))
        for rank in sorted({claim.rank for claim in claims})
    ]
    won = by_rank[0]
    for most in by_rank[1:]:
        if n_cells[most.column] > _TAKES_OVER * (n_cells[won.column] + 1):
            won = most
    return won


def claims_of(names: Sequence[str]) -> dict[str, list[Claim]]:
    """Find all columns of each approved symbol, copies included."""
    table = load_genes()
    ranks = {"symbol": SYMBOL, "ensembl": ID, "alias": OLDER}
    claims: dict[str, list[Claim]] = {}
    found: list[tuple[str, int] | None] = []
    for column, name in enumerate(names):
        hit = table.lookup(name) if name else None
        # A prefix or another spelling undone is no symbol as it stands.
        rank = OLDER if hit is None or (hit[1] == "symbol" and hit[0] != name) else ranks[hit[1]]
        found.append(None if hit is None else (hit[0], rank))
        if hit is not None:
            claims.setdefault(hit[0], []).append(Claim(rank, name, column))
    of_name = {name: hit for name, hit in zip(names, found, strict=True) if hit is not None}
    for column, (name, known) in enumerate(zip(names, found, strict=True)):
        if known is None and (copied := copy_of(name, of_name.get)) is not None:
            (symbol, rank), is_plain = copied
            claims[symbol].append(Claim(rank if is_plain else OLDER, name, column))
    return claims


def copy_of(name: str, look_up: Callable[[str], T | None]) -> tuple[T, bool] | None:
    """Return what `look_up` knows of the name that `name` is a copy of, and whether it is one beyond doubt (`-1`)."""
    copied = _COPY.match(name)
    known = look_up(copied[1]) if copied else None
    return None if copied is None or known is None else (known, copied[2] == "-")

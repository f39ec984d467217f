"""Cells as everything that reads genes sees them: which matrix, which names, what scale; checked once, read in blocks.

The first pass (:attr:`Cells.info`) looks at every value: are these counts or logarithms at all, of which scale, and
what does each column hold. Everything after it reads blocks that are known to be good. What lies in a file or behind
dask is read along its chunks, so that none is decompressed or computed twice, and of up to 20,000 cells the blocks are
kept, so that whoever comes second (encoder, markers, reasons) finds them in memory. What lies there is embedded while
the first pass goes by (:meth:`Cells.assume`).
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._logging import warn
from .._slots import anndata_of
from ..errors import InputError, MissingKeyError
from ..knowledge.genes import load_genes
from ._first_pass import FirstPass, Hints, MatrixInfo, say_better_source, to_counts_like
from ._genes import MIN_GENES, GeneMatch, judge_names, match_genes
from ._matrix import Source, check_layer, gene_names, is_anndata, names_in, take_columns, var_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from ._matrix import Rows

T = TypeVar("T")
# Column of `obs` of cells of which only an order of genes is known.
UNLISTED = "bioverse_unlisted"
# Rows in a block, and values in a dense one: 64 MB of float32.
_ROWS, _VALUES = 4096, 16_000_000
# Cells that claims are tested on in memory; of more cells a text is checked on a sample, and reasons are summed up.
SAMPLE_CELLS = 20_000
# Blocks of a file are kept up to so many cells and stored values (0.5 GB): the rows that reasons are tested on would
# be read together anyway, and a file of this size is then read once.
_KEPT_CELLS, _KEPT_VALUES = SAMPLE_CELLS, 60_000_000


@dataclass(frozen=True, eq=False)
class Sample:
    """The cells that claims about genes are tested on."""

    rows: NDArray[np.int64]  # (k,) their positions, increasing
    values: sp.csr_array  # (k, m) values as the data hold them
    symbols: list[str]  # (m,) approved symbol of each column
    columns: dict[str, int]  # column of the data's matrix by symbol


@runtime_checkable
class Gatherer(Protocol):
    """What :meth:`Cells.once` made and what gathers values of rows that go by."""

    def of_rows(self, n: int) -> Gatherer:
        """Return the same, with nothing gathered, for `n` other rows."""

    def gathered(self) -> list[NDArray[np.float32]]:
        """Return what was gathered, each (n, ...)."""

    def take(self, rows: slice, values: list[NDArray[np.float32]]) -> None:
        """Put in what was gathered elsewhere for some rows."""

    def adopt(self, other: Gatherer) -> None:
        """Go on with what another gathered of the same kind."""

    def asked(self) -> list[NDArray[Any]]:
        """Return what decides what is gathered."""

    @property
    def n_gathered(self) -> int:
        """How many arrays :meth:`gathered` gives."""


class Cells:
    """One matrix of an AnnData with its gene names; made by :meth:`of`. Nothing is read before it is asked for.

    `adata` is never changed. `layer` (`X` if None, `adata.raw` if `"raw"`) and `key` say which matrix and which column
    of `var` has gene names (its index if None); what an encoder reads from elsewhere, `obsm` say, it finds under `key`.
    `wanted` are cell types whose marker sums somebody will ask for: who walks through the cells takes them on the way.
    """

    def __init__(self, adata: AnnData, layer: str | None, key: str | None) -> None:
        self.adata, self.layer, self.key, self.n_obs = adata, layer, key, int(adata.n_obs)
        self._held: dict[int, sp.csr_array] = {}
        self._keeps = self.n_obs <= _KEPT_CELLS
        self._made: dict[Any, Any] = {}
        # How columns were matched, before and after those of one gene were told apart.
        self._matches: list[tuple[GeneMatch, GeneMatch]] = []
        self.wanted: list[tuple[str | None, ...]] = []

    @classmethod
    def of(cls, data: AnnData | Cells, layer: str | None = None, key: str | None = None) -> Cells:
        """Return the cells of an AnnData, or of the part of a MuData that holds them; cells as they are."""
        if isinstance(data, cls):
            return data
        found = anndata_of(data)
        if not is_anndata(found):
            raise InputError(f"expected an AnnData, found {type(found).__name__}.")
        return cls(found, layer, key)

    def __repr__(self) -> str:
        return f"Cells({self.n_obs} cells, layer={self.layer!r}, key={self.key!r})"

    @classmethod
    def around(cls, block: sp.csr_array, info: MatrixInfo, made: dict[Any, Any]) -> Cells:
        """Return a block that was read as cells of their own, with what is known of the whole: `info`, and `made`.

        What :meth:`once` made of the whole counts for the block, too; of what gathers values, :meth:`Gatherer.of_rows`.
        """
        from anndata import AnnData

        part = cls(AnnData(shape=(0, 1)), None, None)
        part.n_obs = n = int(block.shape[0])
        part._made = {make: one.of_rows(n) if isinstance(one, Gatherer) else one for make, one in made.items()}
        part.__dict__.update(_source=Source(block), info=info, names=[""] * block.shape[1])
        return part

    def once(self, make: Callable[[Cells], T]) -> T:
        """Return `make(self)`, made at the first call only: what an encoder found out of these cells, say."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    @property
    def made(self) -> dict[Any, Any]:
        """What :meth:`once` has made so far."""
        return self._made

    @property
    def matches(self) -> list[GeneMatch]:
        """What :meth:`match` has found so far."""
        return [match for _, match in self._matches]

    # ------------------------------------------------------------------ what they are

    @cached_property
    def names(self) -> list[str]:
        """Names of the genes, one a column; `""` where there is none."""
        return gene_names(self.adata, key=self.key, layer=self.layer)

    @cached_property
    def hints(self) -> Hints:
        """What messages call the matrix, and where they send the reader."""
        return Hints.of(self.adata, self.layer)

    @cached_property
    def info(self) -> MatrixInfo:
        """What the first pass found; see :meth:`scbioverse.io._first_pass.FirstPass.info` for what it refuses."""
        check_layer(self.adata, self.layer)
        found = self.first_pass()
        for rows, block in self.blocks() if self.n_obs else ():
            found.add(found.look(rows.start, block))
        return found.info()

    @cached_property
    def unlisted(self) -> float:
        """Share of a cell's counts that its genes without a value hold: 0, but see `scbioverse.pp.ranked_genes`."""
        # A column and no record: `anndata.concat` drops records, or gives them to cells that are no lists.
        if UNLISTED not in self.adata.obs or not self.n_obs:
            return 0.0
        shares = pd.to_numeric(self.adata.obs[UNLISTED], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return float(np.median(shares)) if ((shares >= 0) & (shares <= 1)).all() else 0.0  # NaN is neither

    def first_pass(self) -> FirstPass:
        """Return a first pass that has not begun."""
        return FirstPass((self.n_obs, len(self.names)), self.names, self.hints)

    @property
    def streams(self) -> bool:
        """Whether the values lie in a file or behind dask, so that a pass over them is to be spared."""
        matrix = self._source.matrix
        return self.n_obs > 0 and not (isinstance(matrix, np.ndarray) or sp.issparse(matrix))

    def assume(self) -> bool:
        """Take what the first block shows for :attr:`info` until :meth:`settle` says what the whole does.

        False, and nothing assumed, where the first pass was taken, or the first block does not tell.
        """
        if "info" in self.__dict__:
            return False
        check_layer(self.adata, self.layer)
        block = self.read(slice(0, int(self._edges[1])))
        first = FirstPass(block.shape, self.names, self.hints)
        try:
            first.add(first.look(0, block))
            self.__dict__["info"] = replace(first.info(), digest="")
        except InputError:
            return False
        return True

    def settle(self, info: MatrixInfo | None) -> NDArray[np.int64] | None:
        """End what :meth:`assume` began, with what the first pass found; None where it ended with an error.

        Returns columns, int64 (k,), that stand, or stood, for another gene than was assumed: rows with values in them
        have to be read again, and what was made of the cells is forgotten; nothing if there are none. None: all rows
        have to be.
        """
        assumed, matches = self.__dict__.pop("info"), self._matches
        if info is None:
            self._matches = []
            self._made.clear()
            return None
        self.__dict__["info"] = info
        if info.doubtful and not assumed.doubtful and matches:
            say_better_source(
                self.adata, (), layer=self.layer, key=self.key, n_found=int(matches[0][1].vocab.size), info=info
            )
        self._matches = [(found, found.settle(info.n_expressing)) for found, _ in matches]
        both = [(now.columns, was.columns) for (_, now), (_, was) in zip(self._matches, matches, strict=True)]
        moved = [np.concatenate([now[now != was], was[now != was]]) for now, was in both]
        changed = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *moved]))
        held = (assumed.scale, assumed.log_base) == (info.scale, info.log_base)
        if changed.size or not held:
            self._made.clear()
            self._matches = []
        return changed if held else None

    def match(self, vocabulary: Sequence[str], *, min_genes: int = MIN_GENES, judge: bool = True) -> GeneMatch:
        """Find genes among the columns, and have the matrix checked: names first, since they cost least.

        An :class:`InputError` where this is no expression matrix, names repeat, or fewer than `min_genes` of them are
        in the vocabulary; a :class:`MissingKeyError` where `layer` or `key` is not there. With `judge`, names are
        refused, or a warning given, where many of them are not read or another matrix would serve better:
        not for what only looks at the genes it finds, after something else has judged.
        """
        check_layer(self.adata, self.layer)
        found = self._match_names(vocabulary, min_genes, judge)
        match = found.settle(self.info.n_expressing)
        self._matches.append((found, match))
        if judge:
            where: dict[str, Any] = {"layer": self.layer, "key": self.key}
            say_better_source(self.adata, vocabulary, **where, n_found=int(match.vocab.size), info=self.info)
        return match

    def _match_names(self, vocabulary: Sequence[str], min_genes: int, judge: bool) -> GeneMatch:
        try:
            match = match_genes(self.names, vocabulary, min_genes=min_genes)
            if judge:
                self.judge_names(int(match.vocab.size), len(vocabulary))
            return match
        except InputError as error:
            columns = [] if self.key is not None else self._better_columns(vocabulary, min_genes)
            if not columns:
                raise
            raise InputError(f"{error} adata.var has names that match: pass key={columns[0]!r}.") from error

    def judge_names(self, n_found: int, n_vocabulary: int) -> None:
        """Refuse names of which less than a quarter are known human genes, and warn where many are not.

        Of `n_vocabulary` genes `n_found` are among them: from half of these on nothing is refused.
        """
        if said := judge_names(self.names, n_found=n_found, n_vocabulary=n_vocabulary):
            warn(said)

    def _better_columns(self, vocabulary: Sequence[str], min_genes: int) -> list[str]:
        """Columns of `var` whose names would be accepted."""

        def serves(names: list[str]) -> bool:
            try:
                match = match_genes(names, vocabulary, min_genes=min_genes)
                judge_names(names, n_found=int(match.vocab.size), n_vocabulary=len(vocabulary))
            except InputError:
                return False
            return True

        var = var_of(self.adata, self.layer)
        texts = [name for name in var.columns if not pd.api.types.is_numeric_dtype(var[name])]
        return [str(name) for name in texts if serves(names_in(var[name]))]

    # ------------------------------------------------------------------ what they hold

    def read(self, rows: Rows, columns: Sequence[int] | NDArray[np.integer] | None = None) -> sp.csr_array:
        """Return some rows as they are stored: CSR with sorted, unique indices. Not to be written into.

        `rows` is a slice or positions in any order; `columns` are positions in the order wanted, all if not given.
        """
        if isinstance(rows, slice) and rows.step in (None, 1):
            start, stop, _ = rows.indices(self.n_obs)
            block = self._rows_between(start, max(start, stop))
        else:
            picked = np.arange(self.n_obs)[rows] if isinstance(rows, slice) else rows
            block = self._rows_at(np.asarray(picked, dtype=np.int64))
        return block if columns is None else take_columns(block, np.asarray(columns, dtype=np.int64))

    def linear(self, rows: Rows, columns: Sequence[int] | NDArray[np.integer] | None = None) -> sp.csr_array:
        """Return some rows on a linear scale, float32; see :func:`scbioverse.io.to_counts_like`."""
        return to_counts_like(self.read(rows, columns), self.info)

    def blocks(self, columns: Sequence[int] | None = None) -> Iterator[tuple[slice, sp.csr_array]]:
        """Yield all rows once, in order, in blocks that follow the storage, with their positions."""
        for rows in self.spans():
            yield rows, self.read(rows, columns)

    def spans(self) -> list[slice]:
        """Rows of each block, in order."""
        return [slice(int(start), int(stop)) for start, stop in itertools.pairwise(self._edges)]

    def lazy(self) -> Any | None:
        """Return the matrix where it lies behind dask as it is; else None."""
        try:
            matrix = self._source.matrix
        except MissingKeyError:  # molecules and proteins need none; who needs one says so when it is read
            return None
        return matrix if hasattr(matrix, "dask") and self._source.rows is None else None

    def sample(self, codes: NDArray[np.integer] | None = None, most: int = SAMPLE_CELLS) -> Sample:
        """Return the cells that claims are tested on, all columns that are approved genes.

        `codes`, int (n_obs,), is the group of each cell, -1 for cells to leave out; one group if not given. Of more
        than `most` cells the groups' fair shares, chosen by name, so that the order of the rows does not matter.
        """
        codes = np.zeros(self.n_obs, dtype=np.int64) if codes is None else np.asarray(codes)
        rows, columns = self._fair_shares(codes, most), self.gene_columns()
        values = self.read(rows, np.array([*columns.values()]))
        return Sample(rows, values, [*columns], columns)

    def gene_columns(self, *, min_genes: int = 1) -> dict[str, int]:
        """Return the column of each approved symbol; raises what :meth:`match` does."""
        vocabulary = load_genes().symbols
        match = self.match(vocabulary, min_genes=min_genes, judge=False)
        return {vocabulary[i]: at for i, at in zip(match.vocab, match.columns.tolist(), strict=True)}

    def _fair_shares(self, codes: NDArray[np.integer], most: int) -> NDArray[np.int64]:
        rows = np.flatnonzero(codes >= 0)
        if rows.size <= most:
            return rows
        names = self.adata.obs_names[rows]
        order = np.array([hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names])
        ranked = rows[np.argsort(order, kind="stable")]
        place = pd.Series(codes[ranked]).groupby(codes[ranked]).cumcount().to_numpy()
        # Small groups first get all their cells: large ones lose more.
        return np.sort(ranked[np.argsort(place, kind="stable")[:most]])

    # ------------------------------------------------------------------ where they lie

    @cached_property
    def _source(self) -> Source:
        return Source.of(self.adata, self.layer)

    @property
    def _whole(self) -> sp.csr_array | None:
        """The matrix itself where it lies in memory as it is needed."""
        matrix = self._source.matrix
        return matrix if isinstance(matrix, sp.csr_array) and self._source.rows is None else None

    @cached_property
    def _edges(self) -> NDArray[np.int64]:
        """Where blocks begin, and the number of rows: multiples of the storage's chunks."""
        step = max(1, min(_ROWS, _VALUES // max(len(self.names), 1)))
        matrix = self._source.matrix
        if self._source.rows is None and hasattr(matrix, "group"):
            return _edges_of_values(matrix, self._source.pointers, step)
        chunks = getattr(matrix, "chunks", None) if self._source.rows is None else None
        if chunks and isinstance(chunks[0], tuple):  # dask: a chunk is computed whole, whatever is wanted of it
            ends = np.cumsum(chunks[0])
            # The last end within each step, and those of chunks that are larger than a step.
            kept = np.append(ends[1:] // step > ends[:-1] // step, True)
            return np.concatenate(([0], ends[kept]))
        if chunks:  # h5py and zarr: rows of a chunk, then columns
            step = max(step // int(chunks[0]), 1) * int(chunks[0])
        return np.append(np.arange(0, self.n_obs, step), self.n_obs)

    def _block(self, i: int) -> sp.csr_array:
        if i in self._held:
            return self._held[i]
        block = self._source.read(int(self._edges[i]), int(self._edges[i + 1]))
        if self._keeps and sum(one.nnz for one in self._held.values()) + block.nnz > _KEPT_VALUES:
            self._keeps = False
        if not self._keeps:
            self._held.clear()  # one block stays, since batches are smaller than blocks
        self._held[i] = block
        return block

    def _rows_between(self, start: int, stop: int) -> sp.csr_array:
        if self._whole is not None:
            return self._source.read(start, stop)
        if stop == start:
            return sp.csr_array((0, len(self.names)), dtype=np.float32)
        first, last = np.searchsorted(self._edges, [start, stop - 1], side="right") - 1
        parts = []
        for i in range(first, last + 1):
            begin, block = int(self._edges[i]), self._block(i)
            whole = start <= begin and stop >= begin + block.shape[0]
            parts.append(block if whole else block[max(start - begin, 0) : stop - begin])
        return parts[0] if len(parts) == 1 else sp.csr_array(sp.vstack(parts, format="csr"))

    def _rows_at(self, rows: NDArray[np.int64]) -> sp.csr_array:
        if np.array_equal(rows, np.arange(self.n_obs)) or not rows.size:
            return self._rows_between(0, rows.size)
        if self._whole is not None:
            return self._whole[rows]
        order = np.argsort(rows, kind="stable")
        of = np.searchsorted(self._edges, rows[order], side="right") - 1
        parts = [self._block(int(i))[rows[order[of == i]] - self._edges[i]] for i in np.unique(of)]
        found = sp.csr_array(sp.vstack(parts, format="csr"))
        return found if (np.diff(order) == 1).all() else found[np.argsort(order)]


def _edges_of_values(matrix: Any, pointers: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Where blocks of a stored CSR begin: near `step` rows, and where one of the chunks of its values ends."""
    n = int(matrix.shape[0])
    chunk = int((matrix.group["data"].chunks or (0,))[0])
    n_values = int(pointers[-1])
    if chunk and n_values > chunk:
        # A chunk that a row crosses is read for both of its blocks; nothing else is read twice.
        wanted = max(1, round(step * n_values / n / chunk)) * chunk
        return np.unique(np.concatenate(([0], np.searchsorted(pointers, np.arange(wanted, n_values, wanted)), [n])))
    return np.append(np.arange(0, n, step), n)

"""The compact encoder's preprocessing, `panel-share-v1`: counts to z-scores, each cell by itself.

Nothing here looks at a second cell: no study mean, no study variance, so a cell's input never depends on its
neighbours.
"""

from __future__ import annotations

import copy
import math
import tempfile
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import InputError
from ..io import Cells, row_blocks
from ..knowledge.markers import marker_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..io import GeneMatch

VERSION = "panel-share-v1"
_ROWS = 4096
# What is not listed holds the rest of a cell's counts, but in any one cell most genes hold none of it. So much of a
# gene's mean, times the rest, was best of 0, an eighth, a quarter and a half, for 100 genes a cell of pbmc3k.
_OF_UNLISTED = 0.25

Float: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GeneStats:
    """What the encoder knows about each gene of its vocabulary, from the training pool."""

    genes: tuple[str, ...]  # symbols, (G,), in the order of the network's input
    mean: Float  # float32 (G,): mean over the pool of `log1p` of the scaled counts
    sd: Float  # float32 (G,): their standard deviation, > 0
    profile: Float  # float32 (G,): mean linear expression over the pool, any unit; only its shares are used
    target_sum: float  # counts that a cell with the whole vocabulary measured is scaled to
    clip: tuple[float, float] = (-4.0, 8.0)  # lowest and highest z-score

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(self.genes))
        n = len(self.genes)
        if len(set(self.genes)) != n or n == 0:
            raise InputError(f"the vocabulary must hold each gene once; found {n} names, {len(set(self.genes))} unique")
        for name in ("mean", "sd", "profile"):
            array = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if array.shape != (n,) or not np.isfinite(array).all():
                raise InputError(f"{name} must be {n} finite values, one a gene; found shape {array.shape}")
            object.__setattr__(self, name, array)
        low, high = map(float, self.clip)
        positive = (self.sd > 0).all() and (self.profile >= 0).all() and self.profile.any()
        if not (positive and self.target_sum > 0 and low < high):
            raise InputError(
                f"sd and target_sum must be positive, profile non-negative and not all zero, and clip rise; found clip "
                f"{self.clip}, target_sum {self.target_sum}, {(self.sd <= 0).sum()} of {n} sd below or at zero"
            )
        object.__setattr__(self, "clip", (low, high))
        object.__setattr__(self, "target_sum", float(self.target_sum))

    @property
    def n_genes(self) -> int:
        """Size of the vocabulary."""
        return len(self.genes)

    def panel(self, vocab: Sequence[int] | NDArray[np.integer] | None = None, *, unlisted: float = 0.0) -> Panel:
        """Everything that depends on the measured genes only: their positions in the vocabulary, or all.

        `unlisted` is the share of a cell's counts that its genes without a value hold, see :attr:`Cells.unlisted`.
        """
        at = np.arange(self.n_genes) if vocab is None else np.asarray(vocab, dtype=np.int64)
        profile = self.profile[at].astype(np.float64)
        share = float(profile.sum() / self.profile.sum(dtype=np.float64))
        if share <= 0:
            raise InputError("none of the measured genes is expressed in the encoder's mean profile")
        mean, scale = self.mean[at], (1.0 / self.sd[at]).astype(np.float32)
        absent = np.log1p(_OF_UNLISTED * unlisted * np.expm1(mean))
        zero = np.clip((absent - mean) * scale, *self.clip).astype(np.float32)
        return Panel(at, share, profile, mean, scale, zero)

    def read(self, cells: Cells) -> PanelScores:
        """Return cells as z-scores; `cells.once(stats.read)` gives everybody the same ones."""
        return PanelScores(cells, self)


@dataclass(frozen=True, eq=False)
class Panel:
    """The measured part of a vocabulary, with m genes."""

    vocab: NDArray[np.int64]  # int64 (m,): positions in the vocabulary
    share: float  # of the mean profile, in (0, 1]
    profile: NDArray[np.float64]  # float64 (m,): mean linear expression
    mean: Float  # float32 (m,): of the log values
    scale: Float  # float32 (m,): 1 / sd of the log values
    zero: Float  # float32 (m,): z-score of a gene with no value, the same for every cell: the sparse path is exact


def log_share(counts: sp.csr_matrix | sp.csr_array, share: float, target_sum: float) -> sp.csr_array:
    """Log-normalise a panel as if the whole vocabulary had been measured: float32 CSR (n, m).

    `log1p(c / sum(c) * target_sum * share)`: a panel holding a share s of the mean profile is expected to hold a share
    s of the cell's counts, so its counts are scaled to `target_sum * s` and not to `target_sum`. Counts are linear, in
    any unit, since each cell is divided by its own sum; cells without stay zero.
    """
    total = np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
    factor = np.divide(target_sum * np.asarray(share), total, out=np.zeros_like(total), where=total > 0)
    out = sp.csr_array(counts, dtype=np.float32, copy=True)
    out.data *= np.repeat(factor.astype(np.float32), np.diff(out.indptr))
    np.log1p(out.data, out=out.data)
    return out


def panel_offsets(counts: sp.csr_matrix | sp.csr_array, stats: GeneStats, panel: Panel) -> sp.csr_array:
    """Sparse path: what each expressed gene adds to `panel.zero`, float32 CSR (n, m) with the pattern of `counts`.

    With z the dense z-scores, `z = panel.zero + offsets` for every cell that has counts; so `W z = W panel.zero + W
    offsets`, where the first term is one vector for the whole data set.
    """
    out = log_share(counts, panel.share, stats.target_sum)
    at = out.indices
    out.data -= panel.mean[at]
    out.data *= panel.scale[at]
    np.clip(out.data, *stats.clip, out=out.data)
    out.data -= panel.zero[at]
    return out


@dataclass(eq=False)
class _MarkerSums:
    """Marker sums for some terms, filled while cells go by."""

    weights: sp.csr_array
    at_zero: Float
    values: Float
    done: NDArray[np.bool_]

    def put(self, rows: Any, found: Float) -> None:
        self.values[rows], self.done[rows] = found, True


class PanelScores:
    """Cells as z-scores over the measured part of a vocabulary, and the marker sums that were taken on the way.

    Embedding and marker evidence come from the same z-scores. Terms that are asked for before the encoder walks through
    the cells are summed while it does, so that the cells are not read a second time for them. `match` says which
    columns are which genes, `panel` is the measured part; whether enough genes are known is for the caller to say.
    """

    def __init__(self, cells: Cells, stats: GeneStats) -> None:
        # The cells are handed in each time: held here, they and this would keep each other alive, and the matrix.
        self.stats = stats
        self.match: GeneMatch = cells.match(stats.genes, min_genes=1, judge=False)
        self.panel = stats.panel(self.match.vocab, unlisted=cells.unlisted)
        self._asked: dict[tuple[str | None, ...], _MarkerSums] = {}
        for terms in cells.wanted:
            self.ask(cells, terms)

    def offsets(
        self, rows: slice | NDArray[np.integer], counts: sp.csr_array
    ) -> tuple[sp.csr_array, NDArray[np.bool_]]:
        """Return :func:`panel_offsets` of some cells, and bool (n,): which have no counts in these genes.

        `counts` are linear ones of the cells, in the columns of the `match`.
        """
        offsets = panel_offsets(counts, self.stats, self.panel)
        empty = np.asarray(counts.sum(axis=1)).ravel() == 0
        asked = [sums for sums in self._asked.values() if not sums.done[rows].all()]
        if asked:
            # One product for all lists: what a term gets depends on no other.
            found = (offsets @ sp.vstack([sums.weights for sums in asked]).T).toarray()
            ends = np.cumsum([sums.weights.shape[0] for sums in asked])[:-1]
            found += np.concatenate([sums.at_zero for sums in asked])
            found[empty] = 0
            for sums, part in zip(asked, np.split(found, ends, axis=1), strict=True):
                sums.put(rows, part)
        return offsets, empty

    def of_rows(self, n: int) -> PanelScores:
        """Return the same for `n` other rows, of which no sums were taken."""
        other = copy.copy(self)
        other._asked = {
            terms: replace(sums, values=zeros(n, len(terms)), done=np.zeros(n, dtype=bool))
            for terms, sums in self._asked.items()
        }
        return other

    def gathered(self) -> list[Float]:
        """Return the marker sums that were taken, (n_obs, m) for each list of terms."""
        return [np.asarray(sums.values) for sums in self._asked.values()]

    def adopt(self, other: PanelScores) -> None:
        """Go on with the sums of another; the panel is the same, whichever columns stand for its genes."""
        self._asked = other._asked

    def asked(self) -> list[NDArray[Any]]:
        """Return what decides the sums: genes, what one without a value counts, and each list's weights."""
        weights = [
            part for one in self._asked.values() for part in (one.weights.data, one.weights.indices, one.weights.indptr)
        ]
        return [self.panel.vocab, self.panel.zero, *weights]

    @property
    def n_gathered(self) -> int:
        """Lists of terms."""
        return len(self._asked)

    def take(self, rows: slice, values: list[Float]) -> None:
        """Put in the marker sums of some rows, as :meth:`gathered` gave them elsewhere."""
        for sums, found in zip(self._asked.values(), values, strict=True):
            sums.put(rows, found)

    def ask(self, cells: Cells, terms: Sequence[str | None]) -> None:
        """Have the marker sums of some candidates taken by whoever walks through the cells next."""
        if (key := tuple(terms)) not in self._asked:
            weights = self._weights(key)
            values = zeros(cells.n_obs, len(key))
            done = np.zeros(cells.n_obs, dtype=bool)
            self._asked[key] = _MarkerSums(weights, weights @ self.panel.zero, values, done)

    def _weights(self, terms: Sequence[str | None]) -> sp.csr_array:
        return marker_weights(tuple(terms), [self.stats.genes[at] for at in self.panel.vocab])

    def evidence(self, cells: Cells, terms: Sequence[str | None]) -> Float:
        """Return the weighted sums of z-scores of the candidates' markers, float32 (n_obs, m).

        No statistic of the data set at hand enters, so that a cell's sums do not depend on the other cells. The weights
        are :func:`scbioverse.knowledge.markers.marker_weights`; the sums are in standard deviations of such a sum over
        the reference pool, were its genes independent. 0 for a candidate without measured markers (or that is no
        ontology term) and for a cell without counts. An array or, of much data, a :class:`DiskRows`; not to be written
        into.
        """
        self.ask(cells, terms)
        sums = self._asked[tuple(terms)]
        if not sums.done.all():
            for rows in cells.spans():
                self.offsets(rows, cells.linear(rows, self.match.columns))
        return sums.values

    def evidence_of(self, cells: Cells, rows: NDArray[np.integer], terms: Sequence[str | None]) -> Float:
        """Return the marker sums of some candidates for some rows only, increasing: float32 (k, m)."""
        held = self._asked.get(tuple(terms))
        if held is not None and held.done[rows].all():
            ends = np.searchsorted(rows, [span.stop for span in cells.spans()])
            parts = zip(cells.spans(), np.split(rows, ends[:-1]), strict=True)
            return np.concatenate([held.values[span][part - span.start] for span, part in parts])
        weights = self._weights(terms)
        blocks = [cells.linear(rows[part], self.match.columns) for part in row_blocks(rows, _ROWS)]
        found = [panel_evidence(block, self.stats, self.panel, weights) for block in blocks]
        return np.concatenate(found) if found else np.zeros((0, len(terms)), dtype=np.float32)


def panel_evidence(
    counts: sp.csr_matrix | sp.csr_array, stats: GeneStats, panel: Panel, weights: sp.csr_array
) -> NDArray[np.float32]:
    """Marker evidence (n, m) from linear counts (n, p) with the panel's columns, and weights (m, p)."""
    values = (panel_offsets(counts, stats, panel) @ weights.T).toarray() + weights @ panel.zero
    values[np.asarray(counts.sum(axis=1)).ravel() == 0] = 0
    return values.astype(np.float32, copy=False)


# Larger tables of sums go to the disk.
_MOST = 64 * 2**20


class DiskRows:
    """float32 (n, m), zeros at first, in a temporary file without a name: gone with the process, however it ends."""

    dtype, ndim = np.dtype(np.float32), 2

    def __init__(self, n: int, m: int) -> None:
        self.shape = (n, m)
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # or Python warns of a file that was left open
        self._file.truncate(4 * n * m)

    def __len__(self) -> int:
        return self.shape[0]

    def _go_to(self, rows: slice) -> tuple[int, int]:
        """Go to where some rows begin in the file, and return their shape."""
        start, stop, _ = rows.indices(self.shape[0])
        self._file.seek(4 * start * self.shape[1])
        return max(stop - start, 0), self.shape[1]

    def __setitem__(self, rows: slice, values: Float) -> None:
        np.ascontiguousarray(np.broadcast_to(values, self._go_to(rows)), dtype=np.float32).tofile(self._file)

    def __getitem__(self, rows: slice) -> Float:
        shape = self._go_to(rows)
        return np.fromfile(self._file, np.float32, math.prod(shape)).reshape(shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)


def zeros(n: int, m: int) -> Any:
    """Return float32 (n, m) of zeros to fill by rows: in memory, or on the disk where it is large."""
    return DiskRows(n, m) if 4 * n * m > _MOST else np.zeros((n, m), dtype=np.float32)

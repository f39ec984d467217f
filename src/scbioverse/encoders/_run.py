"""Stream an AnnData through an encoder, a batch at a time.

What lies in a file or behind dask is read a block at a time, and once: it is checked and embedded on the way. The first
block says of what scale the values are; whether that holds for all is known at the end, when every block was looked at.
Where it does not hold, the rows are embedded a second time. Blocks are embedded by this process, or by the workers of
dask; what is done for a block is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tqdm.auto import tqdm

from .._device import BatchSize
from .._logging import logger, shown_name, warn
from .._runs import PARTS, digest_of, each_block
from .._settings import settings
from ..errors import InputError
from ..io import Cells, csr_of, take_columns
from ..io.cells import Gatherer
from ._distinct import DistinctPlan, TextEncoder, embed_distinct
from ._protocol import TraceableEncoder

if TYPE_CHECKING:
    from anndata import AnnData

    from .._runs import Parts
    from ..io import MatrixInfo
    from ..io._first_pass import FirstPass, Look, Looker
    from ._protocol import Encoder


def embed_rows(
    encoder: Encoder,
    data: AnnData | Cells,
    *,
    key: str | None = None,
    layer: str | None = None,
    batch_size: int = 512,
    progress: bool | None = None,
    plan: DistinctPlan | None = None,
) -> NDArray[np.float32]:
    """Embed every row, a batch at a time.

    Parameters
    ----------
    encoder
        The encoder.
    data
        Data in memory, backed or with a dask matrix, not changed; or cells, which say themselves where they are read.
    key
        Where the encoder finds its input; what it means is the encoder's to say.
    layer
        Layer to read.
    batch_size
        Rows held in memory at once, half as many each time memory runs out. The result does not depend on it.
    progress
        Show a progress bar; `settings.progress` if not given.
    plan
        The plan of an encoder of texts, if it was already made.

    Returns
    -------
    float32 (n_obs, n_tokens, dim).

    Raises
    ------
    InputError
        The data cannot be used, or the encoder returned something that is not an embedding.

    Warns
    -----
    UserWarning
        Some rows hold no information (cells without counts in the matched genes).
    """
    cells = Cells.of(data, layer, key)
    if isinstance(encoder, TextEncoder):
        plan = plan or encoder.plan(cells.adata, key=cells.key)
        return embed_distinct(encoder, plan, batch_size=batch_size, progress=progress)
    show, name = settings.progress if progress is None else progress, shown_name(encoder.name)
    with tqdm(total=cells.n_obs, desc=f"embed ({name})", unit=encoder.modality, disable=not show) as bar:
        run = partial(_encode, batch_size=batch_size)
        if getattr(encoder, "by_block", False) and (cells.streams or PARTS.get() is not None):
            out, n_bad, n_empty = embed_blocks(encoder, cells, run, bar.update)
        else:
            out, n_bad, n_empty = run(encoder, cells, update=bar.update)
    if n_bad:
        raise InputError(f"encoder {encoder.name!r} gave NaN or infinite values for {n_bad} of {cells.n_obs} rows")
    if n_empty:
        warn(
            f"{n_empty} of {cells.n_obs} rows are empty in what encoder {encoder.name!r} reads; their embedding means "
            "nothing. Filter them, for example with scanpy.pp.filter_cells(adata, min_counts=1)."
        )
    return out


def _encode(
    encoder: Encoder, cells: Cells, *, batch_size: int, update: Callable[[int], object] | None = None
) -> tuple[NDArray[np.float32], int, int]:
    """Embed cells a batch at a time; with the number of rows that are not finite, and of those that are empty."""
    out = np.empty((cells.n_obs, encoder.n_tokens, encoder.dim), dtype=np.float32)
    n_empty = n_bad = 0
    memory = BatchSize(batch_size, what=f"{encoder.modality}s", hint="Use device='cpu', or a smaller encoder.")

    def encode(rows: slice) -> tuple[NDArray[np.float32], int, int]:
        batch = encoder.prepare(cells, rows)
        return encoder.encode(batch), int(getattr(batch, "n_missing", 0)), int(getattr(batch, "n_empty", 0))

    for rows, (block, missing, empty) in memory.each(cells.n_obs, encode):
        n = rows.stop - rows.start
        # Encoders of one's own come through here: numpy would broadcast a wrong shape without a word.
        if block.shape != (n, encoder.n_tokens, encoder.dim):
            raise InputError(
                f"encoder {encoder.name!r} returned shape {block.shape} for {n} rows; "
                f"expected {(n, encoder.n_tokens, encoder.dim)}"
            )
        out[rows] = block
        # Rows to which nothing was given are NaN on purpose; their batch says how many.
        n_bad += int((~np.isfinite(block).all(axis=(1, 2))).sum()) - missing
        n_empty += empty
        if update is not None:
            update(n)
    return out, n_bad, n_empty


# Of equal rows the embeddings differ by what is added in another order in another batch, no more.
_SAME = 1e-5


def blank_rows(encoder: Encoder, cells: Cells, values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows that an encoder of genes found nothing in, int64 (k,): those that lie where a cell without counts does.

    `values`, float32 (n, n_tokens, dim), are their embeddings. None of encoders that read something else.
    """
    if not getattr(encoder, "by_block", False):
        return np.zeros(0, dtype=np.int64)
    encoder.prepare(cells, slice(0, 0))  # what is found once for all blocks
    nothing = Cells.around(sp.csr_array((1, len(cells.names)), dtype=np.float32), cells.info, cells.made)
    place, _, _ = _encode(encoder, nothing, batch_size=1)
    same = _SAME * max(1.0, float(np.abs(place).max()))
    near = np.flatnonzero(np.abs(values[:, 0, 0] - place[0, 0, 0]) < same)
    return near[(np.abs(values[near] - place) < same).all(axis=(1, 2))]


def digest_of_input(encoder: Encoder, cells: Cells) -> str | None:
    """Digest of what an encoder reads; None where it cannot tell."""
    return encoder.input_digest(cells) if isinstance(encoder, TraceableEncoder) else None


# Values of doubtful rows that are kept for that: 80 MB.
_MOST_DOUBTFUL = 10_000_000


class Done(NamedTuple):
    """One block."""

    look: Look | None  # what it shows; None where it did not have to be looked at
    values: NDArray[np.float32]  # (n, n_tokens, dim)
    n_bad: int  # rows whose embedding is not finite
    n_empty: int  # rows in which the encoder found nothing
    sums: list[NDArray[np.float32]]  # what was gathered on the way; see `io.cells.Gatherer`
    doubtful: Doubtful | None = None  # rows that may have to be embedded again


class Doubtful(NamedTuple):
    """Rows with values in columns of which it is not known yet whether they stand for their gene."""

    at: NDArray[np.int64]  # their positions
    values: sp.csr_array  # their values, all columns


Run = Callable[["Encoder", Cells], tuple[NDArray[np.float32], int, int]]


@dataclass(frozen=True, eq=False)
class BlockJob:
    """What is done for one block, in any process."""

    encoder: Encoder
    made: dict[Any, Any]  # what was made of the cells as a whole; see `io.Cells.around`
    info: MatrixInfo  # what is known of the matrix, or assumed
    look: Looker | None  # looks at the block; None where that was done and no part is kept
    run: Run  # embeds cells: float32 (n, n_tokens, dim), how many are not finite, how many empty
    contested: NDArray[np.int64]  # columns that may or may not stand for a gene; see `io.GeneMatch`
    given: str  # digest of all that decides the result but the block itself
    parts: Parts | None  # where results are kept; None: nowhere

    def __call__(self, start: int, block: Any) -> Done:
        """Look at the rows that begin at `start`, embed them, and gather what is gathered on the way."""
        block = csr_of(block)
        seen = None if self.look is None else self.look(start, block)
        doubtful = self._doubtful(start, block)
        if self.parts is None or seen is None:
            return Done(seen, *self._embed(block), doubtful)
        key = digest_of(self.given, seen.sketches)
        if (held := self.parts.get(key)) is None:
            values, bad, empty, sums = self._embed(block)
            held = {"values": values, "bad_empty": np.array([bad, empty])}
            held |= {f"sums{i}": one for i, one in enumerate(sums)}
            self.parts.put(key, held)
        sums = [held[f"sums{i}"] for i in range(len(held) - 2)]
        bad, empty = map(int, held["bad_empty"])
        return Done(seen, held["values"], bad, empty, sums, doubtful)

    def _doubtful(self, start: int, block: sp.csr_array) -> Doubtful | None:
        if not self.contested.size:
            return None
        at = np.unique(take_columns(block, self.contested).nonzero()[0])
        return Doubtful(at + start, block[at])

    def _embed(self, block: Any) -> tuple[NDArray[np.float32], int, int, list[NDArray[np.float32]]]:
        part = Cells.around(block, self.info, self.made)
        values, bad, empty = self.run(self.encoder, part)
        return values, bad, empty, [found for one in _gatherers(part) for found in one.gathered()]


def embed_blocks(
    encoder: Encoder, cells: Cells, run: Run, update: Callable[[int], object]
) -> tuple[NDArray[np.float32], int, int]:
    """Embed every row, a block at a time, by an encoder that reads nothing but the genes, each cell by itself.

    The first pass of the cells is taken on the way, if it was not before. `update` is told how many rows were done.
    Returns float32 (n_obs, n_tokens, dim); how many rows are not finite; how many are empty.
    """
    assumed = cells.assume()
    try:
        encoder.prepare(cells, slice(0, 0))  # what is found once for all blocks
        first, contested = cells.first_pass(), np.zeros(0, dtype=np.int64)
        if assumed:
            found = [match.contested(cells.info.n_expressing) for match in cells.matches]
            contested = np.unique(np.concatenate([contested, *found]))
        walk = _Walk(encoder, cells, first, run, contested)
        walk.all_blocks(update, look=assumed or PARTS.get() is not None)
        info = first.info() if assumed else cells.info
    except BaseException:
        if assumed:
            cells.settle(None)
        raise
    if not assumed:
        return walk.out, walk.n_bad, walk.n_empty
    before = _gatherers(cells)
    changed = cells.settle(info)
    if changed is not None and walk.mend(changed, before):
        return walk.out, walk.n_bad, walk.n_empty
    logger.info("the first block did not show what all cells do (%s): embedding once more", info.describe())
    return embed_blocks(encoder, cells, run, update)


class _Walk:
    """One walk through all blocks, and what it brings."""

    def __init__(
        self, encoder: Encoder, cells: Cells, first: FirstPass, run: Run, contested: NDArray[np.int64]
    ) -> None:
        self.encoder, self.cells, self.first, self.run, self.contested = encoder, cells, first, run, contested
        self.out = np.empty((cells.n_obs, encoder.n_tokens, encoder.dim), dtype=np.float32)
        self.n_bad = self.n_empty = 0
        self._doubtful: list[Doubtful] | None = []

    def all_blocks(self, update: Callable[[int], object], *, look: bool) -> None:
        """Embed all blocks, and look at them for the first pass if wanted."""
        cells, encoder, parts, info = self.cells, self.encoder, PARTS.get(), self.cells.info
        gatherers, looker = _gatherers(cells), self.first.look
        given = digest_of(
            encoder.fingerprint(), [info.scale, info.log_base], looker.weights,
            *(match.columns for match in cells.matches), *(one for some in gatherers for one in some.asked()),
        )  # fmt: skip
        made = {make: one.of_rows(0) if isinstance(one, Gatherer) else one for make, one in cells.made.items()}
        job = BlockJob(encoder, made, info, looker if look else None, self.run, self.contested, given, parts)
        for rows, done in each_block(job, cells):
            if done.look is not None:
                self.first.add(done.look)
            self._keep(done.doubtful)
            self._take(rows, done.values, done.sums)
            self.n_bad, self.n_empty = self.n_bad + done.n_bad, self.n_empty + done.n_empty
            update(rows.stop - rows.start)

    def mend(self, changed: NDArray[np.int64], before: list[Gatherer]) -> bool:
        """Embed the rows again that have values in columns that changed their gene; False: not all of them were kept.

        `before` are the gatherers that these rows are put right in.
        """
        if not changed.size:
            return True
        if self._doubtful is None or not np.isin(changed, self.contested).all():
            return False
        cells = self.cells
        self.encoder.prepare(cells, slice(0, 0))
        for one, other in zip(_gatherers(cells), before, strict=True):
            one.adopt(other)
        for doubt in self._doubtful:
            wrong = np.unique(take_columns(doubt.values, changed).nonzero()[0])
            part = Cells.around(doubt.values[wrong], cells.info, cells.made)
            values, _, _ = self.run(self.encoder, part)
            sums = [found for one in _gatherers(part) for found in one.gathered()]
            for i, row in enumerate(doubt.at[wrong].tolist()):
                self._take(slice(row, row + 1), values[i : i + 1], [one[i : i + 1] for one in sums])
        return True

    def _take(self, rows: Any, values: NDArray[np.float32], sums: list[NDArray[np.float32]]) -> None:
        self.out[rows] = values
        for one in _gatherers(self.cells):
            mine, sums = sums[: one.n_gathered], sums[one.n_gathered :]
            one.take(rows, mine)

    def _keep(self, doubtful: Doubtful | None) -> None:
        if self._doubtful is None or doubtful is None:
            return
        self._doubtful.append(doubtful)
        if sum(one.values.nnz for one in self._doubtful) > _MOST_DOUBTFUL:
            self._doubtful = None


def _gatherers(cells: Cells) -> list[Gatherer]:
    return [one for one in cells.made.values() if isinstance(one, Gatherer)]

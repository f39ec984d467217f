"""Stream an AnnData through an encoder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from .. import _parts
from .._device import BatchSize
from .._settings import settings
from .._shown import shown_name
from .._warn import warn
from ..errors import InputError
from ..io import Cells
from ._distinct import DistinctPlan, TextEncoder, embed_distinct
from ._protocol import TraceableEncoder
from ._stream import embed_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

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
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1; found {batch_size}")
    cells = Cells.of(data, layer, key)
    if isinstance(encoder, TextEncoder):
        plan = plan or encoder.plan(cells.adata, key=cells.key)
        return embed_distinct(encoder, plan, batch_size=batch_size, progress=progress)
    show = settings.progress if progress is None else progress
    with tqdm(
        total=cells.n_obs, desc=f"embed ({shown_name(encoder.name)})", unit=encoder.modality, disable=not show
    ) as bar:
        run = partial(_encode, batch_size=batch_size)
        if getattr(encoder, "by_block", False) and (cells.streams or _parts.current() is not None):
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


def digest_of_input(encoder: Encoder, cells: Cells) -> str | None:
    """Digest of what an encoder reads; None where it cannot tell."""
    return encoder.input_digest(cells) if isinstance(encoder, TraceableEncoder) else None

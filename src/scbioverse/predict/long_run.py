"""What a long run has around it: the parts that it keeps, and the workers that it gives blocks to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import _parts, _workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..io import Cells


@contextmanager
def long_run(what: str, cells: Cells, *given: Any) -> Iterator[None]:
    """Keep the parts of a run over many cells, and use the workers of dask where the cells lie behind it.

    `given` tells this run of a verb from others, beside the cells: fingerprints, options.
    """
    # Names of cells and genes find the run again; whether its parts fit is seen by their own digests.
    names = [cells.layer, cells.key, *map(str, cells.adata.obs_names[:100]), *map(str, cells.adata.var_names[:100])]
    with _parts.kept(what, cells.n_obs, cells.n_obs, names, *given), _workers.used(cells.lazy() is not None):
        yield

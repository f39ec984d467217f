"""Where the results of a command go: another file, or the zarr store itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ._files import check_output_room, put, read, write
from ._in_place import Before
from ._paths import check_in_place, check_paths

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class Output:
    """Checks where results go before anything is computed, reads the input, and writes to `place`.

    There is no output with `in_place`: results are put into the source. With `force` an output that exists is replaced.
    """

    def __init__(self, source: Path, output: Path | None, *, in_place: bool, force: bool) -> None:
        if (output is None) != in_place:
            raise InputError(
                "name an --output, or pass --in-place for a .zarr."
                if output is None
                else "--output and --in-place exclude each other: results go to one place."
            )
        self.source = source
        self._before: Before | None = None
        self.place = check_in_place(source) if output is None else check_paths(source, output, force=force)
        self._in_place = in_place

    def read(self) -> AnnData:
        """Open the input; an :class:`InputError` where it is damaged, or the output would not fit on the disk."""
        adata = read(self.source, lazily=True)
        if self._in_place:
            self._before = Before.of(adata)
        else:
            check_output_room(adata, self.place)
        return adata

    def write(self, adata: AnnData) -> None:
        """Write the results; all or none."""
        if self._before is None:
            write(adata, self.place)
        else:
            put(adata, self.place, self._before)

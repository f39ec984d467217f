"""Commands that make what is looked at in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._run import run, say

Source = Annotated[Path, typer.Argument(help=".h5ad or .zarr to read; it is never changed.", show_default=False)]
Key = Annotated[str, typer.Option("--key", help="Stem of the labels that annotate wrote.")]
Basis = Annotated[
    str | None, typer.Option(help="Slot of obsm with the map; X_umap if there, else one is made of the embedding.")
]


def report(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help=".html to write.", show_default=False)],
    key: Key = "bioverse",
    title: Annotated[str | None, typer.Option(help="Heading; the name of the file if not given.")] = None,
    basis: Basis = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages but errors.")] = False,
) -> None:
    """Write a page about the labels of SOURCE that opens anywhere: map, reasons, warnings, methods, records."""

    def work() -> None:
        from .. import page
        from ._files import read
        from ._paths import check_source, check_table

        check_source(source)
        place = check_table(output, {"input": source}, force=force, what="--output", kinds=(".html", ".htm"))
        page.report(read(source), place, key=key, title=title or source.stem, basis=basis)
        if not quiet:
            say(str(output))

    run(work, quiet=quiet)

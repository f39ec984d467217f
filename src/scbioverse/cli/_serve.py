"""`scbioverse serve`: the page on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ._run import run, say

Source = Annotated[Path, typer.Argument(help=".h5ad or .zarr to show; it is never changed.", show_default=False)]


def serve(
    source: Source,
    key_added: Annotated[str, typer.Option(help="Stem of the labels that annotate wrote.")] = "bioverse",
    label_key: Annotated[str | None, typer.Option(help="Column of obs with other labels to show and correct.")] = None,
    basis: Annotated[str | None, typer.Option(help="Slot of obsm with the map, such as X_umap.")] = None,
    groupby: Annotated[str | None, typer.Option(help="Column of obs whose groups questions are about.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to read; X if not given, 'raw' for adata.raw.")] = None,
    gene_key: Annotated[str | None, typer.Option(help="Column of var with gene names.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Name of a model, or its folder.")] = "bioverse-small",
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine only if you say so.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8642,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A further name by which browsers may call this machine; may repeat.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the link and open nothing.")] = False,
) -> None:
    """Show SOURCE on a page in the browser: a map, questions, labels to correct. Ctrl-C ends it."""

    def work() -> None:
        from ..app._serve import serve as show
        from ._files import read
        from ._paths import check_source

        check_source(source)
        page = show(
            read(source), key_added=key_added, label_key=label_key, basis=basis, groupby=groupby, layer=layer,
            key=gene_key, model=model, host=host, port=port, allow_hosts=allow_host or (), title=source.name,
            open_browser=not no_browser, wait=False,
        )  # fmt: skip
        say(f"{page.url}\nOpen this link, which lets its holder in. Ctrl-C ends the page.")
        page.wait()

    run(work, quiet=False)

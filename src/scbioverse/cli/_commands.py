"""Commands `export`, `report`, `serve` and `models`, and options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import InputError
from ._run import running, say

Source = Annotated[Path, typer.Argument(help=".h5ad or .zarr to read; it is never changed.", show_default=False)]
Model = Annotated[str, typer.Option("--model", "-m", help="Name of a model, or its folder.")]
Layer = Annotated[str | None, typer.Option(help="Layer to read; X if not given, 'raw' for adata.raw.")]
GeneKey = Annotated[
    str | None, typer.Option("--gene-key", help="Column of var with gene names; its index if not given.")
]
GroupBy = Annotated[str | None, typer.Option(help="Column of obs whose groups questions are about.")]
LabelKey = Annotated[str, typer.Option(help="Stem of the labels that annotate wrote.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no messages but errors.")]
Basis = Annotated[
    str | None, typer.Option(help="Slot of obsm with the map; X_umap if there, else one is made of the embedding.")
]


def report(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help=".html to write.", show_default=False)],
    key: LabelKey = "bioverse",
    title: Annotated[str | None, typer.Option(help="Heading; the name of the file if not given.")] = None,
    basis: Basis = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a page about the labels of SOURCE that opens anywhere: map, reasons, warnings, methods, records."""
    with running(quiet=quiet):
        from .. import page
        from ._files import read
        from ._paths import check_source, check_table

        check_source(source)
        place = check_table(output, {"input": source}, force=force, what="--output", kinds=(".html", ".htm"))
        page.report(read(source), place, key=key, title=title or source.stem, basis=basis)
        if not quiet:
            say(str(output))


def serve(
    source: Source,
    key_added: LabelKey = "bioverse",
    label_key: Annotated[str | None, typer.Option(help="Column of obs with other labels to show and correct.")] = None,
    basis: Annotated[str | None, typer.Option(help="Slot of obsm with the map, such as X_umap.")] = None,
    groupby: GroupBy = None,
    layer: Layer = None,
    gene_key: GeneKey = None,
    model: Model = "bioverse-small",
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
    with running(quiet=False):
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


_FLAGS = {"true": True, "false": False}


def export(
    source: Annotated[Path, typer.Argument(help=".h5ad or .zarr that annotate wrote.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", show_default=False,
            help="For cellxgene an .h5ad; for celltypist an .xlsx, or a folder for three .csv files.",
        ),
    ],
    to: Annotated[Literal["cellxgene", "celltypist"], typer.Option(help="Whose form.", show_default=False)],
    title: Annotated[str, typer.Option(help="Of the data set, for cellxgene.")] = "",
    value: Annotated[
        list[str] | None, typer.Option(help="FIELD=VALUE for all cells, such as is_primary_data=true; may repeat.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=COLUMN of obs, such as donor_id=patient; may repeat.")
    ] = None,
    key_added: LabelKey = "bioverse",
    layer: Annotated[str | None, typer.Option(help="Layer with raw counts; found if not given.")] = None,
    gene_key: GeneKey = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write SOURCE in the form of another program. Fields that are still yours to fill in are named."""
    with running(quiet=quiet):
        from .. import get
        from ._files import read, write
        from ._paths import check_apart, check_paths, check_source

        if to == "celltypist":
            check_source(source)
            check_apart(output, {"input": source}, "--output")
            tables = get.celltypist(read(source), key=key_added, path=output, force=force)
            if not quiet:
                say(f"{len(tables['predicted_labels'])} cells written to {output}")
            return
        place = check_paths(source, output, force=force)
        values = {name: _FLAGS.get(said.lower(), said) for name, said in _pairs(value, "--value").items()}
        found = get.cellxgene(
            read(source), title=title or source.stem, columns=_pairs(column, "--column"), values=values, key=key_added,
            gene_key=gene_key, layer=layer,
        )  # fmt: skip
        write(found, place)
        if not quiet:
            say(f"{found.n_obs} cells, {found.n_vars} genes written to {output}")
            say(f"Now run the validator of cellxgene-schema: cellxgene-schema validate {output}")


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for one in given or ():
        name, sign, said = one.partition("=")
        if not sign or not name or not said:
            raise InputError(f"{option} {one!r} is not FIELD=VALUE.")
        pairs[name.strip()] = said.strip()
    return pairs


models = typer.Typer(
    name="models", help="List, fetch and verify models.", invoke_without_command=True, add_completion=False
)
Name = Annotated[str, typer.Argument(help="Name of a model, as `scbioverse models list` shows it, folder or hub id.")]


@models.callback()
def _default(context: typer.Context) -> None:
    """List, fetch and verify models."""
    if context.invoked_subcommand is None:
        list_()


@models.command("list")
def list_() -> None:
    """List the models in the package."""
    with running(quiet=True):
        from ..models import list_models

        for name, row in list_models().iterrows():
            state = "present" if row["present"] else f"missing: {row['missing']}"
            labels, size = f"{row['n_labels']} labels", f"{row['size_mb']:g} MB"
            say(f"{name}\t{row['modalities']}\t{row['llm']}\t{labels}\t{size}\t{row['licence']}\t{state}")
            say(f"    {row['summary']}")


@models.command()
def pull(name: Name, quiet: Quiet = False) -> None:
    """Fetch a model and its language model; what is there already is kept. Forbidden by SCBIOVERSE_OFFLINE=1."""
    _with_parts("pull", name, quiet=quiet)


@models.command()
def verify(name: Name, quiet: Quiet = False) -> None:
    """Compare every file of a model with its sha256."""
    _with_parts("verify", name, quiet=quiet)


def _with_parts(what: str, name: str, *, quiet: bool) -> None:
    with running(quiet=quiet):
        from ..models import registry

        for part, place in getattr(registry, what)(name).items():
            say(f"{part}\t{place}\tas it should be")

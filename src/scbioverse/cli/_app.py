"""Commands. Most read a file, call one verb and write a file."""

from __future__ import annotations

import atexit
import gc
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .. import __version__
from ..errors import InputError
from ._run import Stopped, Words, in_words, listening, running, say, speak

if TYPE_CHECKING:
    from ..tl._ask import Chat

app = typer.Typer(
    name="scbioverse",
    help="Cells to labels, confidences and checked reasons, by a language model that reads their embeddings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Source = Annotated[
    Path, typer.Argument(help=".h5ad or .zarr to read; never changed but by --in-place.", show_default=False)
]
Target = Annotated[
    Path | None, typer.Option("--output", "-o", help=".h5ad or .zarr to write; or --in-place.", show_default=False)
]
InPlace = Annotated[bool, typer.Option("--in-place", help="Put the results into SOURCE, a .zarr: all or none.")]
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
Modality = Annotated[str, typer.Option(help="What a row is: cell, molecule or protein.")]
Key = Annotated[str | None, typer.Option(help="Column of obs with SMILES or sequences.")]
Reader = Annotated[str, typer.Option(help="Who reads questions: rules, both, auto, or a language model.")]


@app.command()
def annotate(
    source: Source,
    output: Target = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Candidates: names separated by ';', a text file with one a line (name, or name TAB CL id), 'cl' for "
            "the whole Cell Ontology, or 'vocabulary' for all that the model knows. Without: names are found."
        ),
    ] = None,
    groupby: Annotated[str | None, typer.Option(help="Column of obs, such as clusters: one label a group.")] = None,
    level: Annotated[
        Literal["auto", "broad", "fine"], typer.Option(help="How specific names are that are found.")
    ] = "auto",
    method: Annotated[
        Literal["cascade", "score", "nearest"] | None, typer.Option(help="Default: what the model was trained for.")
    ] = None,
    model: Model = "bioverse-small",
    key_added: Annotated[str, typer.Option(help="Stem of the names of the results.")] = "bioverse",
    unknown_threshold: Annotated[
        str | None, typer.Option(help="Below this confidence the label is unknown; 0 for never, or 'auto'.")
    ] = None,
    n_neighbors: Annotated[
        int | None,
        typer.Option(help="Let this many nearest cells decide together: 15 for a thousand cells or more, 5 for fewer."),
    ] = None,
    tissue: Annotated[
        str | None,
        typer.Option(
            help="Name, UBERON id, or column of obs: types of other organs need more evidence. "
            "Default: guessed where names are found."
        ),
    ] = None,
    layer: Layer = None,
    gene_key: GeneKey = None,
    table: Annotated[Path | None, typer.Option(help="Write the labels as a .csv or .tsv, too.")] = None,
    batch_size: Annotated[int, typer.Option(help="Rows read by the language model at once.")] = 512,
    in_place: InPlace = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Label every cell of SOURCE and write the result to --output."""
    with running(quiet=quiet) as tell:
        from .. import get, tl
        from ._files import Output, write_table
        from ._paths import check_table, label_file, read_labels

        out = Output(source, output, in_place=in_place, force=force)
        candidates = None if labels is None else read_labels(labels)
        if table is not None:
            listed = None if labels is None else label_file(labels)
            others = {"input": source, "output": out.place} | ({} if listed is None else {"labels file": listed})
            table_place = check_table(table, others, force=force)
        adata = out.read()
        tl.annotate(
            adata,
            model=model,
            labels=candidates,
            groupby=groupby,
            level=level,
            method=method,
            key_added=key_added,
            unknown_threshold=_threshold(unknown_threshold),
            n_neighbors=n_neighbors,
            tissue=tissue,
            layer=layer,
            key=gene_key,
            batch_size=batch_size,
        )
        out.write(adata)
        if table is not None:
            cells = get.annotation(adata, key=key_added)
            write_table(cells.to_csv(sep="\t" if table.suffix == ".tsv" else ",", index_label="cell"), table_place)
        found = get.labels(adata, key=key_added)
        for name, n in found.loc[found["n"] > 0, ["name", "n"]].itertuples(index=False):
            tell(f"{n:>8}  {name}")


@app.command()
def embed(
    source: Source,
    output: Target = None,
    model: Model = "bioverse-small",
    key_added: Annotated[str | None, typer.Option(help="Stem of the names of the results.")] = None,
    layer: Layer = None,
    gene_key: GeneKey = None,
    batch_size: Annotated[int, typer.Option(help="Rows held in memory at once.")] = 512,
    in_place: InPlace = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Embed every cell of SOURCE and write the result to --output."""
    with running(quiet=quiet):
        from .. import tl
        from ._files import Output

        out = Output(source, output, in_place=in_place, force=force)
        adata = out.read()
        tl.embed(adata, model=model, key_added=key_added, layer=layer, key=gene_key, batch_size=batch_size)
        out.write(adata)


def _threshold(given: str | None) -> float | Literal["auto"] | None:
    if given is None or given == "auto":
        return given  # type: ignore[return-value]
    try:
        return float(given)
    except ValueError as error:
        raise InputError(f"--unknown-threshold {given!r} is neither a number from 0 to 1 nor 'auto'.") from error


@app.command()
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
    with running(quiet=quiet) as tell:
        from .. import page
        from ._files import read
        from ._paths import check_table

        place = check_table(output, {"input": source}, force=force, what="--output", kinds=(".html", ".htm"))
        page.report(read(source), place, key=key, title=title or source.stem, basis=basis)
        tell(str(output))


@app.command()
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

        page = show(
            read(source), key_added=key_added, label_key=label_key, basis=basis, groupby=groupby, layer=layer,
            key=gene_key, model=model, host=host, port=port, allow_hosts=allow_host or (), title=source.name,
            open_browser=not no_browser, wait=False,
        )  # fmt: skip
        say(f"{page.url}\nOpen this link, which lets its holder in. Ctrl-C ends the page.")
        page.wait()


_FLAGS = {"true": True, "false": False}


@app.command()
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
    with running(quiet=quiet) as tell:
        from .. import get
        from ._files import read, write
        from ._paths import check_apart, check_paths

        if to == "celltypist":
            check_apart(output, {"input": source}, "--output")
            tables = get.celltypist(read(source), key=key_added, path=output, force=force)
            tell(f"{len(tables['predicted_labels'])} cells written to {output}")
            return
        place = check_paths(source, output, force=force)
        values = {name: _FLAGS.get(said.lower(), said) for name, said in _pairs(value, "--value").items()}
        found = get.cellxgene(
            read(source), title=title or source.stem, columns=_pairs(column, "--column"), values=values, key=key_added,
            gene_key=gene_key, layer=layer,
        )  # fmt: skip
        write(found, place)
        tell(f"{found.n_obs} cells, {found.n_vars} genes written to {output}")
        tell(f"Now run the validator of cellxgene-schema: cellxgene-schema validate {output}")


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for one in given or ():
        name, sign, said = one.partition("=")
        if not sign or not name or not said:
            raise InputError(f"{option} {one!r} is not FIELD=VALUE.")
        pairs[name.strip()] = said.strip()
    return pairs


@app.command()
def chat(
    source: Source,
    groupby: GroupBy = None,
    model: Model = "bioverse-small",
    key_added: LabelKey = "bioverse",
    layer: Layer = None,
    gene_key: GeneKey = None,
    modality: Modality = "cell",
    key: Key = None,
    reader: Reader = "auto",
) -> None:
    """Ask questions about the rows of SOURCE, which is only read; Ctrl-D or exit ends."""
    given = locals()
    with running(quiet=True):
        from ._chat import converse

        converse(_talk(**given))


@app.command()
def ask(
    source: Source,
    question: Annotated[str, typer.Argument(help="In English, in quotes.")],
    groupby: GroupBy = None,
    model: Model = "bioverse-small",
    key_added: LabelKey = "bioverse",
    layer: Layer = None,
    gene_key: GeneKey = None,
    modality: Modality = "cell",
    key: Key = None,
    reader: Reader = "auto",
) -> None:
    """Answer one QUESTION about the rows of SOURCE, which is only read; ends with 2 where it is not answered."""
    given = locals()
    with running(quiet=True):
        answer = _talk(**given).ask(question)
        if answer.kind == "refusal":
            say(in_words(answer.text))
            raise typer.Exit(2)
        say(answer.text)


def _talk(source: Path, key: str | None, gene_key: str | None, question: str = "", **options: Any) -> Chat:
    """Open a conversation with the options of a command, of which one asks its `question` itself."""
    from ..tl._ask import Chat
    from ._files import read

    return Chat(read(source), key=gene_key if key is None else key, **options)


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


app.add_typer(models)


def _version(value: bool) -> None:
    if value:
        say(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Cells to labels, confidences and checked reasons, by a language model that reads their embeddings."""
    command = getattr(context.command, "commands", {}).get(context.invoked_subcommand)
    speak(Words(shell=False) if command is None else Words.of(command))


def main() -> None:
    """Run the command line."""
    # Before it ends, Python looks for cycles among all objects: with torch and transformers in memory that takes longer
    # than a second. The operating system takes everything back anyway.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        # A label that the terminal's alphabet lacks is shown by its code.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with listening():
            app()
    except Stopped as stop:  # before or after a command
        sys.exit(128 + stop.number)

"""Commands. Each reads a file, calls one verb and writes a file."""

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
from ._commands import Force, GeneKey, GroupBy, LabelKey, Layer, Model, Quiet, export, models, report, serve
from ._run import Stopped, in_words, listening, running, say, speak
from ._words import Words

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
    with running(quiet=quiet):
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
        for name, n in zip(found["name"], found["n"], strict=True):
            if n and not quiet:
                say(f"{n:>8}  {name}")


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


app.add_typer(models)
app.command()(export)
app.command()(serve)
app.command()(report)


Modality = Annotated[str, typer.Option(help="What a row is: cell, molecule or protein.")]
Key = Annotated[str | None, typer.Option(help="Column of obs with SMILES or sequences.")]
Reader = Annotated[str, typer.Option(help="Who reads questions: rules, both, auto, or a language model.")]


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
    from ._paths import check_source

    check_source(source)
    return Chat(read(source), key=gene_key if key is None else key, **options)


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


def _threshold(given: str | None) -> float | Literal["auto"] | None:
    if given is None or given == "auto":
        return given  # type: ignore[return-value]
    try:
        return float(given)
    except ValueError as error:
        raise InputError(f"--unknown-threshold {given!r} is neither a number from 0 to 1 nor 'auto'.") from error


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

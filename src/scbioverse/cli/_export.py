"""`scbioverse export`: annotated data as other programs take them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003  typer reads it
from typing import Annotated

import typer

from ..errors import InputError
from ._run import run, say

_FLAGS = {"true": True, "false": False}


class Form(StrEnum):
    """Whose form."""

    cellxgene = "cellxgene"
    celltypist = "celltypist"


def export(
    source: Annotated[Path, typer.Argument(help=".h5ad or .zarr that annotate wrote.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", show_default=False,
            help="For cellxgene an .h5ad; for celltypist an .xlsx, or a folder for three .csv files.",
        ),
    ],
    to: Annotated[Form, typer.Option(help="Whose form.", show_default=False)],
    title: Annotated[str, typer.Option(help="Of the data set, for cellxgene.")] = "",
    value: Annotated[
        list[str] | None, typer.Option(help="FIELD=VALUE for all cells, such as is_primary_data=true; may repeat.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="FIELD=COLUMN of obs, such as donor_id=patient; may repeat.")
    ] = None,
    key_added: Annotated[str, typer.Option(help="Stem of the labels that annotate wrote.")] = "bioverse",
    layer: Annotated[str | None, typer.Option(help="Layer with raw counts; found if not given.")] = None,
    gene_key: Annotated[str | None, typer.Option(help="Column of var with gene names.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages but errors.")] = False,
) -> None:  # fmt: skip
    """Write SOURCE in the form of another program. Fields that are still yours to fill in are named."""

    def work() -> None:
        from .. import get
        from ._files import read, write
        from ._paths import check_apart, check_paths, check_source

        if to is Form.celltypist:
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

    run(work, quiet=quiet)


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for one in given or ():
        name, sign, said = one.partition("=")
        if not sign or not name or not said:
            raise InputError(f"{option} {one!r} is not FIELD=VALUE.")
        pairs[name.strip()] = said.strip()
    return pairs

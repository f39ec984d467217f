"""Options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

"""`scbioverse models`: list models, fetch one from the hub, compare its files with their checksums."""

from __future__ import annotations

from typing import Annotated

import typer

from ._run import run, say

models = typer.Typer(
    name="models", help="List, fetch and verify models.", invoke_without_command=True, add_completion=False
)
Name = Annotated[str, typer.Argument(help="Name of a model, as `scbioverse models list` shows it, folder or hub id.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no messages but errors.")]


@models.callback()
def _default(context: typer.Context) -> None:
    """List, fetch and verify models."""
    if context.invoked_subcommand is None:
        run(_list, quiet=True)


@models.command("list")
def list_() -> None:
    """List the models in the package."""
    run(_list, quiet=True)


@models.command()
def pull(name: Name, quiet: Quiet = False) -> None:
    """Fetch a model and its language model; what is there already is kept. Forbidden by SCBIOVERSE_OFFLINE=1."""
    run(lambda: _parts("pull", name), quiet=quiet)


@models.command()
def verify(name: Name, quiet: Quiet = False) -> None:
    """Compare every file of a model with its sha256."""
    run(lambda: _parts("verify", name), quiet=quiet)


def _parts(what: str, name: str) -> None:
    from ..models import registry

    for part, place in getattr(registry, what)(name).items():
        say(f"{part}\t{place}\tas it should be")


def _list() -> None:
    from ..models import list_models

    for name, row in list_models().iterrows():
        state = "present" if row["present"] else f"missing: {row['missing']}"
        labels, size = f"{row['n_labels']} labels", f"{row['size_mb']:g} MB"
        say(f"{name}\t{row['modalities']}\t{row['llm']}\t{labels}\t{size}\t{row['licence']}\t{state}")
        say(f"    {row['summary']}")

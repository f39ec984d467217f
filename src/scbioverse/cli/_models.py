"""`scbioverse models`: list, pull, verify and remove what named models are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ._say import say

if TYPE_CHECKING:
    from collections.abc import Callable

models = typer.Typer(
    name="models",
    help="List models; pull, verify and remove the weights they are made of.",
    invoke_without_command=True,
    add_completion=False,
)
Name = Annotated[str, typer.Argument(help="Name of a model, as `scbioverse models list` shows it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no messages but errors.")]


@models.callback()
def _default(context: typer.Context) -> None:
    """List models; pull, verify and remove the weights they are made of."""
    if context.invoked_subcommand is None:
        _run(_list, quiet=True)


@models.command("list")
def list_() -> None:
    """List models in the package and recipes to train at home."""
    _run(_list, quiet=True)


@models.command()
def pull(name: Name, quiet: Quiet = False) -> None:
    """Fetch what a model is made of; what is there already is kept. Forbidden by SCBIOVERSE_OFFLINE=1."""

    def work() -> None:
        from ..models._downloads import pull as run_pull

        for role, identifier in run_pull(name).items():
            say(f"{role}\t{identifier}")

    _run(work, quiet=quiet)


@models.command()
def verify(name: Name, quiet: Quiet = False) -> None:
    """Compare every file of a model with its sha256."""

    def work() -> None:
        from ..models._downloads import verify as run_verify

        for role, identifier in run_verify(name).items():
            say(f"{role}\t{identifier}\tas it should be")

    _run(work, quiet=quiet)


@models.command()
def remove(name: Name, quiet: Quiet = False) -> None:
    """Remove what was pulled for a model, unless another one needs it."""

    def work() -> None:
        from ..models._downloads import remove as run_remove

        say(f"{run_remove(name) / 1e6:.1f} MB freed")

    _run(work, quiet=quiet)


def _list() -> None:
    from ..models import list_models

    for name, row in list_models().iterrows():
        state = "present" if row["present"] else f"missing: {row['missing']}"
        labels = f"{row['n_labels']} labels" if row["kind"] == "model" else "recipe"
        size = f"{row['size_mb']:g} MB" if row["kind"] == "model" else f"about {row['size_mb']:,.0f} MB"
        say(f"{name}\t{row['modalities']}\t{row['llm']}\t{labels}\t{size}\t{row['licence']}\t{state}")
        say(f"    {row['summary']}")
        if row["kind"] == "recipe":
            say(f"    training takes about {row['memory_gb']:g} GB and {row['hours']:g} hours of a GPU (estimates)")


def _run(work: Callable[[], None], *, quiet: bool) -> None:
    from ._app import run  # which adds these commands to its own, so that it is there by now

    run(work, quiet=quiet)

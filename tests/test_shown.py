"""Nothing that stands in a file acts on the terminal: logs, errors, the command line and pictures."""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import scbioverse as sb
from scbioverse._logging import printable, shown_name
from scbioverse.cli import app

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "\x1b[2J\x1b]0;owned\x07\r\u202e\u200b"
ACTING = ("\x1b", "\x07", "\r", "\u202e", "\u200b", "\x9b", "\x00")


def harmless(text: str) -> bool:
    return not any(one in text for one in ACTING)


def test_printable() -> None:
    assert printable("a\nb\tc é 細胞 🧬") == "a\nb\tc é 細胞 🧬"
    assert printable("\x1b[2J") == "\\x1b[2J"
    assert printable("\ud800") == "\\ud800"
    assert harmless(printable(EVIL))
    assert harmless(shown_name(EVIL))


@pytest.mark.parametrize("kind", [one for one in sb.errors.__all__ if one != "BioverseError"])
def test_errors(kind: str) -> None:
    error = getattr(sb.errors, kind)(f"no column {EVIL} here\nsecond line")
    assert harmless(str(error))
    assert str(error).startswith("no column ")
    assert "\nsecond line" in str(error)
    assert str(getattr(sb.errors, kind)("plain")) == "plain"


def test_logs() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("scbioverse")
    logger.addHandler(handler)
    try:
        logger.warning("%d rows of %s", 3, EVIL)
        logger.warning("plain %s", "words")
    finally:
        logger.removeHandler(handler)
    assert harmless(stream.getvalue())
    assert "3 rows of \\x1b[2J" in stream.getvalue()
    assert "plain words" in stream.getvalue()


@pytest.fixture
def evil_file(tmp_path: Path) -> Path:
    """Cells whose clusters, genes, columns and names hold escape sequences."""
    adata = sb.datasets.pbmc3k()[::90].copy()
    adata.obs["cluster"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, f"one{EVIL}", f"two{EVIL}"))
    adata.obs[f"other{EVIL}"] = 1.0
    adata.var_names = [f"{EVIL}gene{n}" if n % 50 == 0 else name for n, name in enumerate(adata.var_names)]
    adata.obs_names = [f"cell{n}{EVIL}" for n in range(adata.n_obs)]
    adata.write_h5ad(tmp_path / "evil.h5ad")
    return tmp_path / "evil.h5ad"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--groupby", "cluster"),
        ("--groupby", f"absent{EVIL}"),
        ("--gene-key", f"absent{EVIL}"),
        ("--layer", f"absent{EVIL}"),
        ("--labels", f"B cell;T cell{EVIL}"),
        ("--labels", "B cell;T cell\u202e\u200b"),
        ("--model", f"absent{EVIL}"),
    ],
    ids=["groups", "no such group", "no such genes", "no such layer", "labels", "invisible", "no such model"],
)
def test_the_command_line(evil_file: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = CliRunner().invoke(app, ["annotate", str(evil_file), "-o", str(tmp_path / "out.h5ad"), *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert harmless(done.stdout)
    assert harmless(done.stderr)
    assert done.exit_code == 0 or "error: " in done.stderr


def test_answers_and_pictures(evil_file: Path) -> None:
    import anndata as ad
    import matplotlib.pyplot as plt

    adata = ad.read_h5ad(evil_file)
    for question in ("How many groups are there?", "Which group is the largest?", "Which genes mark one?"):
        answer = sb.tl.ask(adata, question, groupby="cluster", model="no-such-model")
        assert harmless(answer.text)
        assert harmless(str(answer))
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2)).astype(np.float32)
    figure = sb.pl.annotation_umap(adata, color="cluster", basis="X_umap", show=False, return_fig=True)
    texts = [one.get_text() for one in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))]
    assert any("one" in text for text in texts)
    assert all(harmless(text) for text in texts)
    plt.close(figure)

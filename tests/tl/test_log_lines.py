"""What a user reads while a verb runs: one line a step, and few steps."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import scbioverse as sb

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.models import BioVerse

MOST = 10
# Exact names, synonyms, an abbreviation, and one that is in no ontology.
LABELS = ["B cell", "CD8+ T", "NK", "monocyte", "platelet", "dendritic cell", "CD4 T cell"]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Every line that the package logged; a message of several lines counts as several."""
    said = [line for one in caplog.records if one.name == "scbioverse" for line in one.getMessage().split("\n")]
    caplog.clear()
    return said


@pytest.fixture(scope="module")
def blood() -> AnnData:
    return sb.datasets.pbmc3k()[::27].copy()


@pytest.mark.filterwarnings("ignore:.*more like types:UserWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": LABELS},
        *({"labels": LABELS, "method": one} for one in ("cascade", "score", "nearest", "generate")),
        {"labels": LABELS, "groupby": "cell_type"},
        {"labels": LABELS, "n_neighbors": 5, "unknown_threshold": "auto"},
        {"labels": "cl"},
    ],
    ids=lambda options: "-".join(map(str, options.values())).replace(str(LABELS), "listed") or "default",
)
def test_annotate_says_one_line_a_step(
    blood: AnnData, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    # Writing takes ten times as long as anything else, and says the same of fewer cells.
    adata = blood[::10].copy() if options.get("method") == "generate" else blood.copy()
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.annotate(adata, rationale="template", **options)
        first = lines(caplog)
        sb.tl.annotate(adata, rationale="template", **options)  # with an embedding to find
        second = lines(caplog)
    for said in (first, second):
        assert 3 <= len(said) <= MOST, said
        assert all(said), "an empty line"
    assert f"{adata.n_obs} rows labelled: " in first[-1]
    assert "annotate added " in first[-2]


def test_labels_that_are_not_called_as_their_term_are_named_and_bounded(
    cells: AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.annotate(cells, model=tiny_model, labels=["B cell", "natural killer cell"])
        exact = lines(caplog)
        sb.tl.annotate(cells, model=tiny_model, labels=["B cell", "NK"])
        short = lines(caplog)
        with pytest.warns(UserWarning, match="match no Cell Ontology term"):
            sb.tl.annotate(cells, model=tiny_model, labels=["B cell", *(f"qqq{i}\nxyz" for i in range(30))])
        unknown = lines(caplog)
    assert exact[0] == "2 labels, each found in the Cell Ontology by name"
    assert short[0] == (
        "2 labels: 1 found in the Cell Ontology by name, 1 read as NK -> CL:0000623 (natural killer cell)"
    )
    assert "30 read as qqq0 xyz -> no term, " in unknown[0]
    assert "and 24 more" in unknown[0]
    assert len(unknown) <= MOST


def test_embed_and_align_say_one_line_a_step(
    cells: AnnData, tiny_model: BioVerse, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.embed(cells, model=tiny_model)
        assert 1 <= len(lines(caplog)) <= 3
        sb.tl.align(cells, model=tiny_model, text_key="cell_type", steps=3)
        assert 3 <= len(said := lines(caplog)) <= MOST, said


@pytest.mark.parametrize(
    "words",
    [["annotate"], ["annotate", "--labels", ";".join(LABELS)], ["annotate", "--groupby", "cell_type"], ["embed"]],
    ids=["annotate", "labels", "groupby", "embed"],
)
def test_the_command_line_says_one_line_a_step(
    blood: AnnData, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from scbioverse.cli import app

    monkeypatch.setattr(sb.settings, "progress", False)  # bars are no lines of the log
    source = tmp_path / "in.h5ad"
    blood.write_h5ad(source)
    result = CliRunner().invoke(app, [words[0], str(source), "-o", str(tmp_path / "out.h5ad"), *words[1:]])
    assert result.exit_code == 0, result.output
    said = result.stderr.splitlines()
    assert 1 <= len(said) <= MOST, said


def test_a_view_of_a_file_is_read_into_memory_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import anndata as ad

    sb.datasets.pbmc3k()[::27].write_h5ad(tmp_path / "cells.h5ad")
    view = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")[::2]
    with caplog.at_level(logging.INFO, logger="scbioverse"), pytest.warns(UserWarning, match="view"):
        sb.tl.annotate(view)
    said = lines(caplog)
    assert sum("read into memory" in line for line in said) == 1
    assert len(said) <= MOST


@pytest.mark.filterwarnings("ignore:.*more like types:UserWarning")
def test_the_log_names_markers_only_where_they_were_used(blood: AnnData, caplog: pytest.LogCaptureFixture) -> None:
    for markers in (None, False):
        with caplog.at_level(logging.INFO, logger="scbioverse"):
            sb.tl.annotate(blood.copy(), labels=LABELS, markers=markers, rationale=None)
        said = next(line for line in lines(caplog) if line.startswith("labels come from"))
        assert ("marker genes" in said) == (markers is None)

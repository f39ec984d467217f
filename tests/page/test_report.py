"""The report: what stands in it, that texts stay texts, and that a browser draws it."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

import scbioverse as sb
from scbioverse._slots import write_record
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.page._report import pack, places
from tests.page.conftest import NASTY, make_annotated

MOST_BYTES = 5_000_000


def facts_of(html: str) -> dict[str, Any]:
    return json.loads(re.search(r'id="facts">(.*?)</script>', html, re.DOTALL)[1])


def test_one_file_with_all_of_it(annotated: AnnData, tmp_path: Path) -> None:
    before = annotated.copy()
    path = sb.report(annotated, tmp_path / "report.html", title="Donor <1>")
    html = path.read_text()
    assert path.stat().st_size < MOST_BYTES
    assert "Donor &lt;1&gt;" in html
    facts = facts_of(html)
    assert [one["name"] for one in facts["colourings"]] == ["Label", "Confidence", "Cell type"]
    assert sum(facts["colourings"][0]["counts"]) == annotated.n_obs
    provenance = unescape(re.search(r'id="provenance">(.*?)</pre>', html, re.DOTALL)[1])
    assert json.loads(provenance) == sb.get.records(annotated)
    assert "MS4A1" in html
    assert "PanglaoDB" in html
    assert set(annotated.obsm) == set(before.obsm)
    assert set(annotated.uns) == set(before.uns)


def test_texts_of_the_data_stay_texts(annotated: AnnData, tmp_path: Path) -> None:
    html = sb.report(annotated, tmp_path / "report.html", title=NASTY).read_text()
    assert "<img" not in html
    # Three scripts and the data, none of which is ended by a text.
    assert html.count("</script>") == 4
    assert any(name.startswith("</script>") for name in facts_of(html)["colourings"][0]["names"])


def test_methods_say_how_it_was_made(annotated: AnnData, tmp_path: Path) -> None:
    html = unescape(sb.report(annotated, tmp_path / "report.html").read_text())
    for said in ("random seed was 7", "method 'cascade'", "SmolLM2", "Cell Ontology", "ffffffffffff", "Database 2019"):
        assert said in html
    assert "CellMarker" not in re.search(r'id="methods">(.*?)</div>', html, re.DOTALL)[1]


def test_labels_set_by_hand_are_told_and_leave_the_mean_of_the_others(annotated: AnnData, tmp_path: Path) -> None:
    label, confidence = annotated.obs["bioverse_label"], annotated.obs["bioverse_confidence"].copy()
    mine = np.flatnonzero(label == "B cell")
    annotated.obs["bioverse_label_corrected"] = np.isin(np.arange(60), mine[:2])
    confidence.iloc[mine[:2]] = np.nan
    annotated.obs["bioverse_confidence"] = confidence
    html = unescape(sb.report(annotated, tmp_path / "report.html").read_text())
    assert "2 labels were changed by hand afterwards" in html
    assert ">nan" not in html
    row = re.search(r"<strong>B cell</strong>.*?</tr>", html, re.DOTALL)[0]
    assert f'data-title="Confidence">{confidence.iloc[mine[2:]].mean():.2f}' in row


def test_names_found_for_groups_that_were_given_are_not_said_to_be_of_found_groups(
    annotated: AnnData, tmp_path: Path
) -> None:
    record = {**sb.get.records(annotated)["annotate"], "level": "auto", "found": []}
    said = []
    for groupby in (None, "cell_type"):
        write_record(annotated, "annotate", **{**record, "groupby": groupby})
        said.append(sb.report(annotated, tmp_path / "report.html").read_text())
    assert ["Leiden" in html for html in said] == [True, False]
    assert ["groups of alike cells were found" in html for html in said] == [True, False]


@pytest.mark.parametrize(("parents", "said"), [(None, "called"), ([], "replaced by a parent term or called")])
def test_what_became_of_unsure_labels(annotated: AnnData, tmp_path: Path, parents: Any, said: str) -> None:
    record = {**sb.get.records(annotated)["annotate"], "unknown_threshold": 0.4, "parents": parents}
    write_record(annotated, "annotate", **record)
    html = sb.report(annotated, tmp_path / "report.html").read_text()
    assert f"Labels with a confidence below 0.4 were {said} unknown." in html


def test_counts_are_of_all_cells_where_a_sample_is_drawn(
    annotated: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scbioverse.page._report.MOST_POINTS", 40)
    html = sb.report(annotated, tmp_path / "report.html", rng=0).read_text()
    assert "A sample of 40 of 60 cells is drawn." in html
    for one in facts_of(html)["colourings"]:
        if one["kind"] == "names":
            assert sum(one["counts"]) == 60


def test_warnings_are_about_these_cells(annotated: AnnData, tmp_path: Path) -> None:
    html = unescape(sb.report(annotated, tmp_path / "one.html").read_text())
    assert "3 of 60 cells (5.0 %) are more like a type that is not among the candidates" in html
    below = int((annotated.obs["bioverse_confidence"] < 0.5).sum())
    assert f"{below} of 60 cells ({100 * below / 60:.1f} %) have a confidence below 0.5" in html
    del annotated.obs["bioverse_elsewhere"]
    annotated.obs["bioverse_confidence"] = np.float32(1)
    quiet = sb.report(annotated[annotated.obs["bioverse_label"] != NASTY].copy(), tmp_path / "two.html").read_text()
    assert "(open set)" not in quiet
    # Rows were taken out since: the numbers recorded then are not those here, and the page says so.
    assert "has changed since" in quiet


def test_genes_that_are_found_in_all_cells_are_told(annotated: AnnData, tmp_path: Path) -> None:
    assert "Ambient RNA" not in sb.report(annotated, tmp_path / "clean.html").read_text()
    table = sb.get.evidence(annotated).astype(object)
    own = (table["direction"] == "high") & (table["kind"] == "self") & (table["against"].fillna("") == "")
    at = table.index[own][0]
    table.loc[at, ["fraction_out", "log_fold_change"]] = [0.75, 3.0]
    table = table.where(table.notna(), None)
    write_record(annotated, "evidence", columns=list(table.columns), rows=table.to_numpy().tolist())
    html = unescape(sb.report(annotated, tmp_path / "ambient.html").read_text())
    assert f"{table.at[at, 'gene']} (marks" in html
    assert "found in 75 % of all other cells" in html


def test_a_map_is_packed_in_its_own_proportions() -> None:
    found = places(np.array([[0.0, 0.0], [2.0, 1.0], [1.0, np.nan]]))
    assert found["x"] == pack(np.array([0, 65534, 32767]))
    assert found["y"] == pack(np.array([0, 32767, 0]))


def test_what_cannot_be_reported_is_refused(annotated: AnnData, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not end in \.html"):
        sb.report(annotated, tmp_path / "report.pdf")
    with pytest.raises(InputError, match="does not exist"):
        sb.report(annotated, tmp_path / "nowhere" / "report.html")
    with pytest.raises(MissingKeyError, match=r"tl\.annotate"):
        sb.report(annotated, tmp_path / "report.html", key="other")
    del annotated.obsm["X_umap"]
    with pytest.raises(MissingKeyError, match="X_bioverse"):
        sb.report(annotated, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_from_the_command_line(annotated: AnnData, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from scbioverse.cli import app

    source, target = tmp_path / "cells.h5ad", tmp_path / "report.html"
    annotated.write_h5ad(source)
    before = source.read_bytes()
    run = CliRunner().invoke(app, ["report", str(source), "-o", str(target)])
    assert run.exit_code == 0, run.output
    assert "<h1>cells</h1>" in target.read_text()
    assert source.read_bytes() == before
    again = CliRunner().invoke(app, ["report", str(source), "-o", str(target)])
    assert again.exit_code == 1
    assert "--force" in again.output


@pytest.mark.slow
@pytest.mark.parametrize("width", [1366, 390])
def test_a_browser_draws_it(annotated: AnnData, tmp_path: Path, page: Any, width: int) -> None:
    path = sb.report(annotated, tmp_path / "report.html", title=NASTY)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    points = "document.getElementById('map').data.reduce((n, one) => n + (one.visible ? one.x.length : 0), 0)"
    assert page.evaluate(points) == 60
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # By the keyboard alone: the first entry of the legend hides its cells.
    first = page.locator("#legend button").first
    first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(points) == 60 - int(first.locator(".n").inner_text())
    page.select_option("#colour", label="Confidence")
    assert page.evaluate(points) == 60
    with page.expect_download() as saved:
        page.click("#save")
    assert set(json.loads(Path(saved.value.path()).read_text())) == {"annotate", "evidence"}


@pytest.mark.slow
def test_many_points_are_drawn_by_webgl_where_there_is_some(tmp_path: Path, page: Any) -> None:
    path = sb.report(make_annotated(4000, nasty=False), tmp_path / "report.html")
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    kinds = set(page.evaluate("document.getElementById('map').data.map((one) => one.type)"))
    assert kinds == {"scattergl" if page.evaluate("hasWebGL()") else "scatter"}
    assert "WebGL is not supported" not in page.inner_text("body")

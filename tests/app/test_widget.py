"""The page in a notebook: its messages, and the module in Chromium with a kernel that the test plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

import scbioverse as sb
from scbioverse.app.shown import Shown
from scbioverse.app.visitor import Visitor
from scbioverse.app.widget import answered, script

from .test_http import bits

HARNESS = """
const listeners = new Set();
const model = {
  on: (_, what) => listeners.add(what),
  off: (_, what) => listeners.delete(what),
  send: (content) => window.kernel(content).then((answer) => listeners.forEach((one) => one(answer))),
};
for (const el of document.querySelectorAll("div.cell")) widget.render({ model, el });
"""


def test_messages(adata: AnnData) -> None:
    pytest.importorskip("anywidget")
    page = sb.widget(adata)
    sent: list[Any] = []
    page.send = sent.append
    rows = (adata.obs["bioverse_label"] == "B cell").to_numpy()
    page._handle_custom_msg({"id": 1, "action": "open"}, [])
    page._handle_custom_msg({"id": 2, "action": "correct", "args": {"label": "odd cell", "cells": bits(rows)}}, [])
    page._handle_custom_msg({"id": 3, "action": "nothing"}, [])
    page._handle_custom_msg("odd", [])
    assert [one["id"] for one in sent] == [1, 2, 3, None]
    assert sent[0]["found"]["n"] == 60
    assert sent[1]["found"]["changed"] == rows.sum()
    assert "no action" in sent[2]["error"]
    out = page.annotated()
    assert (out.obs["bioverse_label"] == "odd cell").tolist() == rows.tolist()
    assert (adata.obs["bioverse_label"] == "B cell").tolist() == rows.tolist()
    np.testing.assert_array_equal(out.X.toarray(), adata.X.toarray())


def test_module_is_one_file() -> None:
    found = script()
    assert "\nimport " not in found
    assert found.count("export ") == 1


def test_two_views_in_one_notebook(page: Any, adata: AnnData, tmp_path: Path) -> None:
    visitor = Visitor(Shown(adata))
    page.expose_function("kernel", lambda content: answered(visitor, content))
    module = script().replace("export default", "const widget =") + HARNESS
    css = (Path(sb.app.__file__).parent / "static" / "page.css").read_text(encoding="utf-8")
    cell = '<div class="cell" style="width: 900px"></div>'
    path = tmp_path / "notebook.html"
    path.write_text(
        f"<!doctype html><meta charset=utf-8><style>{css}</style>{cell}{cell}<script type=module>{module}</script>",
        encoding="utf-8",
    )
    page.set_viewport_size({"width": 1366, "height": 900})
    page.goto(path.as_uri())
    page.locator("[data-open]").nth(1).wait_for()
    first = page.locator("div.cell").first
    first.get_by_role("button", name="B cell").click()
    n = int((adata.obs["bioverse_label"] == "B cell").sum())
    first.get_by_text(f"{n} of 60 cells selected").wait_for()
    first.get_by_text("why B cell").wait_for()
    first.get_by_label("New label").fill("odd cell")
    first.get_by_role("button", name="Set label").click()
    first.get_by_text(f"{n} corrected").wait_for()
    assert (visitor.adata().obs["bioverse_label"] == "odd cell").sum() == n
    assert not first.get_by_role("button", name="Download").is_visible()
    assert first.locator("main").bounding_box()["height"] == 620
    page.screenshot(path=tmp_path / "notebook.png")

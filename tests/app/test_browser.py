"""The page in Chromium, by mouse and by keys; skips where there is no Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scbioverse as sb

from .conftest import cells

pytest.importorskip("uvicorn")
NASTY = "<img src=x onerror=alert(1)>"
# Groups lie far apart, so that a line around one is a line around no other.
CORNERS = np.array([[-10, -6], [-10, 6], [10, -6], [10, 6], [0, 0]], np.float32)
Serve = Callable[[ad.AnnData], str]


def apart(n: int) -> ad.AnnData:
    adata = cells(n)
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    adata.obsm["X_umap"] = (CORNERS[codes] + np.random.default_rng(0).normal(size=(n, 2))).astype(np.float32)
    return adata


def many(n: int) -> ad.AnnData:
    """Rows with few genes: what is drawn and selected is the matter here."""
    rng = np.random.default_rng(0)
    adata = ad.AnnData(sparse.random(n, 4, 0.5, "csr", np.float32, rng=rng))
    adata.var_names = ["CD3E", "MS4A1", "NKG7", "LYZ"]
    codes = np.arange(n) % 5
    adata.obs["bioverse_label"] = pd.Categorical.from_codes(codes, list("abcde"))
    adata.obsm["X_umap"] = (CORNERS[codes] + rng.normal(size=(n, 2))).astype(np.float32)
    return adata


@pytest.fixture
def serve() -> Iterator[Serve]:
    pages = []

    def start(adata: ad.AnnData) -> str:
        pages.append(sb.serve(adata, port=0, wait=False, open_browser=False, title="toy.h5ad"))
        return pages[-1].url

    yield start
    for one in pages:
        one.stop()


def opened(page: Any, url: str, width: int = 1366, height: int = 768) -> Any:
    page.context.clear_cookies()
    page.set_viewport_size({"width": width, "height": height})
    page.goto(url)
    page.wait_for_selector("[data-open]")
    return page


def place(page: Any, adata: ad.AnnData, point: np.ndarray) -> tuple[float, float]:
    """Where a point of the map lies in the window, as the page says that it draws it."""
    box = page.locator(".sb-over").bounding_box()
    low, high = adata.obsm["X_umap"].min(axis=0), adata.obsm["X_umap"].max(axis=0)
    scale = 0.92 * min(box["width"] / (high - low)[0], box["height"] / (high - low)[1])
    x, y = (point - (low + high) / 2) * scale * np.array([1, -1])
    return box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y


def draw_around(page: Any, adata: ad.AnnData, centre: np.ndarray, reach: float = 4.8) -> None:
    corners = [place(page, adata, centre + reach * np.array(one)) for one in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for one in (*corners[1:], corners[0]):
        page.mouse.move(*one, steps=4)
    page.mouse.up()


def chosen(page: Any, n: int, of: int) -> None:
    page.get_by_text(f"{n:,} of {of:,} cells selected").wait_for()


def test_look_select_ask_correct_undo_download_reopen(page: Any, serve: Serve, tmp_path: Path) -> None:
    adata = apart(2700)
    adata.obs["bioverse_label"] = adata.obs["bioverse_label"].cat.rename_categories({"platelet": NASTY})
    names = list(adata.obs["bioverse_label"].cat.categories)
    n = adata.obs["bioverse_label"].value_counts()
    opened(page, serve(adata))
    assert "token" not in page.url
    assert page.get_by_text(NASTY).first.is_visible()  # as text: an image would be an error of the console
    draw_around(page, adata, CORNERS[3])
    chosen(page, n[names[3]], 2700)

    page.get_by_label("Question").fill("How many B cells are there?")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("Computed from the data.").wait_for()
    assert f"{n['B cell']} of 2,700 cells" in page.locator(".sb-talk .sb-a").inner_text()
    assert "n_in" not in page.locator(".sb-talk th").all_inner_texts()  # words, not names of columns
    assert str(n["B cell"]) in page.locator(".sb-talk tbody td").all_inner_texts()
    page.get_by_text("What was understood").click()
    assert '"want": "count"' in page.locator(".sb-talk pre").inner_text()
    page.get_by_label("Question").fill("How many of these cells express CD3E?")
    page.get_by_label("Question").press("Enter")
    page.get_by_text(f"({n[names[3]]} selected cells)").wait_for()
    page.locator(".sb-talk article").nth(1).get_by_text("Computed from the data.").wait_for()
    seen = int((adata[adata.obs["bioverse_label"] == names[3], "CD3E"].X > 0).sum())
    assert f"{seen} of {n[names[3]]} cells" in page.locator(".sb-talk .sb-a").nth(1).inner_text()

    page.get_by_label("New label").fill("odd cell")
    page.get_by_role("button", name="Set label").click()
    page.get_by_text(f"{n[names[3]]} corrected").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("corrected").wait_for(state="detached")
    page.get_by_role("button", name="Redo").click()
    page.get_by_text(f"{n[names[3]]} corrected").wait_for()
    with page.expect_download() as found:
        page.get_by_role("button", name="Download").click()
    assert found.value.suggested_filename == "toy.annotated.h5ad"
    found.value.save_as(tmp_path / "out.h5ad")
    out = ad.read_h5ad(tmp_path / "out.h5ad")
    expected = adata.obs["bioverse_label"].astype(str).replace(names[3], "odd cell")
    assert out.obs["bioverse_label"].astype(str).tolist() == expected.tolist()
    assert out.obs["bioverse_confidence"].isna().sum() == n[names[3]]
    opened(page, serve(out))
    page.get_by_role("button", name="odd cell").click()
    chosen(page, n[names[3]], 2700)


def test_a_correction_during_a_download_is_still_to_be_saved(page: Any, serve: Serve) -> None:
    adata, held = apart(300), list[Any]()
    n = adata.obs["bioverse_label"].value_counts()
    opened(page, serve(adata))
    page.route("**/download", lambda route: held.append(route))
    download, due = page.get_by_role("button", name="Download"), page.locator(".sb-due")
    for label, number in (("odd cell", 1), ("odder cell", 2)):
        page.get_by_role("button", name="B cell" if number == 1 else "NK cell").click()
        if number == 2:
            download.click()
        page.get_by_label("New label").fill(label)
        page.get_by_role("button", name="Set label").click()
        page.get_by_text(f"{n['B cell'] + (number - 1) * n['NK cell']} corrected").wait_for()
    with page.expect_download():
        held[0].continue_()
    page.wait_for_function("!document.querySelector('[data-at=save]').disabled")
    assert due.count() == 1
    page.unroute("**/download")
    with page.expect_download():
        download.click()
    due.wait_for(state="detached")


def test_everything_by_keys(page: Any, serve: Serve) -> None:
    adata = apart(300)
    n = adata.obs["bioverse_label"].value_counts()
    names = list(adata.obs["bioverse_label"].cat.categories)
    opened(page, serve(adata))
    keys = page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(40):
            if page.evaluate("one => document.activeElement.matches(one)", selector):
                return
            keys.press("Tab")
        raise AssertionError(f"Tab does not lead to {selector}")

    page.evaluate("document.activeElement.blur()")
    tab_to(".sb-over")
    keys.press("ArrowLeft")  # the pointer begins in the middle, where the last group lies
    keys.press("ArrowRight")
    for _ in range(12):
        keys.press("]")
    keys.press("Space")
    chosen(page, n[names[4]], 300)
    keys.press("Backspace")
    page.get_by_text("None. Draw around cells").wait_for()
    # A line: corners right, above, left and below of the middle.
    for way, steps in (("ArrowRight", 5), ("ArrowUp", 5), ("ArrowLeft", 10), ("ArrowDown", 10), ("ArrowRight", 10)):
        for _ in range(steps):
            keys.press(f"Shift+{way}")
        keys.press("Enter")
    keys.press("c")
    chosen(page, n[names[4]], 300)
    keys.press("Escape")
    page.get_by_text("None. Draw around cells").wait_for()
    tab_to("select")
    tab_to(".sb-item")
    keys.press("Enter")
    chosen(page, n[names[0]], 300)
    page.get_by_text(f"why {names[0]}").wait_for()
    tab_to("[aria-label='New label']")
    keys.type("odd cell")
    keys.press("Enter")
    page.get_by_text(f"{n[names[0]]} cells got another label").wait_for()
    tab_to("[aria-label='Question']")
    keys.type("How many odd cells are there?")
    keys.press("Enter")
    page.locator(".sb-talk .sb-note").first.wait_for()
    assert str(n[names[0]]) in page.locator(".sb-talk .sb-a").inner_text()
    page.locator(".sb-over").focus()
    keys.press("Control+z")
    page.get_by_text("corrected").wait_for(state="detached")


def test_colour_by_gene_and_column(page: Any, serve: Serve) -> None:
    adata = apart(300)
    opened(page, serve(adata))
    before = page.evaluate("document.querySelector('canvas').toDataURL()")
    page.get_by_label("Gene").fill("cd3")
    page.wait_for_selector("datalist option[value=CD3E]", state="attached")
    page.get_by_label("Gene").fill("cd3e")
    page.get_by_label("Gene").press("Enter")
    page.get_by_text("CD3E, ln(1 + expression per 10,000)").wait_for()
    page.wait_for_function("before => document.querySelector('canvas').toDataURL() !== before", arg=before)
    page.get_by_label("Colour by").select_option(label="Confidence")
    page.locator(".sb-scale b", has_text="Confidence").wait_for()
    draw_around(page, adata, CORNERS[3])
    page.get_by_label("New label").fill("odd cell")
    page.get_by_label("New label").press("Enter")
    n = int((adata.obs["cell_type"].cat.codes == 3).sum())
    page.get_by_text(f"no value in {n} cells").wait_for()
    page.get_by_label("Colour by").select_option(label="cell_type")
    page.get_by_role("button", name="B cell").wait_for()


@pytest.mark.parametrize("n", [2_700, 100_000])
def test_lasso_takes_less_than_a_second(page: Any, serve: Serve, n: int) -> None:
    adata = many(n)
    opened(page, serve(adata))
    page.evaluate("""document.addEventListener("pointerup", () => {
        const start = performance.now();
        requestAnimationFrame(() => requestAnimationFrame(() => { window.took = performance.now() - start; }));
    }, true)""")
    draw_around(page, adata, CORNERS[3])
    chosen(page, n // 5, n)
    took = page.wait_for_function("window.took").json_value()
    print(f"{n} cells: {took:.0f} ms from the end of the line to the picture, {drawn(page)} ms of it to draw")
    assert took < 1000


def drawn(page: Any) -> str:
    return page.evaluate("document.querySelector('canvas').dataset.drawn")


def test_it_fits_a_phone(page: Any, serve: Serve) -> None:
    opened(page, serve(apart(300)), 390, 844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".sb-over").bounding_box()["height"] > 300
    for name in ("Ask", "Download", "Lasso"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box["height"] >= 36
        assert box["x"] + box["width"] <= 390

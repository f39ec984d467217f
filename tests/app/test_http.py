"""The page over HTTP: who is let in, what is refused, and that a file comes back whole."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

from scbioverse.app.shown import Shown

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
from starlette.testclient import TestClient

from scbioverse.app.http import Visitors, make_app

TOKEN = "0123456789abcdef"
HOME = "http://127.0.0.1:8642"


def guest(visitors: Visitors, **options: Any) -> TestClient:
    return TestClient(make_app(visitors, token=TOKEN), base_url=HOME, **options)


@pytest.fixture
def visitors(shown: Shown) -> Visitors:
    return Visitors(shown, most=3)


@pytest.fixture
def client(visitors: Visitors) -> TestClient:
    found = guest(visitors)
    assert found.get(f"/?token={TOKEN}").status_code == 200
    return found


def post(client: TestClient, action: str, **args: Any) -> Any:
    answer = client.post(f"/api/{action}", json=args)
    assert answer.status_code == 200, answer.text
    return answer.json()


def array(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["base64"]), "<" + packed["dtype"])


def bits(mask: np.ndarray) -> str:
    return base64.b64encode(np.packbits(mask)).decode()


def test_nobody_comes_in_without_the_token(visitors: Visitors) -> None:
    stranger = guest(visitors)
    for path in ("/", "/?token=wrong", "/?token=", "/download", "/?token=%ff"):
        assert stranger.get(path).status_code == 403, path
    assert stranger.post("/api/open", json={}).status_code == 403
    assert stranger.get(f"/?token={TOKEN}").status_code == 200
    assert TOKEN not in str(stranger.get("/").url)


def test_other_hosts_and_other_pages_are_refused(client: TestClient) -> None:
    # A name of someone else's that leads here (DNS rebinding).
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:8642"}).status_code == 200
    foreign = {"Origin": "http://evil.example"}
    assert client.post("/api/open", json={}, headers=foreign).status_code == 403
    assert client.post("/api/open", json={}, headers={"Origin": HOME}).status_code == 200
    assert client.get("/download", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    # What a form can send.
    assert client.post("/api/open", content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.get("/api/open").status_code == 405


def test_every_answer_keeps_to_itself(client: TestClient) -> None:
    for path in ("/", "/static/page.js", "/static/none.js", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
    cookie = next(iter(client.cookies.jar))
    assert cookie.has_nonstandard_attr("HttpOnly")


def test_page_loads_nothing_from_elsewhere() -> None:
    import scbioverse.app

    for file in (Path(scbioverse.app.__file__).parent / "static").iterdir():
        text = file.read_text(encoding="utf-8")
        assert "//cdn" not in text
        assert "https://" not in text
        assert "innerHTML" not in text


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 5000])
def test_arguments_that_are_no_json_object(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/open", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


def test_large_requests_are_not_read(client: TestClient) -> None:
    answer = client.post("/api/ask", json={"question": "x" * 40_000})
    assert answer.status_code == 413
    answer = client.post("/api/ask", json={"question": "x" * 5_000})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("action", "args", "said"),
    [
        ("nothing", {}, "no action"),
        ("values", {"by": "gene:NOSUCH"}, "no gene is called"),
        ("values", {"by": "obs:nothing"}, "nothing called"),
        ("values", {"by": 3}, "by is a text"),
        ("correct", {"label": "x"}, "cells holds 0 bytes"),
        ("correct", {"label": "x", "cells": "!!"}, "base64"),
        ("correct", {"label": "x", "cells": bits(np.zeros(60, bool))}, "no cells are selected"),
        ("correct", {"label": "", "cells": bits(np.ones(60, bool))}, "readable"),
        ("ask", {"question": " "}, "no readable character"),
        ("ask", {"question": "How many?", "cells": bits(np.zeros(60, bool))}, "no cells are selected"),
    ],
)
def test_what_cannot_be_done_is_said(client: TestClient, action: str, args: dict[str, Any], said: str) -> None:
    answer = client.post(f"/api/{action}", json=args)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_an_error_of_ours_shows_no_inside(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret path /home/me")

    monkeypatch.setitem(__import__("scbioverse.app.actions", fromlist=["x"]).ACTIONS, "genes", broken)
    answer = client.post("/api/genes", json={"start": "C"})
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_open_and_colour(client: TestClient, shown: Shown) -> None:
    found = post(client, "open")
    assert found["n"] == 60
    np.testing.assert_array_equal(array(found["points"]).reshape(-1, 2), shown.adata.obsm["X_umap"])
    names = [one["name"] for one in found["labels"]]
    assert [names[i] for i in array(found["codes"])] == shown.labels.tolist()
    assert sum(one["n"] for one in found["labels"]) == 60
    assert found["columns"][0] == {"by": "obs:bioverse_confidence", "name": "Confidence", "kind": "number"}
    confidence = array(post(client, "values", by="obs:bioverse_confidence")["values"])
    np.testing.assert_array_equal(confidence, shown.adata.obs["bioverse_confidence"])
    gene = post(client, "values", by="gene:cd3e")
    at = shown.adata.var_names.get_loc("CD3E")
    counts = np.asarray(shown.adata.X.todense())
    expected = np.log1p(counts[:, at] / counts.sum(axis=1) * 1e4)
    np.testing.assert_allclose(array(gene["values"]), expected, rtol=1e-5)
    assert gene["name"] == "CD3E"
    assert "CD3E" in post(client, "genes", start="cd3")["genes"]
    group = post(client, "values", by="obs:cell_type")
    assert [group["names"][i] for i in array(group["values"])] == shown.adata.obs["cell_type"].tolist()


def test_a_label_and_its_evidence(client: TestClient, shown: Shown) -> None:
    name = shown.adata.obs["bioverse_label"].cat.categories[0]
    found = post(client, "label", name=name)
    assert found["reason"] == f"why {name}"
    assert found["evidence"]["rows"] == [["CD79A", 0.9, None]]  # a number that is none
    mine = (shown.labels == name).to_numpy()
    assert found["n"] == mine.sum()
    means = np.exp(shown.adata.obsm["bioverse_scores"][mine]).mean().drop(name)
    assert found["alternatives"][0] == {"name": means.idxmax(), "probability": pytest.approx(means.max(), abs=1e-3)}
    assert post(client, "label", name="of nobody")["n"] == 0


def test_ask(client: TestClient, shown: Shown) -> None:
    found = post(client, "ask", question="How many B cells are there?")
    assert found["computed"]
    assert str((shown.labels == "B cell").sum()) in found["text"]
    assert found["understood"]["want"] == "count"
    assert found["evidence"]["n"] == 1
    follow = post(client, "ask", question="And NK cells?")
    assert str((shown.labels == "NK cell").sum()) in follow["text"]
    refused = post(client, "ask", question="What will the weather be?")
    assert refused["kind"] == "refusal"
    assert not refused["computed"]


def test_correct_undo_download_reopen(client: TestClient, visitors: Visitors, shown: Shown, tmp_path: Path) -> None:
    rows = (shown.labels == "B cell").to_numpy()
    markup = "<img src=x onerror=alert(1)>"
    found = post(client, "correct", label=markup, cells=bits(rows))
    assert found["changed"] == found["corrected"] == rows.sum()
    assert (found["undo"], found["redo"], found["unsaved"]) == (1, 0, True)
    assert post(client, "undo")["corrected"] == 0
    assert post(client, "redo")["corrected"] == rows.sum()
    assert visitors.unsaved() == 1
    # The map must not show a confidence that was computed for another label.
    confidence = array(post(client, "values", by="obs:bioverse_confidence")["values"])
    assert np.isnan(confidence).tolist() == rows.tolist()
    answer = client.get("/download")
    assert 'filename="toy.annotated.h5ad"' in answer.headers["content-disposition"]
    (tmp_path / "out.h5ad").write_bytes(answer.content)
    out = ad.read_h5ad(tmp_path / "out.h5ad")
    assert (out.obs["bioverse_label"][rows] == markup).all()
    assert out.obs["bioverse_label_corrected"].tolist() == rows.tolist()
    assert json.loads(out.uns["bioverse"]["correct"])["steps"] == [{"label": markup, "n": int(rows.sum())}]
    assert (out.X != shown.adata.X).nnz == 0
    assert not post(client, "open")["unsaved"]
    assert visitors.unsaved() == 0
    post(client, "undo")
    assert post(client, "correct", label="other", cells=bits(rows))["unsaved"]
    again = guest(Visitors(Shown(out)))
    again.get(f"/?token={TOKEN}")
    assert {one["name"]: one["n"] for one in post(again, "open")["labels"]}[markup] == rows.sum()
    assert post(again, "label", name=markup)["n"] == rows.sum()


def test_corrections_are_not_dropped_for_new_visitors(visitors: Visitors, client: TestClient) -> None:
    post(client, "correct", label="odd cell", cells=bits(np.ones(60, bool)))
    for _ in range(5):  # who corrected nothing makes room
        assert guest(visitors).get(f"/?token={TOKEN}").status_code == 200
    assert post(client, "open")["corrected"] == 60
    for _ in range(2):
        busy = guest(visitors)
        busy.get(f"/?token={TOKEN}")
        post(busy, "correct", label="odd cell", cells=bits(np.ones(60, bool)))
    answer = guest(visitors).get(f"/?token={TOKEN}")
    assert answer.status_code == 503
    assert "3 visitors" in answer.text

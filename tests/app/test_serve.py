"""`sb.serve` and `scbioverse serve`: a port, a token, an end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError

pytest.importorskip("uvicorn")


def status(url: str) -> int:
    try:
        with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_serve_and_stop(adata: AnnData) -> None:
    before = adata.copy()
    page = sb.serve(adata, port=0, wait=False)
    other = sb.serve(adata, port=0, wait=False)  # cookies of two ports do not get in each other's way
    assert status(page.url) == status(other.url) == 200
    assert status(page.url[:-1] + ("0" if page.url[-1] != "0" else "1")) == 403
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[0-9a-f]{32}", page.url)
    assert page.url.rpartition("=")[2] not in repr(page)
    for one in (page, other):
        one.stop()
    with pytest.raises(urllib.error.URLError):
        status(page.url)
    assert adata.obs.equals(before.obs)


def test_what_cannot_be_served(adata: AnnData) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot listen on 127"):
            sb.serve(adata, port=taken.getsockname()[1], wait=False)
    with pytest.raises(InputError, match="16 or more"):
        sb.serve(adata, port=0, token="short", wait=False)
    with pytest.raises(MissingKeyError, match=r"nothing.*annotate"):
        sb.serve(adata, port=0, label_key="nothing", wait=False)
    with pytest.raises(MissingKeyError, match=r"'bioverse_label' is not a column.*tl.annotate"):
        sb.serve(AnnData(adata.X, obs=adata.obs[[]]), port=0, wait=False)
    adata.obsm["X_umap"][0] = np.nan
    with pytest.raises(InputError, match="is no map"):
        sb.serve(adata, port=0, wait=False)
    del adata.obsm["X_umap"]
    with pytest.raises(MissingKeyError, match=r"embed"):
        sb.serve(adata, port=0, wait=False)


def test_a_map_that_was_made_is_kept(adata: AnnData) -> None:
    from scbioverse.app.shown import Shown
    from scbioverse.app.visitor import Visitor

    small = adata[:8].copy()  # so few are laid in a row, and no UMAP is made
    small.obsm["X_bioverse"] = small.obsm.pop("X_umap")
    shown = Shown(small)
    out = Visitor(shown).adata()
    np.testing.assert_array_equal(out.obsm["X_bioverse_map"], shown.points)
    assert "X_bioverse_map" not in small.obsm
    again = Shown(out)
    np.testing.assert_array_equal(again.points, shown.points)
    assert again.made == ""


def test_command_line_until_interrupted(adata: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    adata.write_h5ad(path)
    before = path.read_bytes()
    # Whatever the tests were started by (nohup, a shell in the background) may have the signal ignored.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from scbioverse.cli._app import main; main()"
    command = [sys.executable, "-c", program, "serve", str(path), "--port", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert status(process.stdout.readline().strip()) == 200
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert path.read_bytes() == before

"""A connection is opened for what was asked for by name, for nothing else, and not at all where it is forbidden."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import scbioverse as sb
from scbioverse import _hub_files
from scbioverse._settings import OFFLINE_VARIABLES, Settings
from scbioverse.errors import OfflineError

COMMIT = "a" * 40
SECONDS = 40  # far more than it takes on any machine (1 to 4), far less than the hub's own tries (100)
# Whatever takes a hub id.
ASKS: dict[str, Callable[[], object]] = {
    "models.load": lambda: sb.models.load("lab/tiny"),
    "models.load by commit": lambda: sb.models.load(f"lab/tiny@{COMMIT}"),
    "embed(model=)": lambda: sb.tl.embed(sb.datasets.toy_cells(n_obs=3, n_genes=60), model="lab/tiny"),
    "align(llm=)": lambda: sb.models.load("bioverse-small", llm=f"lab/llm@{COMMIT}").backbone,
    "protein encoder": lambda: sb.encoders.HFSequenceEncoder("lab/esm", modality="protein"),
    "Geneformer": lambda: sb.encoders.GeneformerEncoder.load(f"lab/geneformer/small@{COMMIT}"),
}


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variable forbids anything, and nothing was fetched before."""
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sb.settings, "offline", Settings().offline)
    monkeypatch.setattr(sb.settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return monkeypatch


@pytest.mark.slow
def test_everything_but_what_is_asked_for_by_name_opens_no_connection(tiny_llm: Path, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key not in OFFLINE_VARIABLES}
    env |= {"MPLBACKEND": "agg", "SCBIOVERSE_PROGRESS": "0"}
    code = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("_whole_line.py")), str(tiny_llm)]
    done = subprocess.run(code, env=env, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("attempts:")[1].split() == [], done.stdout


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    """The test above could not fail otherwise."""
    code = (
        "import sys, runpy; watch = runpy.run_path(sys.argv[1]); sys.addaudithook(watch['watch'])\n"
        "from huggingface_hub import HfApi\n"
        "try: HfApi(endpoint='http://127.0.0.1:9').repo_info('a/b')\n"
        "except Exception: pass\n"
        "print(watch['attempts'])"
    )
    env = {key: value for key, value in os.environ.items() if key not in OFFLINE_VARIABLES}
    place = str(Path(__file__).with_name("_whole_line.py"))
    done = subprocess.run([sys.executable, "-c", code, place], env=env, capture_output=True, text=True, check=True)
    assert "127.0.0.1" in done.stdout


@pytest.mark.parametrize("name", OFFLINE_VARIABLES)
@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("true", True), ("yes", True), ("what", True), ("0", False), ("", False)]
)
def test_the_environment_decides(unset: pytest.MonkeyPatch, name: str, value: str, offline: bool) -> None:
    assert not Settings().offline
    unset.setenv(name, value)
    assert Settings().offline is offline


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("name", OFFLINE_VARIABLES[:2])
def test_a_variable_forbids_what_is_asked_for_and_is_named(
    unset: pytest.MonkeyPatch, ask: Callable[[], object], name: str
) -> None:
    unset.setenv(name, "1")
    unset.setattr(sb.settings, "offline", Settings().offline)
    unset.setattr(_hub_files, "_api", lambda token=None: pytest.fail("the hub was asked"))
    with pytest.raises(OfflineError, match=rf"settings\.offline is on, by {name}=1 in the environment\. Set {name}=0"):
        ask()


@pytest.fixture(params=["closed", "silent"])
def endpoint(request: pytest.FixtureRequest, unset: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub whose door is closed, and one that takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if request.param == "closed":
            server.close()
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            unset.delenv(name, raising=False)
        unset.setattr("huggingface_hub.constants.ENDPOINT", address)
        unset.setattr(_hub_files, "CONNECT_SECONDS", 1.0)
        yield


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_hub_that_cannot_be_reached_is_told_within_seconds(endpoint: None, ask: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(OfflineError, match=r"could not be reached on the hub.*go on without: .*pass the folder's path"):
        ask()
    assert time.monotonic() - start < SECONDS


def test_a_mirror_that_cannot_be_reached_is_told_within_seconds(endpoint: None, unset: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    unset.setattr("scbioverse.datasets._fetch.READ_SECONDS", 1.0)
    start = time.monotonic()
    with pytest.raises(OfflineError, match=r"is not in the cache.*Point SCBIOVERSE_CACHE_DIR at a folder.*failed"):
        sb.datasets.fetch("cell_ontology", mirror=constants.ENDPOINT)
    assert time.monotonic() - start < SECONDS


class Hub:
    """Answers for any repository and writes down who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def repo_info(self, repo: str, **_: Any) -> Any:
        self.asked.append(repo)
        return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename="README.md", size=1, lfs=None)])


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_what_is_asked_for_by_name_is_asked_of_the_hub(unset: pytest.MonkeyPatch, ask: Callable[[], object]) -> None:
    hub = Hub()
    unset.setattr(_hub_files, "_api", lambda token=None: hub)
    with pytest.raises(sb.errors.WeightsError):  # there is nothing but a README
        ask()
    assert hub.asked
    assert set(hub.asked) <= {"lab/tiny", "lab/llm", "lab/esm", "lab/geneformer"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_takes_no_files_is_not_called_a_connection(unset: pytest.MonkeyPatch, number: int) -> None:
    def full(repo: str, commit: str, names: list[str]) -> str:
        raise OSError(number, os.strerror(number), "blob")

    listing = _hub_files.Listing("lab/tiny", COMMIT, {"config.json": None}, {"config.json": 1})
    unset.setattr(_hub_files, "_snapshot", full)
    with pytest.raises(sb.errors.WeightsError, match=rf"could not be kept.*{os.strerror(number)}.*HF_HOME"):
        _hub_files.fetch_folder(listing, ["*.json"])


def test_pull_connects_out_of_the_box_and_is_forbidden_by_the_variable(unset: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from scbioverse.cli import app

    hub = Hub()
    unset.setattr(_hub_files, "_api", lambda token=None: hub)
    found = CliRunner().invoke(app, ["models", "pull", "lab/tiny"])
    assert hub.asked == ["lab/tiny"], found.stderr
    unset.setenv("SCBIOVERSE_OFFLINE", "1")
    unset.setattr(sb.settings, "offline", Settings().offline)
    found = CliRunner().invoke(app, ["models", "pull", "lab/tiny"])
    assert found.exit_code == 1
    assert "by SCBIOVERSE_OFFLINE=1 in the environment" in found.stderr
    assert len(hub.asked) == 1


def test_a_language_model_that_only_a_file_mentions_is_not_fetched(
    unset: pytest.MonkeyPatch, tmp_path: Path, tiny_llm: Path
) -> None:
    """A relative of the hub ids inside adapters and tokenizers: what is named by a file is no request."""
    hub = Hub()
    unset.setattr(_hub_files, "_api", lambda token=None: hub)
    cells = sb.datasets.toy_cells(n_obs=12, n_genes=60)
    cells.obsm["X_pca"] = cells.X[:, :4].toarray()
    cells.obs["type"] = ["a", "b"] * 6
    made = sb.tl.align(
        cells, text_key="type", model=None, use_rep="X_pca", llm=str(tiny_llm), steps=1, general_text=False
    )
    folder = made.save(tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    config["llm"]["name"] = f"lab/llm@{COMMIT}"
    del config["sha256"]  # an edit by hand, as the message about one says
    (folder / "config.json").write_text(json.dumps(config))
    loaded = sb.models.load(folder)
    with pytest.raises(OfflineError, match=rf"mentions is not fetched.*llm='lab/llm@{COMMIT}'"):
        loaded.score(cells.obsm["X_pca"], ["a", "b"])
    assert hub.asked == []
    # Named by the user, it is asked for.
    with pytest.raises(sb.errors.WeightsError):
        sb.models.load(folder, llm=f"lab/llm@{COMMIT}").score(cells.obsm["X_pca"], ["a", "b"])
    assert hub.asked == ["lab/llm"]

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import scbioverse as sb
from scbioverse.datasets import _fetch
from scbioverse.datasets._fetch import DatasetInfo
from scbioverse.errors import InputError, MismatchError, OfflineError

CONTENT = b"id\tlabel\nCL:0000236\tB cell\n"


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> DatasetInfo:
    info = DatasetInfo(
        name="tiny",
        kind="knowledge",
        file="knowledge/tiny.tsv",
        description="two lines",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        bytes=len(CONTENT),
        address="https://example.org/original.zip",
        licence="CC0",
        citation="nobody",
        use=("train",),
    )
    monkeypatch.setattr(_fetch, "find", lambda name: info)
    return info


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A mirror of the cache's layout on the loopback interface."""
    root = tmp_path / "mirror"
    (root / "knowledge").mkdir(parents=True)
    (root / "knowledge" / "tiny.tsv").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def put(cache_dir: Path, content: bytes) -> Path:
    path = cache_dir / "knowledge" / "tiny.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_absent_and_offline_says_what_to_do(cache_dir: Path, entry: DatasetInfo) -> None:
    with pytest.raises(OfflineError) as caught:
        sb.datasets.fetch("tiny")
    message = str(caught.value)
    for part in (str(cache_dir / entry.file), entry.address, "SCBIOVERSE_CACHE_DIR", entry.sha256[:12]):
        assert part in message


def test_a_mirror_is_not_asked_while_offline(cache_dir: Path, entry: DatasetInfo, mirror: str) -> None:
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        sb.datasets.fetch("tiny", mirror=mirror)
    assert not cache_dir.exists()


def test_cached_file_is_hashed_once(cache_dir: Path, entry: DatasetInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch

    calls = []
    real = pooch.file_hash
    monkeypatch.setattr(pooch, "file_hash", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs))
    path = put(cache_dir, CONTENT)
    assert sb.datasets.fetch("tiny") == path
    assert sb.datasets.fetch("tiny") == path
    assert len(calls) == 1


def test_changed_file_is_refused(cache_dir: Path, entry: DatasetInfo) -> None:
    path = put(cache_dir, CONTENT)
    sb.datasets.fetch("tiny")
    path.write_bytes(CONTENT[:-3])
    with pytest.raises(MismatchError, match=entry.sha256) as caught:
        sb.datasets.fetch("tiny")
    assert hashlib.sha256(CONTENT[:-3]).hexdigest() in str(caught.value)


def test_mirror_fills_the_cache(
    cache_dir: Path, entry: DatasetInfo, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sb.settings, "offline", False)
    monkeypatch.setattr(sb.settings, "progress", False)
    assert sb.datasets.fetch("tiny", mirror=mirror).read_bytes() == CONTENT
    assert sb.datasets.fetch("tiny").read_bytes() == CONTENT


def test_mirror_with_other_content_is_refused(
    cache_dir: Path, entry: DatasetInfo, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sb.settings, "offline", False)
    monkeypatch.setattr(sb.settings, "progress", False)
    (tmp_path / "mirror" / "knowledge" / "tiny.tsv").write_bytes(b"other")
    with pytest.raises(MismatchError, match="does not serve"):
        sb.datasets.fetch("tiny", mirror=mirror)
    assert not (cache_dir / entry.file).exists()


def test_mirror_without_the_file(
    cache_dir: Path, entry: DatasetInfo, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sb.settings, "offline", False)
    with pytest.raises(OfflineError, match="404"):
        sb.datasets.fetch("tiny", mirror=mirror + "elsewhere")


def test_tables_are_not_loaded_as_anndata(cache_dir: Path) -> None:
    with pytest.raises(InputError, match="is a table"):
        sb.datasets.load("cell_ontology")


def test_load_reads_a_cached_set() -> None:
    name = "baron_pancreas_14"
    try:
        sb.datasets.fetch(name)
    except OfflineError:
        pytest.skip(f"{name} is not in the cache")
    assert sb.datasets.load(name).shape == (14, 20125)

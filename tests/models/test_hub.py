"""Models on the hub, with the hub played by a folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import scbioverse as sb
from scbioverse import _hub_files
from scbioverse.errors import InputError, MismatchError, OfflineError, WeightsError
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse, load, registry

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """One repository, answered from a folder; counts what is downloaded."""

    folder: Path
    cache: Path
    commit: str = COMMIT
    downloads: int = 0
    private: bool | None = None
    extra: tuple[str, ...] = ()
    lies: bool = False

    def repo_info(self, repo: str, *, revision: str | None, files_metadata: bool, timeout: float) -> Any:
        assert files_metadata
        assert timeout <= 10
        names = sorted(file.relative_to(self.folder).as_posix() for file in self.folder.rglob("*") if file.is_file())
        siblings = [
            SimpleNamespace(
                rfilename=name,
                size=(self.folder / name).stat().st_size,
                lfs={"sha256": "f" * 64 if self.lies else _hub_files.file_sha256(self.folder / name)}
                if name.endswith(".safetensors")
                else None,
            )
            for name in names
        ]
        siblings += [SimpleNamespace(rfilename=name, size=1, lfs=None) for name in (".gitattributes", *self.extra)]
        return SimpleNamespace(sha=self.commit, siblings=siblings)

    def snapshot(self, repo: str, commit: str, names: list[str]) -> str:
        """Lay blobs and links the way the hub's cache does."""
        self.downloads += 1
        target = self.cache / "snapshots" / commit
        for name in names:
            blob = self.cache / "blobs" / _hub_files.file_sha256(self.folder / name)
            blob.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, blob)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).unlink(missing_ok=True)
            (target / name).symlink_to(blob)
        return str(target)

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.private = private

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str, allow_patterns: list[str]) -> Any:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(folder_path, self.folder)
        assert {f.relative_to(self.folder).as_posix() for f in self.folder.rglob("*") if f.is_file()} == set(
            allow_patterns
        )
        return SimpleNamespace(oid=self.commit)


@pytest.fixture
def hub(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    made = FakeHub(Path(shutil.copytree(saved, tmp_path / "remote")), tmp_path / "hub-cache")
    monkeypatch.setattr(_hub_files, "_api", lambda token=None: made)
    monkeypatch.setattr(_hub_files, "_snapshot", made.snapshot)
    monkeypatch.setattr(sb.settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(sb.settings, "offline", False)
    return made


def test_push_and_load_again(hub: FakeHub, model: BioVerse, tiny_backbone: Backbone) -> None:
    shutil.rmtree(hub.folder)
    pinned = model.push_to_hub("lab/tiny", message="first")
    assert pinned == f"lab/tiny@{COMMIT}"
    assert hub.private is True
    assert (hub.folder / "README.md").is_file()
    again = BioVerse.from_pretrained(pinned, llm=tiny_backbone)
    assert again.fingerprint() == model.fingerprint()
    assert load("lab/tiny").fingerprint() == model.fingerprint()


def test_offline_finds_what_was_downloaded_by_its_commit(
    hub: FakeHub, model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(f"lab/tiny@{COMMIT}")
    monkeypatch.setattr(sb.settings, "offline", True)
    before = hub.downloads
    assert load(f"lab/tiny@{COMMIT}").fingerprint() == model.fingerprint()
    assert hub.downloads == before
    for name in ("lab/tiny", f"lab/tiny@{'9' * 40}"):
        with pytest.raises(OfflineError, match=r"no folder here.*settings\.offline is on"):
            load(name)
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        model.push_to_hub("lab/tiny")


def test_pull_fetches_once_and_verifies(hub: FakeHub, tiny_llm: Path, tmp_path: Path) -> None:
    found = registry.pull(f"lab/tiny@{COMMIT}")
    assert found == registry.pull(f"lab/tiny@{COMMIT}")
    assert found["llm"] == str(tiny_llm)
    assert Path(found["model"]).is_relative_to(tmp_path / "cache")
    assert hub.downloads == 1


@pytest.mark.parametrize(
    "name", ["../evil.json", "a/../../b.json", "/etc/passwd.json", ".ssh/config.json", "a\\..\\b.json"]
)
def test_names_that_lead_out_are_refused_before_anything_is_fetched(hub: FakeHub, name: str) -> None:
    hub.extra = (name,)
    with pytest.raises(WeightsError, match="leads out of the folder or hides"):
        load("lab/tiny")
    assert hub.downloads == 0


@pytest.mark.parametrize("name", ["pytorch_model.bin", "run.py", "model.pkl", "lib.so", "setup.sh", "data.zip"])
def test_pickles_and_code_are_refused_before_anything_is_fetched(hub: FakeHub, name: str) -> None:
    hub.extra = (name,)
    with pytest.raises(WeightsError, match="and nothing else: pickles and code"):
        load("lab/tiny")
    assert hub.downloads == 0


def test_what_arrives_must_be_what_was_announced(hub: FakeHub) -> None:
    hub.lies = True
    with pytest.raises(MismatchError, match=r"the hub has ffff.*pull again"):
        load("lab/tiny")
    assert not any(path.exists() for path in hub.cache.rglob("encoder.safetensors"))


def test_another_commit_than_asked_for(hub: FakeHub) -> None:
    with pytest.raises(MismatchError, match=f"{COMMIT}.*{'9' * 40}"):
        load(f"lab/tiny@{'9' * 40}")


def test_repository_that_is_no_model(hub: FakeHub) -> None:
    (hub.folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"not a BioVerse model: it has no config\.json"):
        load("lab/tiny")


def test_remote_code_in_the_configuration(hub: FakeHub, tmp_path: Path) -> None:
    file = hub.folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(WeightsError, match="asks for code of its own"):
        load("lab/tiny")


@pytest.mark.parametrize("repo", ["tiny", "lab/tiny@main", "../lab/tiny", "lab/ti ny", ""])
def test_names_that_are_no_repository(hub: FakeHub, model: BioVerse, repo: str) -> None:
    with pytest.raises(InputError, match="is not 'owner/name'"):
        model.push_to_hub(repo)


def test_hub_errors_are_told_without_secrets(hub: FakeHub, model: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    def refuse(*_: Any, **__: Any) -> None:
        error = HfHubHTTPError.__new__(HfHubHTTPError)
        Exception.__init__(error, "401 for token hf_secret")
        error.response = SimpleNamespace(status_code=401)  # type: ignore[assignment]
        raise error

    monkeypatch.setattr(hub, "create_repo", refuse, raising=False)
    with pytest.raises(WeightsError, match=r"refused lab/tiny \(401\)") as caught:
        model.push_to_hub("lab/tiny", token="hf_secret")
    assert "hf_secret" not in str(caught.value)
    monkeypatch.setattr(hub, "repo_info", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no route")))
    with pytest.raises(OfflineError, match="could not be reached"):
        load("lab/tiny")

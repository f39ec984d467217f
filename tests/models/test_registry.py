from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scbioverse._errors import WeightsError
from scbioverse.models import BioVerse, list_models, load, registry

COLUMNS = ["modalities", "llm", "encoder", "n_labels", "size_mb", "summary", "path"]


@pytest.fixture
def bundled(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copytree(saved, folder / "tiny-bundled")
    (folder / "not-a-model").mkdir()
    monkeypatch.setattr(registry, "_BUNDLED", folder)
    return folder


def test_list(bundled: Path) -> None:
    table = list_models()
    assert list(table.index) == ["tiny-bundled"]
    assert list(table.columns) == COLUMNS
    assert table.loc["tiny-bundled", "modalities"] == "cell"
    assert table.loc["tiny-bundled", "path"] == str(bundled / "tiny-bundled")


def test_list_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BUNDLED", tmp_path / "none")
    assert list_models().empty
    assert list(list_models().columns) == COLUMNS


def test_load_by_name_path_and_object(bundled: Path, saved: Path) -> None:
    by_name, by_path, by_text = load("tiny-bundled"), load(saved), load(str(saved))
    assert by_name.fingerprint() == by_path.fingerprint() == by_text.fingerprint()
    assert load(by_name) is by_name


def test_unknown_name_lists_what_there_is(bundled: Path) -> None:
    with pytest.raises(WeightsError, match=r"no model 'tony'.*tiny-bundled.*list_models"):
        load("tony")


def test_what_is_bundled_is_whole() -> None:
    for name in list_models().index:
        assert isinstance(load(name), BioVerse)


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys, json; from scbioverse.models import list_models; list_models(); "
        "print(json.dumps('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False

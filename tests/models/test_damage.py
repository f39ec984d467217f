"""Checkpoints with one flipped bit, saves onto full disks, and places that are never replaced."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scbioverse.errors import BioverseError, InputError, WeightsError
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse, load

# Runs in a process of its own: the limit stays with it, and a crash would end it.
LIMITED = """
import faulthandler, resource, sys
faulthandler.enable()
from pathlib import Path
from scbioverse import settings
from scbioverse.errors import BioverseError
what, at, llm = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
settings.cache_dir = at / "cache"
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
try:
    if what == "save":
        from scbioverse.models import load
        model = load(at / "m", llm=llm)
        limit(9000)
        model.save(at / "m", overwrite=True)
    elif what == "convert":
        from scbioverse.llm.backbone import Backbone
        limit(9000)
        Backbone.load(at / "m.gguf")
    else:
        import torch
        from scbioverse.train import save_state
        one = torch.nn.Linear(100, 100)
        optimizer = torch.optim.AdamW(one.parameters())
        save_state(at / "run", step=1, params=dict(one.named_parameters()), optimizer=optimizer, meta={})
        limit(9000)
        save_state(at / "run", step=2, params=dict(one.named_parameters()), optimizer=optimizer, meta={})
except BioverseError as error:
    print(error)
    sys.exit(7)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, at: int, bit: int = 1) -> None:
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= bit
    path.write_bytes(bytes(content))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_bit_of_any_file_of_a_model(saved: Path, share: float, tmp_path: Path) -> None:
    names = [path.relative_to(saved) for path in saved.rglob("*") if path.is_file() and path.name != "README.md"]
    assert len(names) == 5
    for name in names:
        folder = Path(shutil.copytree(saved, tmp_path / "copy", dirs_exist_ok=True))
        flip(folder / name, int(share * (folder / name).stat().st_size))
        with pytest.raises(BioverseError):
            load(folder)


@pytest.mark.parametrize("begin", ['"temperature": 1', '"temperature": 0', '"name": "'])
def test_a_bit_of_a_value_in_the_configuration(saved: Path, begin: str) -> None:
    # A digit or a letter that becomes another one: nothing else would tell.
    content = (saved / "config.json").read_text()
    at = content.index(begin) + len(begin)
    while not content[at].isalnum():
        at += 1
    flip(saved / "config.json", at)
    json.loads((saved / "config.json").read_text())
    with pytest.raises(WeightsError, match=r"config\.json was changed since it was saved.*take the entry 'sha256'"):
        load(saved)


def test_a_configuration_that_was_changed_on_purpose(saved: Path, tiny_backbone: Backbone) -> None:
    values = json.loads((saved / "config.json").read_text())
    del values["sha256"]
    values["calibration"]["score"]["temperature"] = 2.5
    (saved / "config.json").write_text(json.dumps(values))
    assert load(saved, llm=tiny_backbone).config.calibration["score"].temperature == 2.5


@pytest.mark.parametrize("what", ["save", "convert", "state"])
def test_a_disk_that_fills_up(what: str, saved: Path, tiny_llm: Path, tmp_path: Path) -> None:
    from tests.llm.test_resolve import tiny_gguf

    shutil.copytree(saved, tmp_path / "m")
    tiny_gguf(tmp_path / "m.gguf", tiny_llm)
    before = contents(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, what, str(tmp_path), str(tiny_llm)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert "File too large" in done.stdout
    after = {
        name: content for name, content in contents(tmp_path).items() if not name.startswith("cache/weights/sources")
    }
    if what == "state":
        assert json.loads(after.pop("run/state.json"))["step"] == 1
        assert after.pop("run/state.safetensors")
    assert after == before
    assert not list(tmp_path.rglob(".*"))


def test_too_little_room_is_said_before_anything_is_written(
    model: BioVerse, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scbioverse import settings
    from tests.llm.test_resolve import tiny_gguf

    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    gguf = tiny_gguf(tmp_path / "m.gguf", tiny_llm)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**9, used=10**9, free=100))
    with pytest.raises(InputError, match=r"model '.*' takes about .* MB left"):
        model.save(tmp_path / "new")
    with pytest.raises(WeightsError, match=r"the converted copy of m\.gguf takes about .*SCBIOVERSE_CACHE_DIR"):
        Backbone.load(gguf)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "m.gguf"]
    assert [path.name for path in (tmp_path / "cache" / "weights").iterdir()] == ["sources"]


def test_of_a_link_the_model_behind_it_is_replaced(model: BioVerse, saved: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(saved, target_is_directory=True)
    with pytest.raises(InputError, match="overwrite=True"):
        model.save(link)
    before = (saved / "config.json").stat().st_ino
    model.save(link, overwrite=True)
    assert link.is_symlink()
    assert (saved / "config.json").stat().st_ino != before
    broken = tmp_path / "broken"
    broken.symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"it is a link to .*gone, which does not exist"):
        model.save(broken, overwrite=True)
    for path in (tmp_path / "a\0b", tmp_path / ("n" * 300)):
        with pytest.raises(InputError, match="cannot write a model"):
            model.save(path)


def test_a_state_replaces_nothing_but_a_state(tmp_path: Path) -> None:
    import torch

    from scbioverse.train import save_state

    one = torch.nn.Linear(2, 2)
    options = {"params": dict(one.named_parameters()), "optimizer": torch.optim.AdamW(one.parameters()), "meta": {}}
    run = save_state(tmp_path / "run", step=1, **options)
    (run / "notes.txt").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for place in (run, tmp_path, tmp_path / "file"):
        before = contents(tmp_path)
        with pytest.raises(InputError, match="Name a new"):
            save_state(place, step=2, **options)
        assert contents(tmp_path) == before

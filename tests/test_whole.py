"""Files and folders that appear whole or not at all, and what killed processes leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scbioverse._whole import clear_leftovers, write_text_whole, written_whole

KILLED = """
import os, signal, sys
from pathlib import Path
from scbioverse._whole import written_whole
place, when = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename
def killing(self, target):
    # The first rename moves what is replaced aside; the process dies before the second.
    rename(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
if when == "between the renames":
    Path.rename = killing
with written_whole(place) as fresh:
    fresh.mkdir()
    (fresh / "a").write_text("new")
    if when == "while writing":
        os.kill(os.getpid(), signal.SIGKILL)
    if when == "waiting":
        print("ready", flush=True)
        sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed(place: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(place), when], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "a").write_text("old")
    return folder


def test_an_error_leaves_the_old_one_and_nothing_else(place: Path) -> None:
    def fail() -> None:
        with written_whole(place) as fresh:
            fresh.mkdir()
            (fresh / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(place.parent) == ["store"]
    assert (place / "a").read_text() == "old"


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    file.chmod(0o640)
    write_text_whole(file, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o640)
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("when", ["while writing", "between the renames"])
def test_leftovers_of_killed_processes_go_and_the_old_one_stays(place: Path, when: str) -> None:
    killed(place, when)
    assert len(names(place.parent)) >= 2
    assert place.exists() == (when == "while writing")
    write_text_whole(place.parent / "other.txt", "x")  # anything that is written into the same folder
    assert names(place.parent) == ["other.txt", "store"]
    assert (place / "a").read_text() == "old"


def test_what_a_running_process_writes_stays(place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(place), "waiting"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        clear_leftovers(place.parent)
        assert len(names(place.parent)) == 3  # the store, the new one, the lock
        other.communicate()
    assert names(place.parent) == ["store"]
    assert (place / "a").read_text() == "new"


def test_many_writers_of_one_folder_leave_one_whole_folder(tmp_path: Path) -> None:
    place = tmp_path / "copy"

    def write(n: int) -> None:
        with written_whole(place) as fresh:
            fresh.mkdir()
            for name in "abc":
                (fresh / name).write_text(str(n))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(400)))
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    assert len({path.read_text() for path in place.iterdir()}) == 1
    assert sorted(path.name for path in place.iterdir()) == [*"abc"]


def test_files_of_others_stay_whatever_they_are_called(tmp_path: Path) -> None:
    for name in (".scbioverse-notes", ".scbioverse-1-abcdefabcdef.new", ".x.lock", "a.lock", ".scbioverse-x.lock"):
        (tmp_path / name).write_text("mine")
    before = names(tmp_path)
    clear_leftovers(tmp_path)
    assert names(tmp_path) == before
    clear_leftovers(tmp_path / "gone")


def test_a_folder_with_many_files_is_looked_through_quickly(tmp_path: Path) -> None:
    for i in range(3000):
        (tmp_path / f"{i}").touch()
    began = time.process_time()  # whatever else the machine does
    clear_leftovers(tmp_path)
    assert time.process_time() - began < 1
    assert len(names(tmp_path)) == 3000


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_lock_that_is_no_file_neither_stops_a_writer_nor_leads_elsewhere(tmp_path: Path, kind: str) -> None:
    folder, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_text("b.txt")
    odd = folder / ".scbioverse-1-0123456789ab.lock"
    if kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to(elsewhere)
    code = "import sys; from pathlib import Path; from scbioverse._whole import write_text_whole as w; "
    code += "w(Path(sys.argv[1]), 'new')"
    subprocess.run([sys.executable, "-c", code, str(folder / "a.txt")], check=True, timeout=60)
    assert (folder / "a.txt").read_text() == "new"
    assert elsewhere.read_text() == "b.txt"
    assert os.path.lexists(odd)

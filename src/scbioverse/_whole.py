"""Files and folders that appear whole or not at all, and what processes that were killed left behind.

Something is written under a hidden name beside its place, `.scbioverse-<process>-<random>.new`, then renamed. What it
replaces waits as `….old` until the new one is in place. Where only some files of a folder are replaced, `….moves` says
which, once all are written, and has a digest of what tells that folder from others; it is followed to its end, by the
next process if need be, unless another folder has taken the place. A lock on `….lock`, which names
the place, tells that the process still runs: the system gives it up when a process ends, however it ends. The next
writer in the folder clears what is not locked, and puts an old version back whose successor never came.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ._logging import logger
from .errors import BioverseError, InputError

try:
    import fcntl
except ImportError:  # not on Windows: nothing is locked there, and nothing cleared
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OURS = re.compile(r"\.scbioverse-\d+-[0-9a-f]{12}")
NEW, OLD, LOCK, MOVES = ".new", ".old", ".lock", ".moves"


class UnfinishedError(OSError):
    """Something went wrong while files were renamed into their places; what is left to do is listed."""


@contextmanager
def written_whole(place: Path) -> Iterator[Path]:
    """Yield a path to write a file or a folder to; it is renamed to `place` at the end, removed after any error.

    What lies at `place` is replaced, so what may be replaced is to be checked before. A file is replaced in one step;
    a folder is renamed aside first, and removed when the new one is in its place. The path has no symbolic link in its
    last part, and its folder exists.
    """
    clear_leftovers(place.parent)
    stem, lock = _locked_stem(place)
    fresh, old = place.with_name(stem + NEW), place.with_name(stem + OLD)
    try:
        yield fresh
        _put_in_place(fresh, old, place)
    finally:
        remove(fresh)
        if not os.path.lexists(place) and old.exists():
            with contextlib.suppress(OSError):  # another writer has put its own there meanwhile
                old.rename(place)
        remove(old)
        if lock is not None:
            place.with_name(stem + LOCK).unlink(missing_ok=True)
            os.close(lock)


@contextmanager
def moved_whole(place: Path, known_by: Sequence[str]) -> Iterator[tuple[Path, dict[str, str | None]]]:
    """Yield a folder to write to, and a dict to say what goes from there to where in the folder `place`.

    The dict has paths in `place` as keys, and paths in the folder as values, None for what is to be removed. The moves
    are done in their order at the end, all of them or none, whenever the process ends; after an error before that none
    is. `known_by` are files and folders in `place`, none of which moves: what this process could not move any more is
    moved by the next one only if they hold the same bytes then. Where the system refuses one of the moves, an
    :class:`UnfinishedError`: some are done, and :func:`clear_leftovers` does the rest once it can.
    """
    clear_leftovers(place.parent)
    stem, lock = _locked_stem(place)
    fresh, listed = place.with_name(stem + NEW), place.with_name(stem + MOVES)
    moves: dict[str, str | None] = {}
    try:
        yield fresh, moves
        written = listed.with_name(listed.name + NEW)
        held = {"known_by": [*known_by], "digest": _digest(place, known_by), "moves": moves}
        written.write_text(json.dumps(held), encoding="utf-8")
        written.replace(listed)
        try:
            _move(fresh, listed, place)
        except OSError as error:
            raise UnfinishedError(error.errno, error.strerror) from error
    finally:
        if not listed.exists():
            remove(fresh)
            remove(listed.with_name(listed.name + NEW))
            if lock is not None:
                place.with_name(stem + LOCK).unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _move(fresh: Path, listed: Path, place: Path) -> None:
    """Do what a list of moves says, as far as it was not done; then remove the list."""
    for target, source in json.loads(listed.read_text(encoding="utf-8"))["moves"].items():
        there = place / target
        if source is None:
            remove(there)
        elif (fresh / source).exists():
            if (fresh / source).is_dir():
                remove(there)
            there.parent.mkdir(exist_ok=True)
            (fresh / source).replace(there)
    listed.unlink()


def _is_of(listed: Path, place: Path) -> bool:
    """Whether a list of moves is of the folder that lies there now."""
    try:
        held = json.loads(listed.read_text(encoding="utf-8"))
        return place.is_dir() and held["digest"] == _digest(place, held["known_by"])
    except (ValueError, KeyError, TypeError):  # damaged, or of another version
        return False


def _digest(place: Path, known_by: Sequence[str]) -> str:
    """Digest of the names and bytes of some files of a folder, those in folders too."""
    found = hashlib.blake2b(digest_size=16)
    for name in known_by:
        inside = sorted(path for path in (place / name).rglob("*") if path.is_file())
        for path in [place / name] if (place / name).is_file() else inside:
            with path.open("rb") as file:
                held = hashlib.file_digest(file, "blake2b").digest()
            found.update(path.relative_to(place).as_posix().encode("utf-8", "surrogateescape") + b"\0" + held)
    return found.hexdigest()


@contextmanager
def whole_folder(place: Path, what: str) -> Iterator[Path]:
    """Yield a new folder to write to, which is at `place` at the end; an :class:`InputError` where the disk refuses.

    `what` the message begins with.
    """
    from safetensors import SafetensorError

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(place) as fresh:
            fresh.mkdir()
            yield fresh
    # safetensors reports a full disk by an error of its own.
    except (OSError, SafetensorError) as error:
        raise InputError(f"{what}: {reason(error)}. What was there before is there still.") from error


def reason(error: Exception) -> str:
    """Return what the system says went wrong, without the path."""
    return str(getattr(error, "strerror", None) or error)


def write_text_whole(place: Path, text: str) -> None:
    """Write a text file in UTF-8: readers see the old one or the new one, whole."""
    with written_whole(place) as fresh:
        fresh.write_text(text, encoding="utf-8")


def check_room(
    folder: Path, n_bytes: float, what: str, *, error: type[BioverseError] = InputError, advice: str = ""
) -> None:
    """Refuse what would not fit on the disk of `folder`, which need not be there yet.

    `n_bytes` is what `what` takes at least: of an estimate pass the low end, what fits must not be refused. The message
    ends with `advice`; to free some space or name another place if not given.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return
    if free < n_bytes:
        raise error(
            f"{what} takes about {_size(n_bytes)}, and the disk of {folder} has {_size(free)} left. "
            f"{advice or 'Free some space, or name a place on another disk.'}"
        )


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder; put back what they had moved aside. Never fails."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            stem = entry.name.removesuffix(LOCK)
            if stem != entry.name and _OURS.fullmatch(stem):
                with contextlib.suppress(OSError):
                    _clear(folder, stem)


def remove(path: Path) -> None:
    """Remove a file or folder if it is there; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # Threads of a library that failed may still be writing into the folder, or make it again.
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.05)
        if not path.exists():
            return


def _put_in_place(fresh: Path, old: Path, place: Path) -> None:
    if fresh.is_dir():
        while True:
            with contextlib.suppress(FileNotFoundError):
                place.rename(old)
            try:
                fresh.rename(place)
            except OSError as error:
                # Between the two steps another writer may have put its own there: it is replaced, too.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                remove(old)
            else:
                return
    if place.is_file():
        with contextlib.suppress(OSError):
            shutil.copymode(place, fresh)
    fresh.replace(place)


def _locked_stem(place: Path) -> tuple[str, int | None]:
    """Choose a name beside `place` and lock it; without a lock where the file system has none."""
    while True:
        stem = f".scbioverse-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        if fcntl is None:
            return stem, None
        path = place.with_name(stem + LOCK)
        lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(lock, os.fsencode(place.name))
            # Another process may have taken it for a leftover before it was locked.
            if os.fstat(lock).st_nlink:
                return stem, lock
        except BlockingIOError:
            pass
        except OSError:
            os.close(lock)
            path.unlink(missing_ok=True)
            return stem, None
        os.close(lock)


def _clear(folder: Path, stem: str) -> None:
    path = folder / (stem + LOCK)
    # A pipe of that name would hold up whoever reads it, and a link lead elsewhere.
    lock = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # its process runs
        name = Path(os.fsdecode(os.read(lock, 4096))).name
        old, place = folder / (stem + OLD), folder / name
        if name and (listed := folder / (stem + MOVES)).exists():
            if _is_of(listed, place):
                _move(folder / (stem + NEW), listed, place)
                logger.warning("%s: a process was killed while it put results there; they are there now", place)
            else:
                remove(listed)
                logger.warning(
                    "%s is not what it was when a process was killed while it put results there (other rows, other "
                    "columns or another matrix): those results were thrown away, and it was left as it is. Run the "
                    "same again to have them for what is there now.", place,
                )  # fmt: skip
        remove(folder / (stem + MOVES + NEW))
        if name and os.path.lexists(old) and not os.path.lexists(place):
            old.rename(place)
            logger.warning("%s was put back: a process was killed while it replaced it", place)
        remove(folder / (stem + NEW))
        remove(old)
        path.unlink(missing_ok=True)
    finally:
        os.close(lock)

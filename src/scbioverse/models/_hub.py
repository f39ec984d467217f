"""The Hugging Face hub: files of a pinned commit, checked by name before they are fetched and by sha256 after.

Downloads are the hub's own: resumed, atomic, locked against other processes, through the proxies of the environment.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._logging import logger
from .._safe_files import PLAIN, check_file_name, check_kinds
from .._settings import settings
from ..errors import InputError, MismatchError, OfflineError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bioverse import BioVerse

_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[A-Za-z0-9][\w.-]*))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit.

    Attributes
    ----------
    repo, commit
        `"owner/name"` and its 40 digits.
    sha256
        By file, where the hub knows it (large files), else None.
    size
        By file, in bytes.
    """

    repo: str
    commit: str
    sha256: dict[str, str | None]
    size: dict[str, int]


def parse_hub_id(text: str) -> tuple[str, str | None] | None:
    """Split `"owner/name@revision"`; None where `text` is nothing of the kind."""
    match = _HUB_ID.fullmatch(text)
    return None if match is None or ".." in text else (match["repo"], match["revision"])


def list_repo(repo: str, revision: str | None) -> Listing:
    """Ask the hub what a repository holds and at which commit.

    Raises
    ------
    OfflineError
        `settings.offline` is on, or the hub cannot be reached.
    WeightsError
        There is no such repository or revision, or a file's name leads out of its folder.
    """
    _need_network(repo)
    info = _ask(repo, lambda: _api().repo_info(repo, revision=revision, files_metadata=True))
    commit = str(info.sha)
    if not _COMMIT.fullmatch(commit) or (revision and _COMMIT.fullmatch(revision) and revision != commit):
        raise MismatchError(f"the hub answered with commit {commit!r} of {repo}, asked for was {revision!r}.")
    sha256: dict[str, str | None] = {}
    size: dict[str, int] = {}
    for one in info.siblings or []:
        if not Path(one.rfilename).name.startswith(".git"):
            check_file_name(one.rfilename, where=f"{repo}@{commit}")
        lfs = getattr(one, "lfs", None)
        sha256[one.rfilename] = None if lfs is None else str(lfs["sha256"] if isinstance(lfs, dict) else lfs.sha256)
        size[one.rfilename] = int(one.size or 0)
    return Listing(repo, commit, sha256, size)


def fetch(listing: Listing, patterns: Sequence[str]) -> dict[str, Path]:
    """Download the files that match, into the hub's own cache, and compare them with the hub's sha256.

    Returns
    -------
    Their paths by name; loaders find them there again without a connection.

    Raises
    ------
    MismatchError
        A file is not what the hub says it is; it was removed.
    WeightsError
        Nothing matches, or the download failed.
    """
    wanted = [name for name in listing.sha256 if any(fnmatch(name, one) for one in patterns)]
    if not wanted:
        raise WeightsError(f"{listing.repo}@{listing.commit} has no files like {', '.join(patterns)}.")
    _need_network(listing.repo)
    total = sum(listing.size[name] for name in wanted) / 1e6
    logger.info("fetching %d files (%.0f MB) of %s@%s", len(wanted), total, listing.repo, listing.commit[:12])
    folder = Path(_ask(listing.repo, lambda: _snapshot(listing.repo, listing.commit, wanted)))
    paths = {name: folder / name for name in wanted}
    for name, path in paths.items():
        expected = listing.sha256[name]
        if not path.is_file():
            raise WeightsError(f"{listing.repo}@{listing.commit}: {name} did not arrive. Pull again.")
        if expected is not None and (found := file_sha256(path)) != expected:
            path.resolve().unlink(missing_ok=True)
            raise MismatchError(
                f"{name} of {listing.repo}@{listing.commit} arrived with sha256 {found}, the hub has {expected}. It "
                "was removed; pull again."
            )
    return paths


def fetch_checkpoint(repo: str, revision: str | None) -> Path:
    """Download a BioVerse model: tensors and text only, nothing else may be in the repository.

    Offline, the copy of an earlier download is used where `revision` is its full commit.

    Raises
    ------
    WeightsError
        The repository is no BioVerse model, or holds pickles, code, or names that lead out of a folder.
    OfflineError
        It is not in the cache and may not be downloaded.
    """
    if settings.offline:
        copy = _own_folder(repo, revision or "")
        if copy.is_dir():
            return copy
        raise OfflineError(
            f"{repo!r} is no folder here, and as a model on the hub it would have to be fetched: settings.offline "
            "is on. Set SCBIOVERSE_OFFLINE=0 to allow it; what was fetched by its full commit is found again without."
        )
    listing = list_repo(repo, revision)
    check_kinds(listing.sha256, where=f"{repo}@{listing.commit}")
    if "config.json" not in listing.sha256:
        raise WeightsError(f"{repo}@{listing.commit} is not a BioVerse model: it has no config.json.")
    paths = fetch(listing, [f"*{kind}" for kind in PLAIN])
    if revision != listing.commit:
        logger.info("loaded %s@%s; name it so to load the same again", repo, listing.commit)
    return _own_files(paths, _own_folder(repo, listing.commit))


def _own_folder(repo: str, commit: str) -> Path:
    digest = hashlib.sha256(f"{repo}@{commit}".encode()).hexdigest()
    return settings.weights_dir() / "checkpoints" / digest[:16]


def _own_files(paths: dict[str, Path], folder: Path) -> Path:
    # The hub's cache is links into a store of blobs; a checkpoint must be files of its own, as links may lead anywhere.
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix=".", dir=settings.weights_dir()) as temporary:
            made = Path(temporary) / "model"
            for name, path in paths.items():
                target = made / check_file_name(name, where="the hub")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            folder.parent.mkdir(exist_ok=True)
            made.rename(folder)
    return folder


def push(model: BioVerse, repo_id: str, *, private: bool, dtype: str, message: str, token: str | None) -> str:
    """Save `model` and upload it; see :meth:`BioVerse.push_to_hub`."""
    parsed = parse_hub_id(repo_id)
    if parsed is None or parsed[1] is not None:
        raise InputError(f"repo_id={repo_id!r} is not 'owner/name'.")
    _need_network(repo_id)
    with tempfile.TemporaryDirectory() as temporary:
        folder = model.save(Path(temporary) / "model", dtype=dtype)
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        check_kinds(names, where=f"what model {model.name!r} saves")
        api = _api(token)

        def upload() -> Any:
            api.create_repo(repo_id, private=private, exist_ok=True)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=str(folder),
                commit_message=message or f"scbioverse: {model.name}",
                allow_patterns=names,
            )

        commit = _ask(repo_id, upload)
    return f"{repo_id}@{commit.oid}"


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _need_network(repo: str) -> None:
    if settings.offline:
        raise OfflineError(
            f"{repo} would have to be reached on the hub, and settings.offline is on. Set SCBIOVERSE_OFFLINE=0 (or "
            "scbioverse.settings.offline = False) to allow it."
        )


def _ask(repo: str, question: Any) -> Any:
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return question()
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise WeightsError(f"the hub has no {repo}, or not for you, or not in that revision.") from error
    except HfHubHTTPError as error:
        # Its text may quote the request; the status says enough.
        status = getattr(getattr(error, "response", None), "status_code", "no status")
        raise WeightsError(
            f"the hub refused {repo} ({status}). Log in with the hub's own tool, or try later."
        ) from error
    except OSError as error:
        raise OfflineError(f"{repo} could not be reached on the hub: {type(error).__name__}: {error}") from error


def _api(token: str | None = None) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token)


def _snapshot(repo: str, commit: str, names: Sequence[str]) -> str:
    from huggingface_hub import snapshot_download

    return str(snapshot_download(repo, revision=commit, allow_patterns=list(names)))

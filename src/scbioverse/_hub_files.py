"""Files of the Hugging Face hub: the copy on this machine first, else fetched at one commit and compared by sha256.

Downloads are the hub's own: resumed, atomic, locked against other processes, through the proxies of the environment.
Before one starts, the repository is listed: that call is made once and with a time limit, so that a hub that cannot be
reached is told within seconds, not after the download's own tries.
"""

from __future__ import annotations

import errno
import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._logging import logger
from ._settings import CONNECT_SECONDS, forbidden, need_network
from ._untrusted import check_file_name, refusing
from .errors import InputError, MismatchError, OfflineError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)((?:/[\w-][\w.-]*)*)(?:@([A-Za-z0-9][\w.-]*))?")
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES})
# Libraries whose errors of the network are no OSError.
_HTTP = frozenset({"httpx", "httpx2", "httpcore"})
_INSTEAD = "copy its files into a folder here and pass the folder's path."


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit: bytes of each file, and its sha256 where the hub knows it (large ones)."""

    repo: str
    commit: str
    sha256: dict[str, str | None]
    size: dict[str, int]


class HubName(NamedTuple):
    """What a text such as `"owner/name/folder@revision"` names."""

    repo: str
    folder: str  # in the repository; "" for the whole
    revision: str | None


def hub_name(text: str, *, folders: bool = False) -> HubName | None:
    """Read `"owner/name"` or `"owner/name@revision"`, with `folders` also of one in it; None for any other text."""
    match = _NAME.fullmatch(text)
    if match is None or ".." in text or (match[2] and not folders):
        return None
    return HubName(match[1], match[2].strip("/"), match[3])


def find(
    repo: str, revision: str | None, patterns: Sequence[str], *, ready: Callable[[Path], bool], mentioned: str = ""
) -> Path:
    """Return the folder with a repository's files, fetched where they are not in the hub's cache on this machine.

    `revision` is a commit, branch or tag; `patterns` say which files are wanted, `ready` whether a folder holds enough
    of them: a copy that other programs left may be a part. Where a file mentions the repository and no user named it,
    it is not fetched: `mentioned` says who needs it, and how to name it.
    """
    name = repo if revision is None else f"{repo}@{revision}"
    found = cached(repo, revision)
    if found is not None and ready(found):
        return found
    if mentioned:
        raise OfflineError(
            f"{name} is not in the hub's cache on this machine, and what a file mentions is not fetched by itself. "
            f"{mentioned}"
        )
    need_network(f"{name} is no folder here and not in the hub's cache on this machine", _INSTEAD)
    return fetch_folder(list_repo(repo, revision), patterns)


def cached(repo: str, revision: str | None) -> Path | None:
    """Folder of a repository in the hub's cache, perhaps of a part of its files; None where there is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # No file is named: whether all are there is for the caller to say, not for a listing that the hub kept.
        return Path(snapshot_download(repo, revision=revision, allow_patterns=[], local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def list_repo(repo: str, revision: str | None) -> Listing:
    """Ask the hub what a repository holds and at which commit.

    Raises an :class:`OfflineError` where it may not or cannot be reached, a :class:`WeightsError` where there is no
    such repository or revision, a :class:`MismatchError` where it answers with another commit.
    """
    need_network(f"{repo} would have to be reached on the hub", _INSTEAD)
    question = lambda: _api().repo_info(repo, revision=revision, files_metadata=True, timeout=CONNECT_SECONDS)  # noqa: E731
    info = ask_hub(repo, question)
    commit = str(info.sha)
    if not COMMIT.fullmatch(commit) or (revision and COMMIT.fullmatch(revision) and revision != commit):
        raise MismatchError(f"the hub answered with commit {commit!r} of {repo}, asked for was {revision!r}.")
    files = info.siblings or []
    sha256 = {one.rfilename: one.lfs["sha256"] if one.lfs else None for one in files}
    return Listing(repo, commit, sha256, {one.rfilename: one.size or 0 for one in files})


def fetch_folder(listing: Listing, patterns: Sequence[str]) -> Path:
    """Download the files that match into the hub's own cache, and compare them with the hub's sha256.

    Loaders find the folder that is returned without a connection. A file that is not what the hub says it is is
    removed.
    """
    # Of the listing, so that nothing is asked for that the hub did not announce.
    wanted = [name for name in listing.sha256 if any(fnmatch(name, one) for one in patterns)]
    where = f"{listing.repo}@{listing.commit}"
    if not wanted:
        raise WeightsError(f"{where} has no files like {', '.join(patterns)}.")
    for name in wanted:
        check_file_name(name, where=where)
    need_network(f"{listing.repo} would have to be reached on the hub", _INSTEAD)
    total = sum(listing.size[name] for name in wanted) / 1e6
    logger.info("fetching %d files (%.0f MB) of %s@%s", len(wanted), total, listing.repo, listing.commit[:12])
    folder = Path(ask_hub(listing.repo, lambda: _snapshot(listing.repo, listing.commit, wanted)))
    for name in wanted:
        path, expected = folder / name, listing.sha256[name]
        if not path.is_file():
            raise WeightsError(f"{where}: {name} did not arrive. Pull again.")
        if expected is not None and (found := file_sha256(path)) != expected:
            # The blob behind the link: what is left would be found the next time.
            path.resolve().unlink(missing_ok=True)
            raise MismatchError(
                f"{name} of {where} arrived with sha256 {found}, the hub has {expected}. It was removed; pull again."
            )
    return folder


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file; raises a :class:`WeightsError` where it cannot be read to its end."""
    with refusing(f"{path} cannot be read"), path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def ask_hub(repo: str, question: Callable[[], Any]) -> Any:
    """Call the hub's library and turn its errors into ours."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return question()
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise WeightsError(f"the hub has no {repo}, or not for you, or not in that revision.") from error
    except HFValidationError as error:
        raise InputError(f"{repo!r} cannot be the name of a repository on the hub.") from error
    except HfHubHTTPError as error:
        # Its text may quote the request; the status says enough.
        status = getattr(getattr(error, "response", None), "status_code", "no status")
        raise WeightsError(
            f"the hub refused {repo} ({status}). Log in with the hub's own tool, or try later."
        ) from error
    except OfflineModeIsEnabled as error:
        raise OfflineError(f"{repo} would have to be reached on the hub, and {forbidden()}, or {_INSTEAD}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise WeightsError(
                f"{repo} could not be kept in the hub's cache on this machine: {error}. Free some space, or set "
                "HF_HOME to a folder that can be written to."
            ) from error
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _HTTP:
            raise
        raise OfflineError(
            f"{repo} could not be reached on the hub: {type(error).__name__}: {error}. Check the connection and the "
            f"proxy (HTTPS_PROXY), or go on without: {_INSTEAD}"
        ) from error


def _api(token: str | None = None) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token)


def _snapshot(repo: str, commit: str, names: Sequence[str]) -> str:
    from huggingface_hub import snapshot_download

    return str(snapshot_download(repo, revision=commit, allow_patterns=list(names)))

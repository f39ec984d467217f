"""BioVerse models on the Hugging Face hub: tensors and text alone, checked by name before anything is fetched."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _hub_files
from .._hub_files import COMMIT, ask_hub, fetch_folder, hub_name, list_repo
from .._logging import logger
from .._settings import need_network, settings
from .._untrusted import PLAIN, check_file_name, check_kinds, refusing
from .._whole import written_whole
from ..encoders import _resolve
from ..errors import InputError, WeightsError

if TYPE_CHECKING:
    from ..encoders import Encoder


def fetch_checkpoint(repo: str, revision: str | None) -> Path:
    """Download a BioVerse model: tensors and text only, nothing else may be in the repository.

    The copy of an earlier download is used where `revision` is its full commit.
    """
    # A full commit cannot have changed: no question to the hub.
    if (copy := kept_checkpoint(repo, revision)) is not None:
        return copy
    need_network(
        f"{repo!r} is no folder here, and as a model on the hub it would have to be fetched",
        "pass the path of a model's folder. What was fetched by its full commit is found again.",
    )
    listing = list_repo(repo, revision)
    check_kinds(listing.sha256, where=f"{repo}@{listing.commit}")
    if "config.json" not in listing.sha256:
        raise WeightsError(f"{repo}@{listing.commit} is not a BioVerse model: it has no config.json.")
    fetched = fetch_folder(listing, [f"*{kind}" for kind in PLAIN])
    if revision != listing.commit:
        logger.info("loaded %s@%s; name it so to load the same again", repo, listing.commit)
    names = [name for name in listing.sha256 if name.endswith(PLAIN)]
    return _own_files(fetched, names, _own_folder(repo, listing.commit))


def given_encoder(model: Any, modality: str, *, hub: bool = True) -> Encoder | None:
    """Return the encoder that a verb was given as `model=`; None where it is something else.

    As :func:`scbioverse.encoders._resolve.given_encoder`, without asking the hub about a model that was fetched from it
    before by its commit.
    """
    named = hub_name(model) if isinstance(model, str) else None
    if named is not None and kept_checkpoint(named.repo, named.revision) is not None:
        return None
    return _resolve.given_encoder(model, modality, hub=hub)


def kept_checkpoint(repo: str, revision: str | None) -> Path | None:
    """Folder of a model that was fetched from the hub before by this full commit; None where there is none."""
    if revision is None or not COMMIT.fullmatch(revision):
        return None
    with refusing(f"models that were fetched from the hub before cannot be looked up, {repo} among them"):
        folder = _own_folder(repo, revision)
        return folder if folder.is_dir() else None


def _own_folder(repo: str, commit: str) -> Path:
    digest = hashlib.sha256(f"{repo}@{commit}".encode()).hexdigest()
    return settings.weights_dir() / "checkpoints" / digest[:16]


def _own_files(fetched: Path, names: list[str], folder: Path) -> Path:
    # The hub's cache is links into a store of blobs; a checkpoint must be files of its own, as links may lead anywhere.
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        with written_whole(folder) as made:
            for name in names:
                target = made / check_file_name(name, where="the hub")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(fetched / name, target)
    return folder


def push(
    name: str, save: Callable[[Path], Path], repo_id: str, *, private: bool, message: str, token: str | None
) -> str:
    """Save a model and upload it; see :meth:`BioVerse.push_to_hub`."""
    parsed = hub_name(repo_id)
    if parsed is None or parsed.revision is not None:
        raise InputError(f"repo_id={repo_id!r} is not 'owner/name'.")
    need_network(f"{repo_id} would have to be reached on the hub", "model.save(folder) keeps the model here.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = save(Path(temporary) / "model")
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        check_kinds(names, where=f"what model {name!r} saves")
        api = _hub_files._api(token)

        def upload() -> Any:
            api.create_repo(repo_id, private=private, exist_ok=True)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=str(folder),
                commit_message=message or f"scbioverse: {name}",
                allow_patterns=names,
            )

        commit = ask_hub(repo_id, upload)
    return f"{repo_id}@{commit.oid}"

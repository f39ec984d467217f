"""scvi-tools models on the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._hub_files import cached, fetch_folder, list_repo
from .._settings import settings
from ..errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

# What scvi-tools puts beside every model that it shares.
_FILES = ("_scvi_required_metadata.json", "model.pt")


def find_on_hub(name: str) -> Path | None:
    """Return the local folder of an scvi-tools model on the hub, fetched where it is not in the hub's cache here.

    Parameters
    ----------
    name
        `"owner/name"` or `"owner/name@revision"`.

    Returns
    -------
    The folder with `model.pt`; None where there is no such repository, it is not of scvi-tools, or it was not fetched
    before and `settings.offline` is on.

    Raises
    ------
    OfflineError
        The hub cannot be reached.
    """
    repo, _, revision = name.partition("@")
    folder = cached(repo, revision or None)
    if folder is not None and all((folder / file).is_file() for file in _FILES):
        return folder
    if settings.offline:
        return None
    try:
        listing = list_repo(repo, revision or None)
    except WeightsError:
        return None
    return fetch_folder(listing, _FILES) if set(_FILES) <= set(listing.sha256) else None

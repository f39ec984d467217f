"""scvi-tools models on the hub."""

from __future__ import annotations

from pathlib import Path

from .._settings import settings
from ..errors import WeightsError

# What scvi-tools puts beside every model that it shares.
_MARK = "_scvi_required_metadata.json"


def find_on_hub(name: str) -> Path | None:
    """Return the local folder of an scvi-tools model on the hub, fetched where `settings.offline` is off.

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
    WeightsError
        The hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    repo, _, revision = name.partition("@")
    try:
        for file in (_MARK, "model.pt"):
            path = hf_hub_download(repo, file, revision=revision or None, local_files_only=settings.offline)
    except (EntryNotFoundError, RepositoryNotFoundError, HFValidationError):
        return None
    except (HfHubHTTPError, OSError) as error:
        raise WeightsError(f"{name} could not be fetched from the hub: {error}") from error
    return Path(path).parent
